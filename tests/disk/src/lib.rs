//! A disk in memory that crashes, tears writes and fills up, for tests of whatever keeps its data in redb; and the
//! pseudo-random numbers that decide how.
// Helpers of tests fail loudly, at the line that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;
mod random;

pub use disk::Disk;
pub use random::Random;
