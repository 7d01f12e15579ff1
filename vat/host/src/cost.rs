//! Prices of all work of a worker, in points. A computron is 100 points.
//!
//! A point is meant to be 0.1 ns, so that computrons predict time. `capstan-bench cost` measures
//! it. An operator costs one point, with two exceptions: those that compile to nothing, and slow
//! operators in modules from users (`user_points`). In the JavaScript engine all operators have one
//! price. It is one program, and its mix of operators varies little. Work that is proportional to
//! an operand is charged by that operand.

use wasmer::sys::wasmparser::Operator;

/// Version of the prices and of the instrumentation, which is part of every cache key. It changes
/// whenever they do.
pub const VERSION: u32 = 7;

/// Number of points in one computron.
pub const POINTS_PER_COMPUTRON: u64 = 100;

/// Number of bytes that a bulk memory operation handles for one point, as a power of two.
pub const BULK_BYTES_PER_POINT_LOG2: u32 = 2;

/// Points for each page of 64 KiB that `memory.grow` adds, which is the price of filling it.
pub const PAGE_POINTS: u64 = 65_536 >> BULK_BYTES_PER_POINT_LOG2;

/// Points for `memory.grow` in a module from a user, besides its pages.
pub const GROW_POINTS: u64 = 2_000;

/// Points for a bulk memory operation in a module from a user, besides its bytes.
pub const BULK_POINTS: u64 = 200;

/// Number of locals that a function may have for free. Above it, each call pays a point for each
/// local, since all are zeroed.
pub const FREE_LOCALS: u32 = 16;

/// Points for a call in the JavaScript engine. Calls indicate work behind them: code with many
/// calls touches much memory.
pub const CALL_POINTS: u64 = 40;

/// Points for a call in a module from a user, including the metering and the stack counter around
/// it.
pub const USER_CALL_POINTS: u64 = 48;

/// Points for a call of any host function.
pub const HOST_CALL_POINTS: u64 = 5_000;

/// Points for each command of a JavaScript worker to the host, such as a syscall or a console line.
/// Each delivery costs ten times as many. They come on top of the points for host calls, since both
/// sides write and parse JSON.
pub const JSON_POINTS: u64 = 50_000;

/// Points for each byte that crosses between worker and host, which is copied, decoded and encoded.
pub const HOST_BYTE_POINTS: u64 = 20;

/// Computrons for each byte of a module from a user that is compiled. Singlepass compiles some two megabytes a
/// second.
pub const COMPILE_COMPUTRONS: u64 = 50;

/// Upper bound for all frames of a worker's stack together, in the units of [`frame_bytes`]. It is
/// the value of [`ModuleLimits::stack_bytes`](crate::ModuleLimits::stack_bytes) for modules from
/// users.
pub const STACK_BYTES: u32 = 1 << 20;

/// Size in bytes of the native stack on which workers run.
///
/// It must never decide an outcome. It is far more than a worker can use before its stack counter,
/// or the engine's own limit, terminates it.
pub const NATIVE_STACK_BYTES: usize = 96 << 20;

/// Returns the points of one execution of `operator` in a module from a user. Charges by operand
/// come on top.
pub(crate) fn user_points(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::I32DivS | Operator::I32DivU | Operator::I32RemS | Operator::I32RemU => 22,
        Operator::I64DivS | Operator::I64DivU | Operator::I64RemS | Operator::I64RemU => 44,
        Operator::F32Div | Operator::F64Div | Operator::F32Sqrt | Operator::F64Sqrt => 38,
        // Every result is tested, since a NaN has to be canonical.
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
        Operator::MemoryGrow { .. } => GROW_POINTS,
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => {
            BULK_POINTS
        }
        operator => engine_points(operator),
    }
}

/// Returns the points of one execution of `operator` in the JavaScript engine.
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

/// Returns the cost of one frame of a function with `locals` locals, parameters included.
///
/// At most `operands` values lie on its operand stack. A value costs eight bytes, and every call 64
/// more.
pub fn frame_bytes(locals: u32, operands: u32) -> u32 {
    64 + 8 * (locals + operands)
}

/// Converts points to computrons, rounding up.
pub(crate) fn computrons(points: u64) -> u64 {
    points.div_ceil(POINTS_PER_COMPUTRON)
}
