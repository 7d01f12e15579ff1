//! A disk in memory that crashes, tears writes and fills up, for tests of whatever keeps its data in redb.
// Helpers of tests fail loudly, at the line that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;

pub use disk::Disk;
