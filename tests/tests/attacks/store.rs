//! Writes of a vat cannot stop a node: many removals, long keys, large values, long transcripts.
#![allow(clippy::unwrap_used)] // tests

use capstan_tests::adversary::Yard;
use capstan_tests::alone;

/// The vat's end, in words.
fn reason(yard: &Yard, name: &str) -> String {
    yard.named(name)["ending"]["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_vat_that_deletes_thousands_of_neighbours() {
    alone(module_path!(), "a_vat_that_deletes_thousands_of_neighbours", || {
        let mut yard = Yard::raw(|_| {});
        for count in [3_000, 20_000] {
            let set = yard.run(0, "factory", &format!("k8,1,{count}"), &[]);
            assert_eq!(set["status"], "fulfilled", "{set}");
            let deleted = yard.run(0, "factory", &format!("K8,1,{count}"), &[]);
            assert_eq!(deleted["status"], "fulfilled", "{deleted}");
        }
        yard.assert_unharmed(&["a"]);
    });
}

#[test]
fn an_outbox_of_thousands_that_is_acknowledged_at_once() {
    use capstan_client::TxBuilder;
    use capstan_client::proto::MsgAck;
    alone(module_path!(), "an_outbox_of_thousands_that_is_acknowledged_at_once", || {
        let mut yard = Yard::raw(|_| {});
        let sent = yard.run(0, "factory", "m<x>d0,0f0,0s199,3000,0", &["ro+1"]);
        assert_eq!(sent["status"], "fulfilled", "{sent}");
        let outbox = yard.twins.json(&format!("accounts/{}/outbox", yard.address(0))).unwrap();
        assert_eq!(outbox["entries"].as_array().unwrap().len(), 100, "{outbox}");
        let sender = yard.address(0);
        yard.tx(0, TxBuilder::new().message(&MsgAck { sender, through: 3_001 }));
        yard.assert_unharmed(&["a", "b"]);
    });
}

#[test]
fn thousands_of_results_that_expire_together() {
    use capstan_tests::Account;
    alone(module_path!(), "thousands_of_results_that_expire_together", || {
        let mut yard = Yard::raw(|genesis| {
            let params = &mut genesis.app_state.params;
            params.result_retention_blocks = 5;
            params.max_queue_length = 100_000;
        });
        let mut account = Account::dev(0);
        let methods = vec!["x"; 64];
        let txs: Vec<_> = (0..60)
            .map(|_| {
                let tx = account.calls(&methods);
                account.tx(tx)
            })
            .collect();
        let results = yard.twins.block(&txs).tx_results;
        assert!(results.iter().all(|result| result.code == 0), "{results:?}");
        for _ in 0..12 {
            yard.twins.block(&[]);
        }
        yard.assert_unharmed(&["a"]);
    });
}

/// Lengths around every limit of a key that there may be. What is too long is the vat's fault; the vat `a` is there for the
/// first, and so on.
#[test]
fn a_key_of_any_length() {
    alone(module_path!(), "a_key_of_any_length", || {
        let mut ends = Vec::new();
        for length in [
            253, 254, 255, 256, 65_279, 65_280, 65_520, 65_529, 65_530, 65_531, 65_535, 65_536,
            65_537,
        ] {
            let mut yard = Yard::raw(|_| {});
            let answer = yard.run(0, "factory", &format!("k{length},1,1"), &[]);
            let why = reason(&yard, "a");
            match yard.named("a")["status"].as_str() {
                Some("running") => {
                    assert_eq!(answer["status"], "fulfilled", "{length}: {answer}");
                    let read =
                        yard.run(0, "factory", &format!("g{length},0,1n5K{length},0,1"), &[]);
                    assert_eq!(read["status"], "fulfilled", "{length}: {read}");
                }
                _ => {
                    assert_eq!(answer["status"], "rejected", "{length}: {answer}");
                    assert!(!why.is_empty(), "{length}");
                }
            }
            ends.push((length, why.is_empty()));
            yard.assert_unharmed(&["b"]);
        }
        // Short ones are right, and from some length on none is.
        assert!(ends[0].1 && !ends[ends.len() - 1].1, "{ends:?}");
        assert!(ends.windows(2).all(|pair| pair[0].1 || !pair[1].1), "{ends:?}");
    });
}

#[test]
fn what_one_crank_may_write_is_bounded_and_more_is_the_vats_fault() {
    alone(module_path!(), "what_one_crank_may_write_is_bounded_and_more_is_the_vats_fault", || {
        let mut yard = Yard::raw(|_| {});
        // Half of them are sets: 180 MB in one delivery, of which nothing is left.
        let answer = yard.run(0, "factory", "q1,9000000,40", &[]);
        assert_eq!(answer["status"], "rejected", "{answer}");
        assert_ne!(yard.named("a")["status"], "running");
        // Nor 180 MB of keys of their own. Accounts are given vats in the order in which they come.
        let answer = yard.run(1, "factory", "k8,9000000,20", &[]);
        assert_eq!(answer["status"], "rejected", "{answer}");
        assert_ne!(yard.named("b")["status"], "running");
        // What is allowed once is allowed again and again.
        for _ in 0..3 {
            let answer = yard.run(2, "factory", "q1,1000000,4", &[]);
            assert_eq!(answer["status"], "fulfilled", "{answer}");
        }
        yard.assert_unharmed(&["c"]);
    });
}
