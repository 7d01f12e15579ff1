//! WebAssembly modules: their checks, what is added to them, and their compilation.

pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod instrument;
pub(crate) mod limits;
pub(crate) mod validate;
