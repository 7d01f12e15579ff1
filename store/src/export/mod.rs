//! A whole state as a stream of chunks, out of one store and into another.
//!
//! [`chunks`] cuts a state into chunks. [`import`] builds a store from them. [`stream`] defines the encoding.
//!
//! Knows `store`, `view` and `disk`.

pub(crate) mod chunks;
pub(crate) mod import;
pub(crate) mod stream;
