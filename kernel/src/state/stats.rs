//! Counters of the kernel's work for operators. They are node-local and never part of the hash.

use borsh::{BorshDeserialize, BorshSerialize};

/// Counters since genesis, kept with the state but outside its hash. The names are SwingSet's.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stats {
    /// Syscalls in all, sends of the kernel itself included.
    pub syscalls: u64,
    /// Syscalls `send`, and messages of the kernel's own.
    pub syscall_send: u64,
    /// Syscalls `callNow` that were made.
    pub syscall_call_now: u64,
    /// Syscalls `subscribe` that were made.
    pub syscall_subscribe: u64,
    /// Syscalls `resolve` that were made.
    pub syscall_resolve: u64,
    /// Syscalls `exit` that were made.
    pub syscall_exit: u64,
    /// Syscalls `vatstoreGet` that were made.
    pub syscall_vatstore_get: u64,
    /// Syscalls `vatstoreSet` that were made.
    pub syscall_vatstore_set: u64,
    /// Syscalls `vatstoreGetNextKey` that were made.
    pub syscall_vatstore_get_next_key: u64,
    /// Syscalls `vatstoreDelete` that were made.
    pub syscall_vatstore_delete: u64,
    /// Deliveries of messages and notifications.
    pub dispatches: u64,
    /// Deliveries of messages to any endpoint.
    pub dispatch_deliver: u64,
    /// Deliveries of notifications to any endpoint.
    pub dispatch_notify: u64,
    /// Kernel objects that exist.
    pub kernel_objects: Gauge,
    /// Kernel promises that exist.
    pub kernel_promises: Gauge,
    /// C-list entries of all vats.
    pub clist_entries: Gauge,
    /// Items on the run queue.
    pub run_queue_length: Gauge,
    /// Items on the acceptance queue.
    pub acceptance_queue_length: Gauge,
    /// Messages waiting on promises.
    pub promise_queues_length: Gauge,
}

/// Something that goes up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Gauge {
    /// The current value.
    pub value: u64,
    /// The number of increments.
    pub up: u64,
    /// The number of decrements.
    pub down: u64,
    /// The highest it was.
    pub max: u64,
}

impl Gauge {
    pub(crate) fn inc(&mut self) {
        self.value += 1;
        self.up += 1;
        self.max = self.max.max(self.value);
    }

    pub(crate) fn dec(&mut self) {
        self.value = self.value.saturating_sub(1);
        self.down += 1;
    }
}
