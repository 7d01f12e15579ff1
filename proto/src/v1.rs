//! The protobuf package `capstan.v1`, compiled from `capstan/v1/*.proto`.
//!
//! Messages also serialize to JSON, with the names that their fields have in the `.proto` files. Requests deserialize
//! from it. The tables of methods and their dispatchers, such as [`QUERY_METHODS`] and [`dispatch_query`], are
//! generated from the services' descriptors.

#![allow(clippy::doc_markdown)]

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

include!(concat!(env!("OUT_DIR"), "/capstan.v1.rs"));

/// Encoded `google.protobuf.FileDescriptorSet` of the package and its imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static DESCRIPTORS: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// Returns the descriptors of the package and its imports. `None` only if the build made no valid ones.
pub fn descriptors() -> Option<&'static DescriptorPool> {
    DESCRIPTORS.as_ref()
}
