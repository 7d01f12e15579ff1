//! The price of everything a worker does, in points; a computron is 100 of them.
//!
//! An operator costs one point, except those that compile to nothing. What costs time in proportion
//! to an operand is charged by that operand. Measured on QuickJS under cranelift, points pass at 4
//! to 23 million a millisecond; the rates below keep the work that one point can buy within that
//! range.

use wasmer::sys::wasmparser::Operator;

/// Changes whenever a price or the instrumentation changes; part of every cache key.
pub const VERSION: u32 = 1;

/// Points in one computron.
pub const POINTS_PER_COMPUTRON: u64 = 100;

/// Bytes that a bulk memory operation handles for one point, as a power of two.
pub const BULK_BYTES_PER_POINT_LOG2: u32 = 3;

/// Points for each page of 64 KiB that `memory.grow` adds: what filling it would cost.
pub const PAGE_POINTS: u64 = 65_536 >> BULK_BYTES_PER_POINT_LOG2;

/// Locals that a function may have without paying a point for each to be zeroed at every call.
pub const FREE_LOCALS: u32 = 16;

/// Points for a call of any host function.
pub const HOST_CALL_POINTS: u64 = 10_000;

/// Points for each byte that crosses between worker and host: it is copied, decoded and encoded.
pub const HOST_BYTE_POINTS: u64 = 20;

/// What all frames of a worker's stack may cost together, in the units of [`frame_bytes`].
pub const STACK_BYTES: u32 = 1 << 20;

/// The native stack on which workers run, in bytes. Far more than any worker can use before its
/// stack counter, or the JavaScript engine's own limit, ends it: it must never decide anything.
pub const NATIVE_STACK_BYTES: usize = 96 << 20;

/// The points of one execution of `operator`, beside what its operands cost.
pub(crate) fn operator_points(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop => 0,
        _ => 1,
    }
}

/// What one frame of a function with `locals` locals (parameters included) and at most `operands`
/// values on its operand stack costs: eight bytes a value, and 64 for what every call needs.
pub fn frame_bytes(locals: u32, operands: u32) -> u32 {
    64 + 8 * (locals + operands)
}

/// Points as computrons, rounded up.
pub(crate) fn computrons(points: u64) -> u64 {
    points.div_ceil(POINTS_PER_COMPUTRON)
}
