//! Prices of all work of a worker, in points. A computron is 100 points.
//!
//! Computrons foretell time: over all kinds of work, hostile ones included, a computron takes at most some three times what it
//! takes ordinary programs. `capstan-bench cost` measures it.
//!
//! In the JavaScript engine most operators have one price, since it is one program, and its mix of operators varies little. A
//! module from a user can consist of any operator, so each has the price of a chain of it. Where the time depends on what fits
//! the caches of a processor, the price is that of the worst case that the module's size allows. Work that is proportional to
//! an operand is charged by that operand.

use wasmer::sys::wasmparser::Operator;

/// Version of the prices and of the instrumentation, which is part of every cache key. It changes
/// whenever they do.
pub const VERSION: u32 = 15;

/// Number of points in one computron.
pub const POINTS_PER_COMPUTRON: u64 = 100;

/// Number of bytes that a bulk memory operation handles for one point, as a power of two.
pub const BULK_BYTES_PER_POINT_LOG2: u32 = 1;

/// Points for each page of 64 KiB that `memory.grow` adds to the memory of the JavaScript engine. The system provides its parts when
/// they are written to for the first time.
pub const PAGE_POINTS: u64 = 150_000;

/// Points for each page of 64 KiB that a module from a user starts with or adds by `memory.grow`. The
/// system provides its parts when they are written to for the first time.
pub const USER_PAGE_POINTS: u64 = 230_000;

/// Points for `memory.grow` in a module from a user, besides its pages.
pub const GROW_POINTS: u64 = 300;

/// Points for a bulk memory operation in a module from a user, besides its bytes.
pub const BULK_POINTS: u64 = 200;

/// Points for a `memory.fill` of no bytes in a module from a user, besides those of any. It takes processors longer than one of some
/// bytes.
pub const EMPTY_FILL_POINTS: u64 = 1_500;

/// Points for each subnormal operand or result of a multiplication, division, square root or conversion of floats in a module
/// from a user. Processors take a detour for them.
pub const SUBNORMAL_POINTS: u64 = 230;

/// Number of locals that a function may have for free, parameters included. Above it, each call pays a point for each
/// local, since all are zeroed or copied.
pub const FREE_LOCALS: u32 = 16;

/// Points for a multiplication, division or square root of floats in the JavaScript engine.
const ENGINE_FLOAT_POINTS: u64 = 60;

/// Points for a call in the JavaScript engine. Calls indicate work behind them: code with many
/// calls touches much memory.
pub const CALL_POINTS: u64 = 40;

/// Largest size of the functions of a module from a user whose machine code fits the caches of a processor's core.
const SMALL_CODE_BYTES: u64 = 8 << 10;

/// Largest size of functions whose machine code fits the larger of those caches.
const MEDIUM_CODE_BYTES: u64 = 64 << 10;

/// Largest size of functions of which most machine code fits that cache.
const LARGE_CODE_BYTES: u64 = 256 << 10;

/// Points for a call of any host function.
pub const HOST_CALL_POINTS: u64 = 5_000;

/// Points for each command of a JavaScript worker to the host, such as a syscall or a console line.
/// Each delivery costs ten times as many. They come on top of the points for host calls, since both
/// sides write and parse JSON.
pub const JSON_POINTS: u64 = 50_000;

/// Points for the start of a JavaScript worker, besides those that it spends. It is a view of its bundle's image, and the system
/// copies the pages that the start of its vat writes to.
pub const START_POINTS: u64 = 12_000_000;

/// Points of a `bringOutYourDead` for each page of 64 KiB of a JavaScript worker's memory, besides those that it spends. The engine
/// writes to every object, so the system copies each page, and the host then compares them with the image that vats share.
const COLLECTION_PAGE_POINTS: u64 = 150_000;

/// Points for each byte that crosses between worker and host, which is copied, decoded and encoded.
pub const HOST_BYTE_POINTS: u64 = 20;

/// Points for a console line, besides those for the call.
pub const LINE_POINTS: u64 = 30_000;

/// Points for each byte of a console line that is kept. The line goes through the log, the traces and a filter for
/// characters that no terminal shows.
pub const LINE_BYTE_POINTS: u64 = 60;

/// Computrons for compiling a module from a user, besides its parts.
const COMPILE_MODULE_COMPUTRONS: u64 = 50_000;

/// Computrons for each byte of a module that is compiled, besides its operators. The bytes are hashed, checked and copied.
const COMPILE_BYTE_COMPUTRONS: u64 = 2;

/// Computrons for each unit of a compiler's work, which is about what an operator of integers takes it.
const COMPILE_UNIT_COMPUTRONS: u64 = 30;

/// Units of a compiler's work for a function besides its operators. It gets a frame, unwinding information and an entry of
/// the table of functions.
pub(crate) const COMPILE_FUNCTION_UNITS: u64 = 60;

/// Units of a compiler's work for a function type or an import besides its parameters, for which it makes a trampoline.
pub(crate) const COMPILE_TYPE_UNITS: u64 = 40;

/// Number of locals of a function whose initial zeros take a compiler a unit.
pub(crate) const COMPILE_LOCALS_PER_UNIT: u64 = 16;

/// Upper bound for all frames of a worker's stack together, in the units of [`frame_bytes`]. It is
/// the value of [`ModuleLimits::stack_bytes`](crate::ModuleLimits::stack_bytes) for modules from
/// users.
pub const STACK_BYTES: u32 = 1 << 20;

/// Size in bytes of the native stack on which workers run.
///
/// It must never decide an outcome. It is far more than a worker can use before its stack counter,
/// or the engine's own limit, terminates it.
pub const NATIVE_STACK_BYTES: usize = 96 << 20;

/// Prices of the operators of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prices {
    /// Prices of the JavaScript engine.
    Engine,
    /// Prices of a module from a user.
    User(UserPrices),
}

/// Prices of a module from a user that depend on what fits the caches of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserPrices {
    /// Points for a read or a write.
    access: u64,
    /// Points for a branch that a condition decides.
    branch: u64,
    /// Points for a direct call.
    call: u64,
    /// Points for a jump through a table, besides those for a call.
    jump: u64,
}

impl Prices {
    /// Returns the prices of a module from a user, with at most `memory_pages` pages of memory and functions of `code_bytes`
    /// bytes together.
    pub(crate) fn user(memory_pages: u32, code_bytes: u64) -> Self {
        let access = access_points(memory_pages);
        let (branch, call, jump) = match code_bytes {
            bytes if bytes <= SMALL_CODE_BYTES => (21, 52, 118),
            bytes if bytes <= MEDIUM_CODE_BYTES => (23, 325, 160),
            bytes if bytes <= LARGE_CODE_BYTES => (57, 490, 310),
            _ => (86, 560, 620),
        };
        Self::User(UserPrices { access, branch, call, jump })
    }

    /// Returns the points for each page that `memory.grow` adds.
    pub(crate) fn page_points(&self) -> u64 {
        match self {
            Self::Engine => PAGE_POINTS,
            Self::User(_) => USER_PAGE_POINTS,
        }
    }

    /// Checks whether subnormal operands and results are charged.
    pub(crate) fn charges_subnormals(&self) -> bool {
        matches!(self, Self::User(_))
    }

    /// Returns the additional points of a bulk operation of no bytes.
    pub(crate) fn empty_points(&self, operator: &Operator<'_>) -> u64 {
        match (self, operator) {
            (Self::User(_), Operator::MemoryFill { .. }) => EMPTY_FILL_POINTS,
            _ => 0,
        }
    }

    /// Returns the points of one execution of `operator`. Charges by operand come on top.
    pub(crate) fn points(&self, operator: &Operator<'_>) -> u64 {
        match self {
            Self::Engine => engine_points(operator),
            Self::User(prices) => prices.points(operator),
        }
    }
}

/// Returns the points for a read or a write in a module from a user whose memory has at most
/// `max_pages` pages of 64 KiB.
///
/// They are the price of an address that is as far away as that memory allows: in a cache of the
/// processor's core, in one that cores share, or in main memory.
pub fn access_points(max_pages: u32) -> u64 {
    match max_pages {
        0..=16 => 56,
        17..=32 => 450,
        33..=64 => 700,
        65..=256 => 1_700,
        257..=1_024 => 2_000,
        _ => 2_800,
    }
}

impl UserPrices {
    fn points(self, operator: &Operator<'_>) -> u64 {
        match operator {
            Operator::Call { .. } => self.call,
            Operator::CallIndirect { .. } => self.call + self.jump,
            Operator::BrTable { .. } => self.jump,
            Operator::BrIf { .. } | Operator::If { .. } => self.branch,
            Operator::MemoryGrow { .. } => GROW_POINTS,
            Operator::MemorySize { .. } => 38,
            Operator::MemoryFill { .. } => BULK_POINTS + self.access,
            Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => {
                BULK_POINTS + 2 * self.access
            }
            operator if is_access(operator) => self.access,
            operator => integer_points(operator)
                .or_else(|| float_points(operator))
                .unwrap_or_else(|| engine_points(operator)),
        }
    }
}

/// Returns the computrons for compiling a module from a user of `bytes` bytes, whose parts take a compiler `units`.
///
/// Singlepass takes as long for an operator wherever it stands, so long functions cost no more than short ones.
pub(crate) fn compile_computrons(bytes: usize, units: u64) -> u64 {
    (bytes as u64)
        .saturating_mul(COMPILE_BYTE_COMPUTRONS)
        .saturating_add(units.saturating_mul(COMPILE_UNIT_COMPUTRONS))
        .saturating_add(COMPILE_MODULE_COMPUTRONS)
}

/// Returns the units of a compiler's work for `operator` besides one, and one for each operator that is added to it.
pub(crate) fn compile_units(operator: &Operator<'_>) -> u64 {
    use Operator as O;
    match operator {
        // Each target is a jump.
        O::BrTable { targets } => u64::from(targets.len()),
        // An address is checked against the memory's bound.
        operator if is_access(operator) => 5,
        O::MemorySize { .. } | O::MemoryGrow { .. } => 2,
        O::F32Abs | O::F32Neg | O::F32Min | O::F32Max => 3,
        O::F64Abs | O::F64Neg | O::F64Min | O::F64Max => 3,
        O::I32TruncF32S | O::I32TruncF32U | O::I32TruncF64S | O::I32TruncF64U => 5,
        O::I64TruncF32S | O::I64TruncF32U | O::I64TruncF64S | O::I64TruncF64U => 5,
        O::I32TruncSatF32S | O::I32TruncSatF32U | O::I32TruncSatF64S | O::I32TruncSatF64U => 5,
        O::I64TruncSatF32S | O::I64TruncSatF32U | O::I64TruncSatF64S | O::I64TruncSatF64U => 5,
        O::F32ConvertI64U | O::F64ConvertI64U => 4,
        _ => 0,
    }
}

/// Checks whether `operator` reads or writes the memory at an address.
fn is_access(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::I32Load { .. }
            | O::I64Load { .. }
            | O::F32Load { .. }
            | O::F64Load { .. }
            | O::I32Load8S { .. }
            | O::I32Load8U { .. }
            | O::I32Load16S { .. }
            | O::I32Load16U { .. }
            | O::I64Load8S { .. }
            | O::I64Load8U { .. }
            | O::I64Load16S { .. }
            | O::I64Load16U { .. }
            | O::I64Load32S { .. }
            | O::I64Load32U { .. }
            | O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
    )
}

/// Returns the points of operators of integers that take more than a point.
fn integer_points(operator: &Operator<'_>) -> Option<u64> {
    use Operator as O;
    Some(match operator {
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU => 35,
        O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => 46,
        O::I32Add | O::I32Sub | O::I32And | O::I32Or | O::I32Xor => 2,
        O::I64Add | O::I64Sub | O::I64And | O::I64Or | O::I64Xor => 2,
        O::I32Mul | O::I64Mul => 7,
        O::I32Clz | O::I32Ctz | O::I32Popcnt | O::I64Clz | O::I64Ctz | O::I64Popcnt => 6,
        O::I32Shl | O::I32ShrS | O::I32ShrU | O::I32Rotl | O::I32Rotr => 3,
        O::I64Shl | O::I64ShrS | O::I64ShrU | O::I64Rotl | O::I64Rotr => 3,
        O::I32Eqz | O::I32Eq | O::I32Ne | O::I64Eqz | O::I64Eq | O::I64Ne => 8,
        O::I32LtS | O::I32LtU | O::I32GtS | O::I32GtU => 8,
        O::I32LeS | O::I32LeU | O::I32GeS | O::I32GeU => 8,
        O::I64LtS | O::I64LtU | O::I64GtS | O::I64GtU => 8,
        O::I64LeS | O::I64LeU | O::I64GeS | O::I64GeU => 8,
        O::I32WrapI64 | O::I64ExtendI32S | O::I64ExtendI32U => 2,
        O::I32Extend8S | O::I32Extend16S => 3,
        O::I64Extend8S | O::I64Extend16S | O::I64Extend32S => 3,
        O::Select => 2,
        _ => return None,
    })
}

/// Returns the points of operators of floats. Every result is tested, since a NaN has to be canonical.
fn float_points(operator: &Operator<'_>) -> Option<u64> {
    use Operator as O;
    Some(match operator {
        O::F32Add | O::F32Sub | O::F64Add | O::F64Sub => 11,
        O::F32Mul | O::F64Mul => 86,
        O::F32Div | O::F64Div => 112,
        O::F32Sqrt | O::F64Sqrt => 128,
        O::F32Min | O::F32Max | O::F64Min | O::F64Max => 28,
        O::F32Ceil | O::F32Floor | O::F32Trunc | O::F32Nearest => 18,
        O::F64Ceil | O::F64Floor | O::F64Trunc | O::F64Nearest => 18,
        O::F32Neg | O::F32Abs | O::F64Neg | O::F64Abs => 54,
        O::F32Copysign | O::F64Copysign => 29,
        O::F64PromoteF32 | O::F32DemoteF64 => 130,
        O::F32Eq | O::F32Ne | O::F32Lt | O::F32Gt | O::F32Le | O::F32Ge => 17,
        O::F64Eq | O::F64Ne | O::F64Lt | O::F64Gt | O::F64Le | O::F64Ge => 17,
        O::I32ReinterpretF32 | O::I64ReinterpretF64 => 12,
        O::F32ReinterpretI32 | O::F64ReinterpretI64 => 12,
        O::I32TruncF32S | O::I32TruncF32U | O::I32TruncF64S | O::I32TruncF64U => 50,
        O::I64TruncF32S | O::I64TruncF32U | O::I64TruncF64S | O::I64TruncF64U => 50,
        O::I32TruncSatF32S | O::I32TruncSatF32U | O::I32TruncSatF64S | O::I32TruncSatF64U => 50,
        O::I64TruncSatF32S | O::I64TruncSatF32U | O::I64TruncSatF64S | O::I64TruncSatF64U => 50,
        O::F32ConvertI32S | O::F32ConvertI32U | O::F32ConvertI64S | O::F32ConvertI64U => 36,
        O::F64ConvertI32S | O::F64ConvertI32U | O::F64ConvertI64S | O::F64ConvertI64U => 36,
        _ => return None,
    })
}

/// Returns the points of one execution of `operator` in the JavaScript engine.
fn engine_points(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop => 0,
        Operator::Call { .. } | Operator::CallIndirect { .. } => CALL_POINTS,
        // What subnormal numbers take is spread over all of them.
        Operator::F64Mul | Operator::F64Div | Operator::F64Sqrt => ENGINE_FLOAT_POINTS,
        _ => 1,
    }
}

/// Returns what a delivery to a JavaScript vat costs in percent of its operators' prices, by the size of the vat's memory in
/// bytes when the delivery begins.
///
/// The more memory a program uses, the further away are its objects.
pub fn memory_percent(bytes: usize) -> u64 {
    match bytes >> 20 {
        0..=24 => 100,
        25..=48 => 160,
        _ => 200,
    }
}

/// Returns the points of a `bringOutYourDead` to a JavaScript vat besides those that it spends, by the size of its memory in bytes
/// when it begins.
pub fn collection_points(bytes: usize) -> u64 {
    (bytes as u64 >> 16).saturating_mul(COLLECTION_PAGE_POINTS)
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

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/design/vat-host.md");

    fn of(size: u64, price: impl Fn(&UserPrices) -> u64) -> u64 {
        match Prices::user(1, size) {
            Prices::User(prices) => price(&prices),
            Prices::Engine => unreachable!("prices of a module from a user"),
        }
    }

    fn listed(prices: impl Iterator<Item = u64>) -> String {
        let separated = |price: u64| match price {
            0..1_000 => price.to_string(),
            _ => format!("{},{:03}", price / 1_000, price % 1_000),
        };
        prices.map(separated).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_page_on_the_vat_host_names_the_prices() {
        use Operator as O;
        let sizes = [SMALL_CODE_BYTES, MEDIUM_CODE_BYTES, LARGE_CODE_BYTES, LARGE_CODE_BYTES + 1];
        let by_size =
            |price: fn(&UserPrices) -> u64| listed(sizes.map(|s| of(s, price)).into_iter());
        let memories = [16, 32, 64, 256, 1_024, 1_025];
        let points = |operators: &[O<'_>]| {
            listed(operators.iter().map(|operator| Prices::user(1, 1).points(operator)))
        };
        for row in [
            format!("| 40 | {} |", by_size(|prices| prices.call)),
            format!("| 1 | {} |", by_size(|prices| prices.branch)),
            format!("| 1 and 0 | {} |", by_size(|prices| prices.jump)),
            format!("| 1 | {} |", listed(memories.map(access_points).into_iter())),
            format!("integers | 1 | {} |", points(&[O::I64Mul, O::I64Shl, O::I64LtS])),
            format!("64 bits | 1 | {} |", points(&[O::I32DivS, O::I64DivS])),
            format!("| {} |", points(&[O::F64Add, O::F64Mul, O::F64Div, O::F64Sqrt])),
            format!("| 1 | {} |", points(&[O::F64Neg, O::F64Copysign])),
            format!(
                "| 1 | {}; {} |",
                points(&[O::F32DemoteF64, O::I64TruncF64S, O::F64ConvertI64S]),
                points(&[O::I64ReinterpretF64])
            ),
            format!("integers | 1 | {} |", points(&[O::I64Add])),
            format!("floats | 0 | {SUBNORMAL_POINTS} |"),
            format!("| {} and {} |", GROW_POINTS, listed([USER_PAGE_POINTS].into_iter())),
            format!("besides | 0 | {} |", listed([EMPTY_FILL_POINTS].into_iter())),
        ] {
            assert!(PAGE.contains(&row), "docs/design/vat-host.md has no `{row}`");
        }
    }
}
