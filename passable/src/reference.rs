//! References as this crate knows them.

use std::fmt;

/// A reference that a slot holds: to an object, a promise or a device node.
///
/// Its [`Display`](fmt::Display) form is what error texts show.
pub trait Reference: Clone + Ord + fmt::Display {
    /// Returns true if this refers to a promise, which a body names with `&` and not with `$`.
    fn is_promise(&self) -> bool;
}

/// The names of an account (`rp-60`), of the kernel (`kp40`) and of a vat (`p-60`).
impl Reference for String {
    fn is_promise(&self) -> bool {
        self.trim_start_matches(['r', 'k']).starts_with('p')
    }
}
