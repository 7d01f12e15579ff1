//! Notifications about promises are bounded: however large and many the data are, a notification is not, and the rest follows.
#![allow(clippy::unwrap_used)] // tests

use capstan_abi::Delivery;
use capstan_kernel::view;
use capstan_tests::adversary::Yard;
use capstan_tests::alone;

/// Has `a` give `b` a promise for `count` promises, resolves each to a text of `size` bytes, and lets `b` answer account 1 with
/// it: bytes and promises of the largest notification, and of all together.
fn notified(yard: &mut Yard, count: usize, size: usize) -> ((usize, usize), (usize, usize)) {
    // What a vat knows begins with the roots of the others.
    let given = yard.run(0, "factory", "f2,1d14,1m<keep>s0,1,0", &[]);
    assert_eq!(given["status"], "fulfilled", "{given}");
    yard.run(0, "factory", &format!("f6,{count}d14,0r1,0,0"), &[]);
    // What one delivery may say is bounded too.
    let at_once = if size > 1_000_000 { 3 } else { 50 };
    for _ in 0..count.div_ceil(at_once) {
        let each = format!("f0,0d1,{size}r{at_once},0,0");
        let settled = yard.run(0, "factory", &each, &[]);
        assert_eq!(settled["status"], "fulfilled", "{settled}");
    }
    let answer = yard.run(1, "factory", "f8,1d14,1a1", &[]);
    assert_eq!(answer["status"], "fulfilled", "{answer}");
    let address = yard.address(1);
    let (mut most, mut all) = ((0, 0), (0, 0));
    yard.twins.look(0, |state| {
        let remote = view::remote_of(state, &address).unwrap().unwrap();
        for (_, delivery) in view::outbox(state, remote).unwrap() {
            if let Delivery::Notify { resolutions } = delivery {
                let bytes: usize = resolutions.iter().map(|one| one.data.body.len()).sum();
                most = (most.0.max(bytes), most.1.max(resolutions.len()));
                all = (all.0 + bytes, all.1 + resolutions.len());
            }
        }
    });
    (most, all)
}

#[test]
fn a_notification_is_bounded_in_bytes() {
    alone(module_path!(), "a_notification_is_bounded_in_bytes", || {
        let mut yard = Yard::raw(|_| {});
        let (most, all) = notified(&mut yard, 6, 9_000_000);
        // A value may take 10 MB alone, and no entry has much more than one. Those beyond 32 MiB are put off until the
        // account acknowledges.
        assert!(most.0 <= 30_000_000, "{} bytes in one notification", most.0);
        assert!((27_000_000..54_000_000).contains(&all.0), "{} bytes in all", all.0);
        yard.assert_unharmed(&["a", "b"]);
    });
}

#[test]
fn a_notification_is_bounded_in_promises() {
    alone(module_path!(), "a_notification_is_bounded_in_promises", || {
        let mut yard = Yard::raw(|_| {});
        let (most, all) = notified(&mut yard, 9_000, 1);
        assert!(most.1 <= 5_000, "{} promises in one notification", most.1);
        assert!(all.1 >= 9_000, "{} promises in all", all.1);
        yard.assert_unharmed(&["a", "b"]);
    });
}

#[test]
fn a_vat_that_ends_with_thousands_of_promises() {
    alone(module_path!(), "a_vat_that_ends_with_thousands_of_promises", || {
        let mut yard = Yard::raw(|genesis| {
            genesis.app_state.params.cleanup.promises = 500;
            // Whoever hears of the promises reads them in a memory of 256 MiB, where each read is dear.
            genesis.app_state.params.crank_computrons = 2_000_000_000;
        });
        for _ in 0..3 {
            let sent = yard.run(0, "factory", "f2,9000d0,0m<keep>s0,1,0", &[]);
            assert_eq!(sent["status"], "fulfilled", "{sent}");
        }
        yard.run(0, "factory", "v3", &[]);
        assert_ne!(yard.named("a")["status"], "running");
        yard.assert_unharmed(&["b"]);
    });
}
