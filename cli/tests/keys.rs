//! Keys, and transactions that are made, signed and sent in steps.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests
