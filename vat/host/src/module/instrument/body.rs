//! Instrumentation of one function's body.
//!
//! # Metering
//!
//! While a function runs, the remaining points are in a local of its own. The price of each basic
//! block is subtracted from it. A compiler mostly keeps that local in a register, where a global
//! would be read, compared and written for every block. The global is up to date whenever other
//! code reads it: before a call and when the function ends. After a call it is read again.
//!
//! The points are checked at the start of a function, in each iteration of a loop, before a bulk
//! operation and in every host function. So a module may go below zero by the price of code without
//! loops and calls. It still counts as exhausted then, since the host makes the last check.

use wasm_encoder::{BlockType, Encode as _, Instruction, ValType};
use wasmer::sys::wasmparser::{
    BinaryReaderError, FuncType, FunctionBody, Operator, ValType as ParsedType,
};

use super::{
    Globals,
    code::{Code, Stack},
    subnormal::Slow,
};
use crate::cost::{self, Prices};

/// Checks whether the code after `operator` may run a different number of times than the code
/// before.
pub(super) fn ends_basic_block(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::Return
    )
}

/// Properties of a function besides its body.
pub(super) struct Function<'a> {
    pub(super) module: &'a [u8],
    pub(super) ty: &'a FuncType,
    pub(super) globals: Globals,
    /// Maximum of the memory. Growth beyond it is refused and so not charged.
    pub(super) memory_max_pages: u32,
    pub(super) stack: Option<Stack>,
    pub(super) prices: Prices,
}

impl Function<'_> {
    /// Returns the body with everything that is added.
    pub(super) fn rewrite(&self, body: &FunctionBody<'_>) -> Result<Vec<u8>, BinaryReaderError> {
        let mut reader = body.get_locals_reader()?;
        let (groups, start) = (reader.get_count(), reader.original_position());
        let mut locals = 0;
        for _ in 0..groups {
            locals += reader.read()?.0;
        }
        let declared = &self.module[start as usize..reader.original_position() as usize];

        let mut out = Vec::with_capacity(2 * body.as_bytes().len());
        let floats = self.prices.charges_subnormals() && has_slow_floats(body)?;
        let mut added = vec![(1_u32, ValType::I64), (1, ValType::I32)];
        if floats {
            added.extend([(2, ValType::F64), (2, ValType::F32)]);
        }
        (groups + added.len() as u32).encode(&mut out);
        out.extend_from_slice(declared);
        for (count, ty) in added {
            count.encode(&mut out);
            ty.encode(&mut out);
        }
        // The gate has bounded both.
        let own = self.ty.params().len() as u32 + locals;
        let floats = floats.then_some(own + 2);
        let mut writer = Writer {
            code: Code { out, globals: self.globals, left: own, scratch: own + 1, floats },
            function: self,
            price: if own > cost::FREE_LOCALS { u64::from(own) } else { 0 },
        };
        writer.operators(body)?;
        Ok(writer.code.out)
    }

    /// Returns the type of the block that wraps the body. Every exit except `return` leads through
    /// its end.
    fn block_type(&self) -> BlockType {
        match self.ty.results() {
            [] => BlockType::Empty,
            // The gate accepts no other types and no second result.
            [result, ..] => BlockType::Result(match result {
                ParsedType::I64 => ValType::I64,
                ParsedType::F32 => ValType::F32,
                ParsedType::F64 => ValType::F64,
                _ => ValType::I32,
            }),
        }
    }
}

/// Checks whether a function has an operator of floats that subnormal numbers slow down.
fn has_slow_floats(body: &FunctionBody<'_>) -> Result<bool, BinaryReaderError> {
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        if Slow::of(&operators.read()?).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Writer<'a> {
    code: Code,
    function: &'a Function<'a>,
    /// Price of the current basic block so far.
    price: u64,
}

impl Writer<'_> {
    fn operators(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        self.code.load_points();
        self.code.check();
        self.code.put(&Instruction::Block(self.function.block_type()));
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let start = operators.original_position();
            let operator = operators.read()?;
            let end = operators.original_position();
            let bytes = &self.function.module[start as usize..end as usize];
            self.price += self.function.prices.points(&operator);
            if ends_basic_block(&operator) {
                self.code.spend(std::mem::take(&mut self.price));
            }
            self.operator(&operator, bytes);
        }
        self.code.store_points();
        self.code.put(&Instruction::End);
        Ok(())
    }

    /// Writes `operator` with its additions. `bytes` is its encoding in the module.
    fn operator(&mut self, operator: &Operator<'_>, bytes: &[u8]) {
        let code = &mut self.code;
        match operator {
            Operator::Loop { .. } => {
                code.copy(bytes);
                code.check();
            }
            Operator::Return => {
                code.store_points();
                code.copy(bytes);
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                code.store_points();
                match self.function.stack {
                    Some(stack) => {
                        code.enter(stack);
                        code.copy(bytes);
                        code.leave(stack);
                    }
                    None => code.copy(bytes),
                }
                code.load_points();
            }
            Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. } => {
                code.bulk_price(self.function.prices.empty_points(operator));
                code.copy(bytes);
            }
            Operator::MemoryGrow { .. } => {
                code.grow_price(self.function.memory_max_pages, self.function.prices.page_points());
                code.copy(bytes);
                code.end_if_refused();
            }
            operator if Slow::of(operator).is_some() => {
                code.slow_float(operator, bytes);
            }
            Operator::F32Neg | Operator::F32Abs | Operator::F64Neg | Operator::F64Abs => {
                code.canonical_nan(operator, bytes)
            }
            _ => code.copy(bytes),
        }
    }
}
