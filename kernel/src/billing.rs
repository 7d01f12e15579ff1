//! The work that meters pay for, and its prices.

use borsh::{BorshDeserialize, BorshSerialize};

/// The work for which the meter of a vat pays besides `startVat`, messages and notifications that succeed, and the prices of
/// what the kernel does for a vat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Billing {
    /// Lets a meter pay for all the work of its vat: starts, failed deliveries, garbage collection and returns to memory.
    /// A delivery can then spend no more than the meter holds.
    pub all_work: bool,
    /// The number of vats that blocks count as being in memory, the most recently used ones. With 0 no return is counted.
    pub resident_vats: u32,
    /// Bytes of memory of all these vats together. A vat counts as one more of them for each equal share of these bytes. With
    /// 0 every vat counts once.
    pub resident_bytes: u64,
    /// Computrons for a snapshot of a heap or its return to memory, besides its pages.
    pub restore: u64,
    /// Computrons for each page of a heap that is snapshotted or returns to memory. A snapshot counts each page that changed
    /// since the one before as five.
    pub page: u64,
    /// Computrons that a vat's meter pays for each crank.
    pub crank: u64,
    /// Computrons that a vat's meter pays for each entry of the state that a crank writes. The first look of
    /// a block at one costs about half of that, and each further one a thirty-second.
    pub write: u64,
    /// Computrons that a vat's meter pays for each byte of these entries.
    pub write_byte: u64,
    /// Computrons that a vat's meter deposits for each byte that the vat [keeps](crate::vat::Kept).
    pub kept_byte: u64,
}

/// Number of entries that a crank looks at for the price of one that it writes, if the block has looked at them before.
pub(crate) const READS_PER_WRITE: u64 = 32;

/// Number of such looks that the first look of a block at an entry counts besides: half of the price of a write.
pub(crate) const COLD_READS: u64 = READS_PER_WRITE / 2;

impl Billing {
    /// The bills of SwingSet, where a meter pays for `startVat`, messages and notifications that succeed.
    pub const SWINGSET: Self = Self {
        all_work: false,
        resident_vats: 0,
        resident_bytes: 0,
        restore: 0,
        page: 0,
        crank: 0,
        write: 0,
        write_byte: 0,
        kept_byte: 0,
    };

    /// Returns the computrons for entries that are written, their bytes, and entries that are looked at.
    pub(crate) fn work(&self, entries: u64, bytes: u64, reads: u64) -> u64 {
        let read = self.write.saturating_mul(reads) / READS_PER_WRITE;
        [self.write.saturating_mul(entries), self.write_byte.saturating_mul(bytes)]
            .into_iter()
            .fold(read, u64::saturating_add)
    }
}
