//! What the host adds to a module before it is compiled: charges by length, the stack counter, the
//! end at a refused `memory.grow`, canonical NaNs where a compiler forgets them, and exports of what a
//! snapshot must hold.
//!
//! Works on top of the [`Metering`](wasmer_middlewares::Metering) middleware, which must come before
//! it in the chain: the operators that metering inserts pass through here, none that are inserted
//! here are metered.

use std::sync::{Arc, Mutex, PoisonError};

use wasmer::{
    ExportIndex, GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type,
    sys::{
        FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware,
        wasmparser::{BlockType, Operator, ValType},
    },
};
use wasmer_middlewares::metering::is_accounting;
use wasmer_types::GlobalIndex;

use crate::cost;

/// Changes whenever the inserted code changes; part of every cache key.
pub(crate) const VERSION: u32 = 4;

/// The metering middleware's global with the points that are left.
pub(crate) const POINTS: &str = "wasmer_metering_remaining_points";
/// The metering middleware's global that is 1 once points ran out.
pub(crate) const EXHAUSTED: &str = "wasmer_metering_points_exhausted";
/// The stack counter; over the limit after a trap if the trap was for the stack.
pub(crate) const DEPTH: &str = "capstan.depth";
/// The module's mutable globals are exported under this prefix and their index.
pub(crate) const GLOBAL_PREFIX: &str = "capstan.global.";

/// How many operators `operator` becomes, with what is added for metering (12 at the end of each basic
/// block) and here, roughly.
pub(crate) fn weight(operator: &Operator<'_>) -> u64 {
    let metering = if is_accounting(operator) { 12 } else { 0 };
    let added = match operator {
        Operator::Call { .. } | Operator::CallIndirect { .. } => 14,
        Operator::MemoryGrow { .. } => 38,
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => {
            20
        }
        _ => 0,
    };
    1 + metering + added
}

/// The middleware of one module.
#[derive(Debug)]
pub(crate) struct Instrument {
    /// The memory's maximum: what goes beyond is refused, so not charged.
    pub(crate) memory_max_pages: u32,
    /// The stack counter's limit; none to have no counter.
    pub(crate) stack_bytes: Option<u32>,
    /// The stack cost of each function with a body.
    pub(crate) frame_bytes: Arc<[u32]>,
    /// Where the globals of this middleware and of metering are, once known.
    pub(crate) globals: Mutex<Option<Globals>>,
}

/// The indexes of the private globals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Globals {
    points: u32,
    exhausted: u32,
    scratch: u32,
    depth: u32,
}

impl ModuleMiddleware for Instrument {
    fn generate_function_middleware<'a>(
        &self,
        function: LocalFunctionIndex,
    ) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let globals = self.globals.lock().unwrap_or_else(PoisonError::into_inner);
        let frame_bytes = self.frame_bytes.get(function.as_u32() as usize);
        let stack = self.stack_bytes.zip(frame_bytes.copied());
        Box::new(InstrumentFunction {
            globals: *globals,
            memory_max_pages: self.memory_max_pages,
            stack: stack.map(|(limit, frame)| Stack { limit, frame }),
            locals: 0,
            entered: false,
        })
    }

    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let (points, exhausted) =
            (metering_global(info, POINTS)?, metering_global(info, EXHAUSTED)?);
        // Metering appended its globals after the module's own.
        let mutable: Vec<GlobalIndex> = info
            .globals
            .iter()
            .filter(|(index, ty)| *index < points && ty.mutability == Mutability::Var)
            .map(|(index, _)| index)
            .collect();
        for index in mutable {
            let name = format!("{GLOBAL_PREFIX}{}", index.as_u32());
            info.exports.insert(name, ExportIndex::Global(index));
        }
        let scratch = push_i32(info);
        let depth = push_i32(info);
        info.exports.insert(DEPTH.to_owned(), ExportIndex::Global(depth));
        *self.globals.lock().unwrap_or_else(PoisonError::into_inner) = Some(Globals {
            points: points.as_u32(),
            exhausted: exhausted.as_u32(),
            scratch: scratch.as_u32(),
            depth: depth.as_u32(),
        });
        Ok(())
    }
}

fn metering_global(info: &ModuleInfo, name: &str) -> Result<GlobalIndex, MiddlewareError> {
    match info.exports.get(name) {
        Some(ExportIndex::Global(index)) => Ok(*index),
        _ => Err(MiddlewareError::new("capstan", "metering must come first in the chain")),
    }
}

fn push_i32(info: &mut ModuleInfo) -> GlobalIndex {
    info.global_initializers.push(GlobalInit::I32Const(0));
    info.globals.push(GlobalType::new(Type::I32, Mutability::Var))
}

#[derive(Clone, Copy, Debug)]
struct Stack {
    limit: u32,
    frame: u32,
}

#[derive(Debug)]
struct InstrumentFunction {
    globals: Option<Globals>,
    memory_max_pages: u32,
    stack: Option<Stack>,
    locals: u32,
    entered: bool,
}

impl<'a> FunctionMiddleware<'a> for InstrumentFunction {
    fn locals_info(&mut self, locals: &[ValType]) {
        self.locals = u32::try_from(locals.len()).unwrap_or(u32::MAX);
    }

    fn feed(
        &mut self,
        operator: Operator<'a>,
        state: &mut MiddlewareReaderState<'a>,
    ) -> Result<(), MiddlewareError> {
        let globals = self
            .globals
            .ok_or_else(|| MiddlewareError::new("capstan", "a function came before its module"))?;
        if !std::mem::replace(&mut self.entered, true) && self.locals > cost::FREE_LOCALS {
            state.extend(&globals.charge(&[i64_const(i64::from(self.locals))]));
        }
        match operator {
            Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. } => {
                state.extend(&[globals.set_scratch()]);
                state.extend(&globals.charge(&globals.bulk_points()));
                state.extend(&[globals.get_scratch(), operator]);
            }
            Operator::MemoryGrow { .. } => {
                state.extend(&[globals.set_scratch()]);
                state.extend(&globals.charge(&globals.grow_points(self.memory_max_pages)));
                state.extend(&[globals.get_scratch(), operator, globals.set_scratch()]);
                state.extend(&globals.end_if_refused());
                state.extend(&[globals.get_scratch()]);
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } => match self.stack {
                Some(stack) => {
                    state.extend(&globals.enter(stack));
                    state.push_operator(operator);
                    state.extend(&globals.leave(stack));
                }
                None => state.push_operator(operator),
            },
            // Singlepass (7.4.2) does not make the NaN that these yield canonical. A product is made so
            // by every compiler, and multiplying by one changes nothing else.
            Operator::F64PromoteF32 => {
                let one = Operator::F64Const { value: 1.0.into() };
                state.extend(&[operator, one, Operator::F64Mul]);
            }
            Operator::F32DemoteF64 => {
                let one = Operator::F32Const { value: 1.0.into() };
                state.extend(&[operator, one, Operator::F32Mul]);
            }
            // Singlepass delays making a NaN canonical until it is stored, and forgets to after these.
            // Looking at a value's bits makes it canonical at once.
            Operator::F32Neg | Operator::F32Abs => {
                state.extend(&[Operator::I32ReinterpretF32, Operator::F32ReinterpretI32, operator]);
            }
            Operator::F64Neg | Operator::F64Abs => {
                state.extend(&[Operator::I64ReinterpretF64, Operator::F64ReinterpretI64, operator]);
            }
            other => state.push_operator(other),
        }
        Ok(())
    }
}

impl Globals {
    fn set_scratch<'a>(self) -> Operator<'a> {
        Operator::GlobalSet { global_index: self.scratch }
    }

    fn get_scratch<'a>(self) -> Operator<'a> {
        Operator::GlobalGet { global_index: self.scratch }
    }

    /// Takes the points that `price` leaves on the stack (as i64), or ends the vat if there are not
    /// enough. `price` is evaluated twice.
    fn charge<'a>(self, price: &[Operator<'a>]) -> Vec<Operator<'a>> {
        let get = Operator::GlobalGet { global_index: self.points };
        let mut code = vec![get.clone()];
        code.extend_from_slice(price);
        code.extend([
            Operator::I64LtU,
            Operator::If { blockty: BlockType::Empty },
            i32_const(1),
            Operator::GlobalSet { global_index: self.exhausted },
            Operator::Unreachable,
            Operator::End,
            get,
        ]);
        code.extend_from_slice(price);
        code.extend([Operator::I64Sub, Operator::GlobalSet { global_index: self.points }]);
        code
    }

    /// The price of a bulk operation over as many bytes as the scratch global says.
    fn bulk_points<'a>(self) -> [Operator<'a>; 4] {
        [
            self.get_scratch(),
            Operator::I64ExtendI32U,
            i64_const(i64::from(cost::BULK_BYTES_PER_POINT_LOG2)),
            Operator::I64ShrU,
        ]
    }

    /// The price of growing the memory by as many pages as the scratch global says. More than there
    /// can ever be is refused, and ends the vat for that reason.
    fn grow_points<'a>(self, max_pages: u32) -> [Operator<'a>; 9] {
        [
            self.get_scratch(),
            Operator::I64ExtendI32U,
            i64_const(cost::PAGE_POINTS as i64),
            Operator::I64Mul,
            i64_const(0),
            self.get_scratch(),
            i32_const(max_pages as i32),
            Operator::I32LeU,
            Operator::Select,
        ]
    }

    /// Ends the vat if the scratch global is the -1 of a refused `memory.grow`: the host has
    /// remembered why.
    fn end_if_refused<'a>(self) -> [Operator<'a>; 6] {
        [
            self.get_scratch(),
            i32_const(-1),
            Operator::I32Eq,
            Operator::If { blockty: BlockType::Empty },
            Operator::Unreachable,
            Operator::End,
        ]
    }

    /// Counts the caller's frame before a call. Counting at the call, not at the entry, spares leaf
    /// functions the counter, and needs no care for the many ways out of a function.
    fn enter<'a>(self, stack: Stack) -> [Operator<'a>; 10] {
        let depth = Operator::GlobalGet { global_index: self.depth };
        [
            depth.clone(),
            i32_const(stack.frame as i32),
            Operator::I32Add,
            Operator::GlobalSet { global_index: self.depth },
            depth,
            i32_const(stack.limit as i32),
            Operator::I32GtU,
            Operator::If { blockty: BlockType::Empty },
            Operator::Unreachable,
            Operator::End,
        ]
    }

    fn leave<'a>(self, stack: Stack) -> [Operator<'a>; 4] {
        [
            Operator::GlobalGet { global_index: self.depth },
            i32_const(stack.frame as i32),
            Operator::I32Sub,
            Operator::GlobalSet { global_index: self.depth },
        ]
    }
}

fn i32_const<'a>(value: i32) -> Operator<'a> {
    Operator::I32Const { value }
}

fn i64_const<'a>(value: i64) -> Operator<'a> {
    Operator::I64Const { value }
}
