//! Instruction sequences that instrumentation adds.

use wasm_encoder::{BlockType, Encode as _, Instruction};
use wasmer::sys::wasmparser::Operator;

use super::Globals;
use crate::cost;

/// Stack counter of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    /// Upper bound for all frames together.
    pub(super) limit: u32,
    /// Cost of a frame of this function.
    pub(super) frame: u32,
}

/// Function body that is being written.
pub(super) struct Code {
    pub(super) out: Vec<u8>,
    pub(super) globals: Globals,
    /// Local with the points that are left, an i64.
    pub(super) left: u32,
    /// Local for an operand that is needed twice, an i32.
    pub(super) scratch: u32,
    /// The first of two locals of f64 and two of f32, for operands of floats. `None` if the function needs none.
    pub(super) floats: Option<u32>,
}

impl Code {
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn put(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.out);
    }

    pub(super) fn put_all(&mut self, instructions: &[Instruction<'_>]) {
        for instruction in instructions {
            self.put(instruction);
        }
    }

    /// Subtracts `points` from the points that are left.
    pub(super) fn spend(&mut self, points: u64) {
        if points == 0 {
            return;
        }
        self.put_all(&[
            Instruction::LocalGet(self.left),
            // A function's size is bounded, and so is the price of its parts.
            Instruction::I64Const(points as i64),
            Instruction::I64Sub,
            Instruction::LocalSet(self.left),
        ]);
    }

    /// Ends the vat if more was spent than there was.
    pub(super) fn check(&mut self) {
        self.put_all(&[
            Instruction::LocalGet(self.left),
            Instruction::I64Const(0),
            Instruction::I64LtS,
            Instruction::If(BlockType::Empty),
            Instruction::I32Const(1),
            Instruction::GlobalSet(self.globals.exhausted),
            Instruction::Unreachable,
            Instruction::End,
        ]);
    }

    /// Loads the points that are left from the global.
    pub(super) fn load_points(&mut self) {
        self.put(&Instruction::GlobalGet(self.globals.points));
        self.put(&Instruction::LocalSet(self.left));
    }

    /// Stores the points that are left in the global.
    pub(super) fn store_points(&mut self) {
        self.put(&Instruction::LocalGet(self.left));
        self.put(&Instruction::GlobalSet(self.globals.points));
    }

    /// Charges for a bulk operation. The topmost operand is its number of bytes. With none, it costs `empty` points more.
    pub(super) fn bulk_price(&mut self, empty: u64) {
        let scratch = self.scratch;
        self.put(&Instruction::LocalSet(scratch));
        if empty > 0 {
            self.put_all(&[
                Instruction::LocalGet(self.left),
                Instruction::LocalGet(scratch),
                Instruction::I32Eqz,
                Instruction::I64ExtendI32U,
                Instruction::I64Const(empty as i64),
                Instruction::I64Mul,
                Instruction::I64Sub,
                Instruction::LocalSet(self.left),
            ]);
        }
        self.put_all(&[
            Instruction::LocalGet(self.left),
            Instruction::LocalGet(scratch),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(i64::from(cost::BULK_BYTES_PER_POINT_LOG2)),
            Instruction::I64ShrU,
            Instruction::I64Sub,
            Instruction::LocalSet(self.left),
        ]);
        self.check();
        self.put(&Instruction::LocalGet(scratch));
    }

    /// Charges for growing the memory. The topmost operand is the number of pages. A number above
    /// the maximum is not charged, since growing by it is refused and ends the vat.
    pub(super) fn grow_price(&mut self, max_pages: u32, page_points: u64) {
        let scratch = self.scratch;
        self.put_all(&[
            Instruction::LocalSet(scratch),
            Instruction::LocalGet(self.left),
            Instruction::LocalGet(scratch),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(page_points as i64),
            Instruction::I64Mul,
            Instruction::I64Const(0),
            Instruction::LocalGet(scratch),
            Instruction::I32Const(max_pages as i32),
            Instruction::I32LeU,
            Instruction::Select,
            Instruction::I64Sub,
            Instruction::LocalSet(self.left),
        ]);
        self.check();
        self.put(&Instruction::LocalGet(scratch));
    }

    /// Ends the vat if the topmost operand is the -1 of a refused `memory.grow`. The host has
    /// recorded the reason.
    pub(super) fn end_if_refused(&mut self) {
        self.put_all(&[
            Instruction::LocalTee(self.scratch),
            Instruction::I32Const(-1),
            Instruction::I32Eq,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
            Instruction::LocalGet(self.scratch),
        ]);
    }

    /// Counts the caller's frame before a call. Counting at the call rather than at the entry
    /// spares leaf functions the counter.
    pub(super) fn enter(&mut self, stack: Stack) {
        let depth = self.globals.depth;
        self.put_all(&[
            Instruction::GlobalGet(depth),
            Instruction::I32Const(stack.frame as i32),
            Instruction::I32Add,
            Instruction::GlobalSet(depth),
            Instruction::GlobalGet(depth),
            Instruction::I32Const(stack.limit as i32),
            Instruction::I32GtU,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ]);
    }

    pub(super) fn leave(&mut self, stack: Stack) {
        let depth = self.globals.depth;
        self.put_all(&[
            Instruction::GlobalGet(depth),
            Instruction::I32Const(stack.frame as i32),
            Instruction::I32Sub,
            Instruction::GlobalSet(depth),
        ]);
    }

    /// Writes one of the operators of floats after which singlepass leaves a NaN as it is, so that its result is the
    /// canonical one.
    pub(super) fn canonical_nan(&mut self, operator: &Operator<'_>, bytes: &[u8]) {
        match operator {
            // Singlepass (7.4.2) does not make the NaNs of these operators canonical. Every
            // compiler does so for a product, and multiplying by one changes nothing else.
            Operator::F64PromoteF32 => {
                self.copy(bytes);
                self.put(&Instruction::F64Const(1.0.into()));
                self.put(&Instruction::F64Mul);
            }
            Operator::F32DemoteF64 => {
                self.copy(bytes);
                self.put(&Instruction::F32Const(1.0.into()));
                self.put(&Instruction::F32Mul);
            }
            // Singlepass delays making a NaN canonical until it is stored, and omits it after
            // these. Reading a value's bits makes it canonical at once.
            Operator::F32Neg | Operator::F32Abs => {
                self.put(&Instruction::I32ReinterpretF32);
                self.put(&Instruction::F32ReinterpretI32);
                self.copy(bytes);
            }
            Operator::F64Neg | Operator::F64Abs => {
                self.put(&Instruction::I64ReinterpretF64);
                self.put(&Instruction::F64ReinterpretI64);
                self.copy(bytes);
            }
            _ => self.copy(bytes),
        }
    }
}
