//! Validation, instrumentation and compilation of WebAssembly modules.

pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod instrument;
pub(crate) mod limits;
pub(crate) mod validate;
