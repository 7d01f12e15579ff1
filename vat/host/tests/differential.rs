//! Differential test: singlepass and cranelift give the same points, results, memory and globals
//! for any module.
//!
//! `CAPSTAN_SECONDS` sets the duration (20). `CAPSTAN_SEED` sets the seed of the first module (0).
#![allow(clippy::unwrap_used, clippy::expect_used)]

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

/// Points of a delivery: enough that most modules become quiescent, few enough that endless ones
/// end soon.
const FEW: Computrons = Computrons(20_000);

/// Runs a module for three deliveries, or fewer if it dies, and records its heap after each.
fn life(host: &mut WasmHost, module: &[u8]) -> Vec<(Delivered, Option<Image>)> {
    host.start(V1, &wasm(module), &WorkerOptions::default()).unwrap().verdict.unwrap();
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
            DeliveryResult::Error(text) => *ended.entry(text.to_string()).or_insert(0) += 1,
        }
        seed += 1;
    }
    println!("{} modules: {rested} came to rest, {ended:?}", seed - first);
    // The generator must reach the cases that it is for.
    assert!(rested >= 20 && ended.len() >= 3, "{rested} {ended:?}");
}

/// Stores the bits of every operator's results where the image shows them.
fn store_all(results: &[(&str, String)]) -> Vec<u8> {
    let store = |(i, (ty, expression)): (usize, &(&str, String))| {
        format!("({ty}.store offset={} (i32.const 2048) {expression})\n", i * 8)
    };
    let body: String = results.iter().enumerate().map(store).collect();
    // Operands come from memory, where no compiler knows them.
    let operands = "(func $f32 (param i32) (result f32) (f32.load (local.get 0)))
        (func $f64 (param i32) (result f64) (f64.load (local.get 0)))
        (data (i32.const 1200) \"\\01\\00\\a0\\7f\\23\\01\\c0\\ff\\00\\00\\80\\7f\\00\\00\\80\\bf\")
        (data (i32.const 1232) \"\\01\\00\\00\\00\\00\\00\\f4\\7f\\45\\23\\01\\00\\00\\00\\f8\\ff\\00\\00\\00\\00\\00\\00\\f0\\ff\\00\\00\\00\\00\\00\\00\\00\\80\")";
    worker(operands, &body)
}

#[test]
fn the_bits_of_every_nan_are_the_same_under_both_compilers() {
    let mut results = Vec::new();
    for (ty, base, size) in [("f32", 1200, 4), ("f64", 1232, 8)] {
        let operand = |i: u32| format!("(call ${ty} (i32.const {}))", base + i * size);
        for i in 0..4 {
            let a = operand(i);
            let unary = ["abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest"];
            for operator in unary {
                results.push((ty, format!("({ty}.{operator} {a})")));
                // The operand is a value that arithmetic has just produced.
                results.push((ty, format!("({ty}.{operator} ({ty}.add {a} {a}))")));
            }
            for operator in ["add", "sub", "mul", "div", "min", "max", "copysign"] {
                for j in 0..4 {
                    let b = operand(j);
                    results.push((ty, format!("({ty}.{operator} {a} {b})")));
                    results.push((
                        ty,
                        format!("({ty}.copysign {a} ({ty}.neg ({ty}.{operator} {a} {b})))"),
                    ));
                    results.push((
                        ty,
                        format!("(select ({ty}.{operator} {a} {b}) {a} (i32.const 1))"),
                    ));
                }
            }
            let (other, convert) = match ty {
                "f32" => ("f64", "f64.promote_f32"),
                _ => ("f32", "f32.demote_f64"),
            };
            results.push((other, format!("({convert} {a})")));
            results.push((other, format!("({convert} ({ty}.mul {a} {a}))")));
            results.push((other, format!("({other}.neg ({convert} {a}))")));
        }
    }
    for part in results.chunks(250) {
        let module = store_all(part);
        let images = BOTH.map(|compiler| life(&mut host(compiler), &module).remove(0).1.unwrap());
        let [one, other] = images.each_ref().map(|image| image.pages().next().unwrap());
        for (i, (_, expression)) in part.iter().enumerate() {
            let at = 2048 + i * 8;
            assert_eq!(one[at..at + 8], other[at..at + 8], "{expression}");
        }
        assert_eq!(images[0], images[1]);
    }
}
