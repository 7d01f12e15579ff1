//! A simulated disk for crash tests of anything that keeps its data in redb.
//!
//! A [`Disk`] holds files in memory. It can lose power, tear writes, fail after a number of operations and run full. A
//! [`Random`](capstan_test_random::Random) decides which unsynced writes survive, so that a seed reproduces every test.
//!
//! # Example
//!
//! ```
//! use capstan_test_disk::Disk;
//! use capstan_test_random::Random;
//! use redb::StorageBackend as _;
//!
//! # fn main() -> std::io::Result<()> {
//! let disk = Disk::default();
//! disk.write(0, b"synced")?;
//! disk.sync_data()?;
//! disk.write(6, b" and lost, or not")?;
//!
//! let after = disk.crash(&mut Random::from(1));
//! let mut found = [0; 6];
//! after.read(0, &mut found)?;
//! assert_eq!(&found, b"synced");
//! assert!(disk.write(0, b"more").is_err(), "the disk has no power");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
// Test helpers panic at the line that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;

pub use disk::Disk;
