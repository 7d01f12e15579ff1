//! The protobuf package `capstan.v1`, compiled from `capstan/v1/*.proto`.
//!
//! Requests and answers of queries have a JSON form too: the same fields in camel case.

#![allow(clippy::doc_markdown)]

include!(concat!(env!("OUT_DIR"), "/capstan.v1.rs"));
