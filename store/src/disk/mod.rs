//! The two files.
//!
//! [`files`] creates and opens them. [`journal`] records what each commit changed: [`entry`] is one commit, [`frame`] its
//! form in the file. [`checkpoint`] writes and reads the whole state. [`meta`] identifies a committed state.
//!
//! Knows no other folder.

pub(crate) mod checkpoint;
pub(crate) mod entry;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod journal;
#[cfg(test)]
mod journal_tests;
pub(crate) mod meta;
