//! Singlepass and cranelift give the same points, results, memory and globals for any module.
//!
//! `CAPSTAN_SECONDS` says how long to look (20), `CAPSTAN_SEED` with which module to begin (0).

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use capstan_abi::DeliveryResult;
use capstan_kernel_ports::{
    Computrons,
    host::{Delivered, VatHost, WorkerOptions},
};
use capstan_vat_host::{Image, WasmHost};
use common::{generate::parts, *};

/// Enough that most modules come to rest, few enough that endless ones end soon.
const FEW: Computrons = Computrons(20_000);

/// The module's life: three deliveries, or fewer if it dies, and its heap after each.
fn life(host: &mut WasmHost, module: &[u8]) -> Vec<(Delivered, Option<Image>)> {
    host.start(V1, &wasm(module), &WorkerOptions::default()).unwrap().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 && host.is_running(V1) {
        let delivered = host.deliver(V1, &message("m"), FEW, &mut Answers::default()).unwrap();
        seen.push((delivered, host.image(V1)));
    }
    seen
}

#[test]
fn generated_modules_behave_the_same_under_both_compilers() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("CAPSTAN_SEED").unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(number("CAPSTAN_SECONDS").unwrap_or(20));
    let (mut rested, mut ended, mut seed) = (0, BTreeMap::new(), first);
    let mut hosts = BOTH.map(host);
    while Instant::now() < until {
        let (items, body) = parts(seed);
        let module = worker(&items, &body);
        let [one, other] = hosts.each_mut().map(|host| life(host, &module));
        for (i, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one.0, other.0, "CAPSTAN_SEED={seed}, delivery {i}");
            assert_eq!(
                one.1.as_ref().map(Image::hash),
                other.1.as_ref().map(Image::hash),
                "CAPSTAN_SEED={seed}, heap after delivery {i}"
            );
        }
        assert_eq!(one.len(), other.len(), "CAPSTAN_SEED={seed}");
        match &one.last().unwrap().0.result {
            DeliveryResult::Ok => rested += 1,
            DeliveryResult::Error(text) => *ended.entry(text.clone()).or_insert(0) += 1,
        }
        seed += 1;
    }
    println!("{} modules: {rested} came to rest, {ended:?}", seed - first);
    // The generator must reach what it is for.
    assert!(rested >= 20 && ended.len() >= 3, "{rested} {ended:?}");
}

#[test]
#[ignore]
fn dbg() {
    let seed: u64 = std::env::var("CAPSTAN_SEED").unwrap().parse().unwrap();
    let (items, body) = parts(seed);
    let module = worker(&items, &body);
    let mut hosts = BOTH.map(host);
    let [one, other] = hosts.each_mut().map(|host| life(host, &module));
    for (a, b) in one.iter().zip(&other) {
        println!("{:?} {:?}", a.0, b.0);
        if let (Some(a), Some(b)) = (&a.1, &b.1) {
            println!("{a:x?}\n{b:x?}");
            for (i, (p, q)) in a.pages().zip(b.pages()).enumerate() {
                for k in 0..4096 {
                    if p[k] != q[k] {
                        println!("{:x}: {:02x} {:02x}", i * 4096 + k, p[k], q[k]);
                    }
                }
            }
        }
    }
}
