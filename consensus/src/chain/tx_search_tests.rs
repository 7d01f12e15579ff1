//! Searches over a chain of many transactions.

use tendermint_proto::v0_38::abci::{Event, EventAttribute, ExecTxResult, ResponseFinalizeBlock};
use tendermint_proto::v0_38::types::{Block, BlockId, BlockMeta, Commit, Data, Header};

use super::*;

const ALL: usize = 1 << 20;

fn event(kind: &str, key: &str, value: &str) -> Event {
    let (key, value) = (key.to_owned(), value.to_owned());
    Event { r#type: kind.to_owned(), attributes: vec![EventAttribute { key, value, index: true }] }
}

/// Twenty blocks of three transactions: payments to `even` or to `odd` by height, of as much as their index, and in
/// every fifth block also one to `rare`.
fn store(dir: &std::path::Path) -> BlockStore {
    store_of(dir, 20, 5)
}

/// A store with so many blocks, of which every `rare`th has a rare event.
fn store_of(dir: &std::path::Path, blocks: i64, rare: i64) -> BlockStore {
    let store = BlockStore::open(&dir.join("blocks.redb")).unwrap();
    for height in 1..=blocks {
        let to = if height % 2 == 0 { "even" } else { "odd" };
        let result = |index: u32| {
            let amount = event("pay", "amount", &index.to_string());
            let mut events = vec![event("pay", "to", to), amount];
            if height % rare == 0 && index == 1 {
                events.push(event("pay", "to", "rare"));
            }
            ExecTxResult { events, ..ExecTxResult::default() }
        };
        let txs = (0..3_u8).map(|index| vec![height as u8, index]).collect();
        let header = Some(Header { height, ..Header::default() });
        let block = Block { header, data: Some(Data { txs }), ..Block::default() };
        let tx_results = (0..3).map(result).collect();
        let results = ResponseFinalizeBlock { tx_results, ..ResponseFinalizeBlock::default() };
        let hash = vec![height as u8];
        let meta = BlockMeta {
            block_id: Some(BlockId { hash, ..BlockId::default() }),
            ..BlockMeta::default()
        };
        store.save_block(&block, &meta, &Commit::default()).unwrap();
        store.save_results(&block, &results, None).unwrap();
    }
    store
}

fn found(store: &BlockStore, text: &str, order: Order, room: usize) -> Found {
    search_within(store, &Query::parse(text).unwrap(), order, 20, room).unwrap()
}

/// What a search has to find: all positions that a function accepts.
fn expected(is_found: impl Fn(i64, u32) -> bool) -> Vec<TxPosition> {
    let all = (1..=20).flat_map(|height| (0..3).map(move |index| (height, index)));
    all.filter(|(height, index)| is_found(*height, *index)).collect()
}

#[test]
fn conditions_are_fulfilled_together_in_both_orders() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let hash = hex::encode(super::super::merkle::sha256(&[7, 2]));
    let hashed = format!("tx.hash = '{hash}'");
    let cases: Vec<(&str, Box<dyn Fn(i64, u32) -> bool>)> = vec![
        ("pay.to = 'even'", Box::new(|h, _| h % 2 == 0)),
        ("pay.to = 'even' AND pay.to = 'rare'", Box::new(|h, i| h % 10 == 0 && i == 1)),
        ("pay.to = 'even' AND pay.to = 'odd'", Box::new(|_, _| false)),
        (
            "pay.to = 'odd' AND tx.height > 4 AND tx.height <= 9",
            Box::new(|h, _| [5, 7, 9].contains(&h)),
        ),
        ("pay.to = 'odd' AND pay.amount > 0", Box::new(|h, i| h % 2 == 1 && i > 0)),
        ("pay.amount > 1", Box::new(|_, i| i > 1)),
        ("pay.amount > 1 AND tx.height < 3.5", Box::new(|h, i| i > 1 && h < 4)),
        ("pay.to CONTAINS 'ar'", Box::new(|h, i| h % 5 == 0 && i == 1)),
        ("tm.event = 'Tx'", Box::new(|_, _| false)),
        ("tx.height = 7", Box::new(|h, _| h == 7)),
        ("tx.height = '7' AND pay.amount = '2'", Box::new(|h, i| h == 7 && i == 2)),
        ("tx.height >= 19", Box::new(|h, _| h >= 19)),
        (&hashed, Box::new(|h, i| h == 7 && i == 2)),
        ("nothing.like = 'this'", Box::new(|_, _| false)),
    ];
    for (text, is_found) in cases {
        let mut positions = expected(is_found);
        for order in [Order::Ascending, Order::Descending] {
            let searched = found(&store, text, order, ALL);
            assert_eq!(searched, Found { positions: positions.clone(), cut: None }, "{text}");
            positions.reverse();
        }
    }
}

#[test]
fn a_search_that_reads_too_much_goes_on_where_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for (text, least) in [("pay.to = 'even'", 20), ("tx.height > 0", 20), ("pay.amount >= 0", 40)] {
        let whole = found(&store, text, Order::Ascending, ALL).positions;
        let (mut all, mut from, mut calls) = (BTreeSet::new(), 0, 0);
        loop {
            let text = format!("{text} AND tx.height >= {from}");
            let part = found(&store, &text, Order::Ascending, 1500);
            all.extend(part.positions);
            calls += 1;
            let Some(cut) = part.cut else { break };
            assert!(cut > from && calls < least, "{text}: {cut}");
            from = cut;
        }
        assert!(calls > 1, "{text}");
        assert_eq!(all.into_iter().collect::<Vec<_>>(), whole, "{text}");
    }
    // The last ones come first, however many there are.
    let last = found(&store, "pay.to = 'even'", Order::Descending, 1500);
    assert_eq!(last.positions[0], (20, 2));
    assert!(last.cut.is_some_and(|cut| cut > 1));
}

#[test]
fn what_others_stored_under_one_condition_does_not_hinder_a_narrow_one() {
    let dir = tempfile::tempdir().unwrap();
    // A hundred entries of the wide one would take twice the room.
    let (store, room) = (store_of(dir.path(), 200, 100), 12 * 400);
    for order in [Order::Ascending, Order::Descending] {
        let query = Query::parse("pay.to = 'even' AND pay.to = 'rare'").unwrap();
        let mut searched = search_within(&store, &query, order, 200, room).unwrap();
        searched.positions.sort_unstable();
        assert_eq!((searched.positions, searched.cut), (vec![(100, 1), (200, 1)], None));
    }
}
