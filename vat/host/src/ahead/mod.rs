//! Deliveries that are run before their turn, on threads of a pool.
//!
//! [`attempt`] is one such run, which the pool's thread and the kernel's share. [`pool`] has the threads. [`bench`] says
//! how the syscalls of a run are answered while nobody can ask the kernel. [`task`] is other work of the threads: vats that
//! come back into memory, and sources. [`chaos`] delays, reorders and loses runs, for tests.

pub(crate) mod attempt;
pub(crate) mod bench;
pub(crate) mod chaos;
pub(crate) mod pool;
pub(crate) mod task;
pub(crate) mod turn;
