//! The linear memories of workers.

pub(crate) mod base;
pub(crate) mod linear;
pub(crate) mod pagemap;
pub(crate) mod share;
