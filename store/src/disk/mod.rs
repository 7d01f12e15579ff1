//! The two database files.
//!
//! [`files`] creates and opens them. [`journal`] records what each commit changed. [`checkpoint`] writes and reads the
//! whole state. [`meta`] is the table that both files have.
//!
//! Knows no other folder.

pub(crate) mod checkpoint;
pub(crate) mod files;
pub(crate) mod journal;
pub(crate) mod meta;
