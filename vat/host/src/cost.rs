//! The price of everything a worker does, in points; a computron is 100 of them.
//!
//! A point is meant to be 0.1 ns, so that computrons foretell time: `capstan-bench cost` measures it.
//! An operator costs one point, except those that compile to nothing and, in modules from users, those
//! that take a processor longer (`user_points`). In the JavaScript engine all have one price: it is
//! one program, whatever runs on it, and its mix of operators varies little. What costs time in
//! proportion to an operand is charged by that operand.

use wasmer::sys::wasmparser::Operator;

/// Changes whenever a price or the instrumentation changes; part of every cache key.
pub const VERSION: u32 = 6;

/// Points in one computron.
pub const POINTS_PER_COMPUTRON: u64 = 100;

/// Bytes that a bulk memory operation handles for one point, as a power of two.
pub const BULK_BYTES_PER_POINT_LOG2: u32 = 2;

/// Points for each page of 64 KiB that `memory.grow` adds: what filling it would cost.
pub const PAGE_POINTS: u64 = 65_536 >> BULK_BYTES_PER_POINT_LOG2;

/// Locals that a function may have without paying a point for each to be zeroed at every call.
pub const FREE_LOCALS: u32 = 16;

/// Points for a call in the JavaScript engine, for what it says of the work behind it: much memory is touched
/// where much is called.
pub const CALL_POINTS: u64 = 40;

/// Points for a call in a module from a user, with the metering and the stack counter around it.
pub const USER_CALL_POINTS: u64 = 48;

/// Points for a call of any host function.
pub const HOST_CALL_POINTS: u64 = 5_000;

/// Points for each command of a JavaScript worker to the host (a syscall, a line for the console), and ten
/// times as many for each delivery, beside those for host calls: JSON is written and parsed on both sides.
pub const JSON_POINTS: u64 = 50_000;

/// Points for each byte that crosses between worker and host: it is copied, decoded and encoded.
pub const HOST_BYTE_POINTS: u64 = 20;

/// What all frames of a worker's stack may cost together, in the units of [`frame_bytes`].
pub const STACK_BYTES: u32 = 1 << 20;

/// The native stack on which workers run, in bytes. Far more than any worker can use before its
/// stack counter, or the JavaScript engine's own limit, ends it: it must never decide anything.
pub const NATIVE_STACK_BYTES: usize = 96 << 20;

/// The points of one execution of `operator`, beside what its operands cost, in a module from a user.
pub(crate) fn user_points(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::I32DivS | Operator::I32DivU | Operator::I32RemS | Operator::I32RemU => 22,
        Operator::I64DivS | Operator::I64DivU | Operator::I64RemS | Operator::I64RemU => 44,
        Operator::F32Div | Operator::F64Div | Operator::F32Sqrt | Operator::F64Sqrt => 38,
        // Every result is looked at, since a NaN has to be canonical.
        Operator::F32Add
        | Operator::F32Sub
        | Operator::F32Mul
        | Operator::F32Min
        | Operator::F32Max
        | Operator::F32Ceil
        | Operator::F32Floor
        | Operator::F32Trunc
        | Operator::F32Nearest
        | Operator::F64Add
        | Operator::F64Sub
        | Operator::F64Mul
        | Operator::F64Min
        | Operator::F64Max
        | Operator::F64Ceil
        | Operator::F64Floor
        | Operator::F64Trunc
        | Operator::F64Nearest
        | Operator::F64PromoteF32
        | Operator::F32DemoteF64 => 11,
        Operator::Call { .. } | Operator::CallIndirect { .. } => USER_CALL_POINTS,
        operator => engine_points(operator),
    }
}

/// The points of one execution of `operator` in the JavaScript engine.
pub(crate) fn engine_points(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop => 0,
        Operator::Call { .. } | Operator::CallIndirect { .. } => CALL_POINTS,
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
