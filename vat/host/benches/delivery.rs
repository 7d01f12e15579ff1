//! Benchmarks of the host.

fn main() {}
