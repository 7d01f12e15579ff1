//! Memory cost of a JavaScript vat. The test is a binary of its own, since it measures its whole
//! process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::Delivery;
use capstan_kernel_ports::{
    VatId,
    host::{VatHost, WorkerOptions},
};
use capstan_vat_host::Compiler;
use common::javascript::{Bundle, Kernel, LIMIT, host, send, start_vat, started};

/// A vat whose messages count references to each of many objects up and down again. They exist when the bundle has been
/// loaded.
const TABLE: &str = r#"
import { Far } from '@endo/far';
const rows = Array.from({ length: 5_000 }, (_, number) => ({ number }));
export const buildRootObject = () => {
  let count = 0;
  return Far('root', {
    increment: () => {
      for (const row of rows) if (row.number === 0) count += 1;
      return count;
    },
  });
};
"#;

/// Returns the anonymous memory of this process in bytes, which no file and no other mapping
/// shares.
fn anonymous_memory() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_vat_costs_only_the_pages_that_it_wrote_to() {
    const VATS: u64 = 40;
    let mut host = host(Compiler::Cranelift);
    let source = Bundle::of(TABLE).on(&host);
    let mut kernel = Kernel::default();
    started(&mut host, VatId(1_000), &source, &mut kernel);
    let before = anonymous_memory();
    for vat in 0..VATS {
        host.start(VatId(vat), &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
    }
    let with_bundle = anonymous_memory();
    for vat in 0..VATS {
        host.deliver(VatId(vat), &start_vat(), LIMIT, &mut kernel).unwrap();
    }
    let after_start = anonymous_memory();
    for vat in 0..VATS {
        host.deliver(VatId(vat), &send("increment", "[]", 60), LIMIT, &mut kernel).unwrap();
        host.deliver(VatId(vat), &Delivery::BringOutYourDead, LIMIT, &mut kernel).unwrap();
    }
    let after_collection = anonymous_memory();
    for vat in 0..VATS {
        for round in 0..8 {
            host.deliver(VatId(vat), &send("increment", "[]", 61 + round), LIMIT, &mut kernel)
                .unwrap();
        }
    }
    let busy = anonymous_memory();
    let hashes: Vec<_> = (0..VATS).map(|vat| host.heap(VatId(vat)).unwrap()).collect();
    // More than 64 deliveries for the last vat to be idle, and sixteen for each vat to be trimmed.
    for round in 0..64 + 17 * VATS {
        host.deliver(VatId(1_000), &send("increment", "[]", 60 + round), LIMIT, &mut kernel)
            .unwrap();
    }
    let idle = anonymous_memory();
    let after: Vec<_> = (0..VATS).map(|vat| host.heap(VatId(vat)).unwrap()).collect();
    assert_eq!(hashes, after, "trimming changed the heap of a vat");
    for round in 0..16 {
        for vat in 0..VATS {
            host.deliver(VatId(vat), &send("increment", "[]", 80 + round), LIMIT, &mut kernel)
                .unwrap();
            host.deliver(VatId(vat), &Delivery::BringOutYourDead, LIMIT, &mut kernel).unwrap();
        }
    }
    let after_many = anonymous_memory();
    let (_, image_bytes) = host.heap(VatId(1)).unwrap();
    let each = |to: usize, from: usize| to.saturating_sub(from) / VATS as usize;
    println!(
        "of {image_bytes} bytes, a vat owns: with its bundle {}, started {}, after a collection {}, \
         after eight messages {}, idle {}, after sixteen collections {}",
        each(with_bundle, before),
        each(after_start, before),
        each(after_collection, before),
        each(busy, before),
        each(idle, before),
        each(after_many, before),
    );
    // Upper bound for a vat's memory above the pages that it shares.
    assert!(each(after_start, before) <= 1 << 20);
    assert!(each(after_collection, before) <= 1 << 19);
    assert!(each(idle, before) + (1 << 18) < each(busy, before));
    assert!(each(idle, before) <= 5 << 17);
}
