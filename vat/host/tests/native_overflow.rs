//! Test of an overflow of the native stack. It runs in a process of its own, since it fills the
//! stack that others would measure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::DeliveryResult;
use common::*;

#[test]
fn a_native_stack_overflow_is_a_host_fault() {
    for compiler in BOTH {
        let fault = on_engine(compiler, engine("(drop (call $f (i32.const 1)))")).unwrap_err();
        assert!(fault.text().contains("a worker stopped for a reason of this node"), "{fault}");
        // The host itself goes on.
        assert_eq!(once(compiler, &worker("", "")).result, DeliveryResult::Ok);
    }
}
