//! Counters of what the kernel did: node-local, for operators; never part of the hash.

use borsh::{BorshDeserialize, BorshSerialize};

/// Counters since genesis, kept with the state but outside its hash. The names are SwingSet's.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stats {
    /// Syscalls in all, sends of the kernel itself included.
    pub syscalls: u64,
    /// `send`.
    pub syscall_send: u64,
    /// `callNow`.
    pub syscall_call_now: u64,
    /// `subscribe`.
    pub syscall_subscribe: u64,
    /// `resolve`.
    pub syscall_resolve: u64,
    /// `exit`.
    pub syscall_exit: u64,
    /// `vatstoreGet`.
    pub syscall_vatstore_get: u64,
    /// `vatstoreSet`.
    pub syscall_vatstore_set: u64,
    /// `vatstoreGetNextKey`.
    pub syscall_vatstore_get_next_key: u64,
    /// `vatstoreDelete`.
    pub syscall_vatstore_delete: u64,
    /// Deliveries of messages and notifications.
    pub dispatches: u64,
    /// Deliveries of messages.
    pub dispatch_deliver: u64,
    /// Deliveries of notifications.
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
    /// Its value now.
    pub value: u64,
    /// How often it went up.
    pub up: u64,
    /// How often it went down.
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
