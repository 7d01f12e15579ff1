//! Proposals: an honest one is never refused, and one that is not honest always.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_genesis::Amount;
use capstan_proto::ErrorCode;
use capstan_store::Store;
use common::{Chain, Client, Draft, GAS_LIMIT, alice, bob, genesis};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestPrepareProposal, RequestProcessProposal};

/// What a transaction of these tests pays.
const FEE: u128 = 10_000_000;

/// What an honest proposer makes of its mempool. Others must take it.
fn prepare(chain: &Chain, txs: &[Vec<u8>], max_tx_bytes: usize) -> Vec<Vec<u8>> {
    let txs = txs.iter().cloned().map(Into::into).collect();
    let max_tx_bytes = max_tx_bytes as i64;
    let request = RequestPrepareProposal { txs, max_tx_bytes, ..Default::default() };
    let txs: Vec<_> =
        chain.app.prepare_proposal(request).txs.iter().map(|tx| tx.to_vec()).collect();
    assert!(accepts(chain, &txs), "an honest proposal was refused");
    txs
}

fn accepts(chain: &Chain, txs: &[Vec<u8>]) -> bool {
    let txs = txs.iter().cloned().map(Into::into).collect();
    chain.app.process_proposal(RequestProcessProposal { txs, ..Default::default() }).status == 1
}

fn payment(from: &mut Client) -> Vec<u8> {
    from.tx(vec![from.pay(bob().address(), 5)])
}

/// A payment by someone, spoiled before it is signed; they do not count it.
fn spoiled(client: &Client, spoil: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = client.draft(vec![client.pay(bob().address(), 5)]);
    spoil(&mut draft);
    client.sign(&draft)
}

#[test]
fn a_transaction_whose_signer_would_not_pay_makes_a_proposal_dishonest() {
    let chain = Chain::new();
    let mut alice = alice();
    let good = payment(&mut alice);
    let sequence = |n: u64| move |draft: &mut Draft| draft.auth.signer_infos[0].sequence = n;
    let mut wrong_signature = spoiled(&alice, |_| {});
    *wrong_signature.last_mut().unwrap() ^= 1;
    let elsewhere =
        Client { chain_id: "capstan-other-1".to_owned(), sequence: 1, ..common::alice() };
    let stranger = Client::new(77, 0);
    let dishonest = [
        ("a wrong signature", wrong_signature),
        ("a signature of another chain", spoiled(&elsewhere, |_| {})),
        ("a sequence that was used", spoiled(&alice, sequence(0))),
        ("a sequence that comes later", spoiled(&alice, sequence(2))),
        ("an account that is not there", spoiled(&stranger, |_| {})),
        (
            "a fee that is too small",
            spoiled(&alice, |d| d.auth.fee.as_mut().unwrap().amount.clear()),
        ),
        ("a height that is over", spoiled(&alice, |draft| draft.body.timeout_height = 1)),
        ("rubbish", b"rubbish".to_vec()),
    ];
    assert!(accepts(&chain, std::slice::from_ref(&good)));
    for (what, tx) in dishonest {
        let block = [good.clone(), tx.clone()];
        assert!(!accepts(&chain, &block), "{what}");
        assert!(!accepts(&chain, &[tx.clone(), good.clone()]), "{what} first");
        // Also where the good one was found good before, and by who makes the proposal.
        assert_eq!(prepare(&chain, &block, 1 << 20), block[..1], "{what}");
        // And the block would indeed have taken nothing from anybody for it.
        let mut elsewhere = Chain::new();
        let result = elsewhere.block(&block).tx_results.remove(1);
        assert!((1..40).contains(&result.code) && result.events.is_empty(), "{what}");
    }
}

#[test]
fn sequences_and_balances_go_on_within_a_proposal() {
    let mut chain = Chain::new();
    let (mut rich, mut poor) = (alice(), Client::new(9, 3));
    // Enough for two fees and a half.
    let gift = rich.tx(vec![rich.pay(poor.address(), FEE * 5 / 2)]);
    chain.ok(gift);
    let fees: Vec<_> = (0..3).map(|_| poor.tx(vec![poor.pay(poor.address(), 1)])).collect();
    assert!(accepts(&chain, &fees[..2]));
    assert!(!accepts(&chain, &fees), "three fees");
    assert!(!accepts(&chain, &[fees[1].clone(), fees[0].clone()]), "the order");
    assert_eq!(prepare(&chain, &fees, 1 << 20), fees[..2]);
    // What a message spends is not there for a later fee.
    poor.sequence = 0;
    let spend = poor.tx(vec![poor.pay(rich.address(), FEE)]);
    let then = poor.tx(vec![poor.pay(rich.address(), 1)]);
    assert!(accepts(&chain, std::slice::from_ref(&spend)));
    assert!(!accepts(&chain, &[spend.clone(), then.clone()]));
    let results = chain.block(&[spend, then]).tx_results;
    assert_eq!((results[0].code, results[1].code), (0, 17), "{}", results[1].log);
}

#[test]
fn what_an_account_costs_once_is_not_there_for_a_later_fee() {
    let mut chain = Chain::new();
    let (mut rich, mut poor) = (alice(), Client::new(9, 3));
    let gift = rich.tx(vec![rich.pay(poor.address(), 2 * FEE + 4_999)]);
    chain.ok(gift);
    let first = poor.tx(vec![poor.send("factory", "echo", "[]", &[])]);
    let then = poor.tx(vec![poor.pay(rich.address(), 1)]);
    assert!(accepts(&chain, std::slice::from_ref(&first)));
    assert!(!accepts(&chain, &[first.clone(), then.clone()]));
    assert_eq!(
        prepare(&chain, &[first.clone(), then.clone()], 1 << 20),
        std::slice::from_ref(&first)
    );
    let results = chain.block(&[first, then]).tx_results;
    assert_eq!((results[0].code, results[1].code), (0, 17), "{}", results[1].log);
}

#[test]
fn what_a_block_made_wrong_after_check_tx_is_left_out() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut other = common::alice();
    // Two wallets of one account: both are taken by CheckTx, in its own view of the accounts.
    let (first, second) = (payment(&mut alice), payment(&mut alice));
    assert_eq!((chain.check(&first).code, chain.check(&second).code), (0, 0));
    let everything = Amount(chain.balance(alice.address()) - FEE);
    let rival = other.tx(vec![other.pay(bob().address(), everything.0)]);
    chain.ok(rival);
    // The first's sequence is used, the second's fee is spent.
    assert!(prepare(&chain, &[first.clone(), second.clone()], 1 << 20).is_empty());
    assert!(!accepts(&chain, &[first]) && !accepts(&chain, &[second]));
}

#[test]
fn a_proposal_holds_nothing_before_the_first_block() {
    let chain = Chain::open(Store::in_memory().unwrap());
    chain.init(&genesis(|_| {}));
    let tx = payment(&mut alice());
    assert_eq!(chain.check(&tx).code, ErrorCode::Unavailable.number());
    assert!(prepare(&chain, std::slice::from_ref(&tx), 1 << 20).is_empty());
    assert!(!accepts(&chain, &[tx]));
}

#[test]
fn proposals_keep_to_the_limits() {
    let chain = Chain::with_params(|p| p.max_block_bytes = p.max_tx_bytes);
    let mut alice = alice();
    let txs: Vec<Vec<u8>> = (0..4).map(|_| payment(&mut alice)).collect();
    let size = txs[0].len();
    // The engine counts a tag and a length beside each transaction's bytes.
    let plain: usize = txs.iter().map(Vec::len).sum();
    let encoded: usize =
        txs.iter().map(|tx| 1 + prost::length_delimiter_len(tx.len()) + tx.len()).sum();
    assert_eq!(prepare(&chain, &txs, encoded).len(), 4);
    assert_eq!(prepare(&chain, &txs, encoded - 1).len(), 3);
    assert_eq!(prepare(&chain, &txs, plain).len(), 3);
    assert_eq!(prepare(&chain, &txs, size * 3 - 1).len(), 2);
    assert_eq!(prepare(&chain, &txs, 0).len(), 0);
    assert!(accepts(&chain, &txs));
    let twice = [txs[0].clone(), txs[1].clone(), txs[0].clone()];
    assert_eq!(prepare(&chain, &twice, 1 << 20), txs[..2]);
    assert!(!accepts(&chain, &twice));
}

#[test]
fn proposals_keep_to_the_apps_own_limit_of_bytes() {
    let chain = Chain::with_params(|p| {
        p.max_block_bytes = p.max_tx_bytes;
        p.fees.byte_gas = 1;
    });
    // One transaction of half the block's size fits, three do not.
    let mut alice = alice();
    let mut half = || {
        let module = vec![1; 2 << 20];
        alice.tx(vec![alice.install(&module)])
    };
    let large = [half(), half(), half()];
    assert!(accepts(&chain, &large[..1]));
    assert!(!accepts(&chain, &large));
    assert_eq!(prepare(&chain, &large, usize::MAX >> 1).len(), 1);
}

#[test]
fn proposals_keep_to_the_gas_limit() {
    let mut document = genesis(|_| {});
    document.consensus_params.block.max_gas = 3 * GAS_LIMIT as i64;
    let mut chain = Chain::start(Store::in_memory().unwrap(), &document);
    chain.block(&[]);
    // Each states the same gas.
    let mut alice = alice();
    let txs: Vec<_> = (0..4).map(|_| payment(&mut alice)).collect();
    assert_eq!(prepare(&chain, &txs, 1 << 20), txs[..3]);
    assert!(accepts(&chain, &txs[..3]) && !accepts(&chain, &txs));
}

#[test]
fn transactions_take_half_of_a_blocks_computrons_or_one_takes_more() {
    let chain = Chain::with_params(|params| {
        params.block_computrons = 1_000_000;
        params.tx_computrons = 100_000;
        params.tx_byte_computrons = 1;
    });
    // Each has some 300 bytes.
    let mut alice = alice();
    let txs: Vec<_> = (0..6).map(|_| payment(&mut alice)).collect();
    assert_eq!(prepare(&chain, &txs, 1 << 20), txs[..4]);
    assert!(!accepts(&chain, &txs[..5]));
    // The bytes of a bundle count as well. One that counts more than half is alone in its block.
    let mut bob = bob();
    let large = bob.tx(vec![bob.install(&vec![1; 400_000])]);
    assert_eq!(
        prepare(&chain, &[large.clone(), txs[0].clone()], 1 << 20),
        std::slice::from_ref(&large)
    );
    assert_eq!(prepare(&chain, &[txs[0].clone(), large], 1 << 20), txs[..1]);
}

#[test]
fn a_block_counts_its_transactions_and_a_refused_one_by_its_size() {
    let counted = |txs: &[Vec<u8>]| {
        let mut chain = Chain::with_params(|params| {
            params.tx_computrons = 1_000_000;
            params.tx_byte_computrons = 1_000;
        });
        let total = |chain: &Chain| {
            let text = chain.app.metrics_text().unwrap();
            let name = "capstan_block_computrons_total ";
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
            line.trim().parse::<u64>().unwrap()
        };
        let before = total(&chain);
        chain.block(txs);
        total(&chain) - before
    };
    let mut alice = alice();
    let (first, second) = (payment(&mut alice), payment(&mut alice));
    let of = |tx: &[u8]| 1_000_000 + 1_000 * tx.len() as u64;
    assert_eq!(counted(&[]), 0);
    assert_eq!(counted(std::slice::from_ref(&first)), of(&first));
    assert_eq!(counted(&[first.clone(), second.clone()]), of(&first) + of(&second));
    assert_eq!(counted(&[b"rubbish".to_vec()]), of(b"rubbish"));
    // A bundle counts uncompressed, whether it is one or not.
    let mut bob = bob();
    let large = bob.tx(vec![bob.install(&vec![1; 5_000])]);
    // Its account becomes an endpoint of the kernel, whose cranks count too.
    let expected = of(&large) + 5_000 * 1_000;
    let found = counted(std::slice::from_ref(&large));
    assert!((expected..expected + 1_000_000).contains(&found), "{found} for {expected}");
}

#[test]
fn a_block_is_judged_alike_whether_its_signatures_are_known_or_verified_on_all_processors() {
    let (seen, unseen) = (Chain::new(), Chain::new());
    let mut alice = alice();
    let txs: Vec<Vec<u8>> = (0..100).map(|_| payment(&mut alice)).collect();
    for tx in &txs {
        let checked = seen.check(tx);
        assert_eq!(checked.code, 0, "{}", checked.log);
    }
    for spoiled in [None, Some(0), Some(61), Some(99)] {
        let mut block = txs.clone();
        if let Some(at) = spoiled {
            *block[at].last_mut().unwrap() ^= 1;
        }
        for chain in [&seen, &unseen] {
            assert_eq!(accepts(chain, &block), spoiled.is_none(), "{spoiled:?}");
        }
        let (one, other) = (seen.finalize(&block), Chain::new().finalize(&block));
        assert_eq!(one, other, "{spoiled:?}");
        let failed = one.tx_results.iter().position(|result| result.code != 0);
        assert_eq!(failed, spoiled);
    }
}
