//! What an importing node checks of the heaps that it is given: nothing is believed that a hash in the state can prove.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use capstan_kernel::{KernelPanic, NodeOptions, view};
use capstan_kernel_ports::store::{Overlay, Read};
use capstan_kernel_ports::{VatId, host::VatHost};
use capstan_tests::mixed::{MixedNode, often};

/// A node whose vats have heaps, and the vats.
fn node() -> (MixedNode, Vec<VatId>) {
    let mut node = MixedNode::start(NodeOptions::default(), often());
    for _ in 0..20 {
        node.block();
    }
    node.kernel.evict_all();
    let reader = node.store().reader();
    let has_heap = |vat: &VatId| view::heap_image(&reader, *vat).unwrap().is_some();
    let vats: Vec<VatId> = view::live_vats(&reader).unwrap().into_iter().filter(has_heap).collect();
    assert!(vats.len() > 1, "{vats:?}");
    (node, vats)
}

#[test]
fn heaps_and_pages_are_proven_without_running_a_vat() {
    let (mut node, vats) = node();
    let block = node.store().begin_block();
    view::check_local(&block).unwrap();
    view::check_heaps(&block, node.kernel.host_mut()).unwrap();
    assert!(vats.iter().all(|vat| !node.kernel.host().is_running(*vat)));
}

#[test]
fn a_page_that_is_not_what_its_hash_says_is_refused() {
    let (node, _) = node();
    let mut block = node.store().begin_block();
    for (key, page) in block.scan(b"local.k.hp.").unwrap().into_iter().take(3) {
        let mut other = page.clone();
        *other.last_mut().unwrap() ^= 1;
        block.set(&key, other);
        let problem = view::check_local(&block).unwrap_err().to_string();
        assert!(problem.contains("is not what its hash says"), "{problem}");
        block.set(&key, page);
    }
    view::check_local(&block).unwrap();
}

#[test]
fn a_list_of_right_pages_that_are_not_the_heaps_is_refused() {
    let (mut node, vats) = node();
    let mut block = node.store().begin_block();
    // Two pages change places. Every page has its hash, and every count is right.
    let key = format!("local.k.h.{}", vats[0]).into_bytes();
    let mut kept = block.get(&key).unwrap().unwrap();
    let (first, second) = (4 + 4, 4 + 36 + 4);
    for at in 0..32 {
        kept.swap(first + at, second + at);
    }
    block.set(&key, kept);
    view::check_local(&block).unwrap();
    let panic = view::check_heaps(&block, node.kernel.host_mut()).unwrap_err();
    assert!(matches!(panic, KernelPanic::Host(_)) && !panic.is_consensus(), "{panic}");
    assert!(panic.to_string().contains("is not what its hash says"), "{panic}");
}
