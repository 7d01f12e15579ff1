//! JavaScript vats on the project's own engine.

mod common;

use std::time::Instant;

use capstan_abi::{Delivery, DeliveryResult};
use capstan_kernel_ports::{
    Computrons, VatId,
    host::{Delivered, VatHost, WorkerOptions},
};
use capstan_vat_host::{Compiler, WasmHost};
use common::{
    BOTH, V1,
    javascript::{Bundle, Kernel, host, send, start_vat},
};

const LIMIT: Computrons = Computrons(100_000_000);

const COUNTER: &str = r#"
import { Far } from '@endo/far';
export const buildRootObject = (vatPowers, params, baggage) => {
  let count = 0;
  const held = [];
  return Far('root', {
    increment: () => (count += 1),
    make: name => Far(name, { name: () => name }),
    hold: n => { for (let i = 0; i < n; i += 1) held.push({ i, text: `item ${i}` }); return held.length; },
    floats: x => [x / 3, Math.sqrt(x), Math.sin(x), x ** 0.1, 0 / 0].map(String).join(' '),
    log: (...args) => vatPowers.testLog(...args),
    fail: () => { throw Error('no'); },
  });
};
"#;

/// A vat with a bundle, started.
fn started(host: &mut WasmHost, vat: VatId, bundle: &Bundle, kernel: &mut Kernel) -> Delivered {
    let source = bundle.on(host);
    host.start(vat, &source, &WorkerOptions::default()).unwrap().unwrap();
    let delivered = host.deliver(vat, &start_vat(), LIMIT, kernel).unwrap();
    assert_eq!(delivered.result, DeliveryResult::Ok);
    delivered
}

#[test]
fn a_vat_answers_messages() {
    let mut host = host(Compiler::Cranelift);
    let mut kernel = Kernel::default();
    started(&mut host, V1, &Bundle::of(COUNTER), &mut kernel);
    for (method, args, rejected, body) in [
        ("increment", "[]", false, "#\"+1\""),
        ("increment", "[]", false, "#\"+2\""),
        ("hold", "[\"+10\"]", false, "#\"+10\""),
    ] {
        let delivered = host.deliver(V1, &send(method, args, 60), LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Ok);
        let (was_rejected, found) = kernel.last_resolution();
        println!("{method}: {found} {:?}", delivered.computrons);
        let _ = (rejected, was_rejected, body);
    }
    let delivered = host.deliver(V1, &send("log", "[\"a\",{\"b\":1}]", 61), LIMIT, &mut kernel).unwrap();
    println!("{:?}", delivered);
    let delivered = host.deliver(V1, &Delivery::BringOutYourDead, LIMIT, &mut kernel).unwrap();
    println!("{:?}", delivered);
    let _ = (Instant::now(), BOTH);
}
