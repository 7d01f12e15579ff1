//! The sequences of instructions that are added.

use wasm_encoder::{BlockType, Encode as _, Instruction};

use super::Globals;
use crate::cost;

/// The stack counter of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    /// What all frames may cost together.
    pub(super) limit: u32,
    /// What a frame of this function costs.
    pub(super) frame: u32,
}

/// A function's body while it is written.
pub(super) struct Code {
    pub(super) out: Vec<u8>,
    pub(super) globals: Globals,
    /// The local with the points that are left, an i64.
    pub(super) left: u32,
    /// A local for what an operand is needed twice, an i32.
    pub(super) scratch: u32,
}

impl Code {
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn put(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.out);
    }

    fn put_all(&mut self, instructions: &[Instruction<'_>]) {
        for instruction in instructions {
            self.put(instruction);
        }
    }

    /// Takes `points` from what is left.
    pub(super) fn spend(&mut self, points: u64) {
        if points == 0 {
            return;
        }
        self.put_all(&[
            Instruction::LocalGet(self.left),
            // A function's size is bounded, so is what a part of it costs.
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

    /// Takes over what the global says is left.
    pub(super) fn load_points(&mut self) {
        self.put(&Instruction::GlobalGet(self.globals.points));
        self.put(&Instruction::LocalSet(self.left));
    }

    /// Says in the global what is left.
    pub(super) fn store_points(&mut self) {
        self.put(&Instruction::LocalGet(self.left));
        self.put(&Instruction::GlobalSet(self.globals.points));
    }

    /// Charges for a bulk operation over as many bytes as the topmost operand says.
    pub(super) fn bulk_price(&mut self) {
        let scratch = self.scratch;
        self.put_all(&[
            Instruction::LocalSet(scratch),
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

    /// Charges for growing the memory by as many pages as the topmost operand says. More than there can
    /// ever be is refused, and ends the vat for that reason.
    pub(super) fn grow_price(&mut self, max_pages: u32) {
        let scratch = self.scratch;
        self.put_all(&[
            Instruction::LocalSet(scratch),
            Instruction::LocalGet(self.left),
            Instruction::LocalGet(scratch),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(cost::PAGE_POINTS as i64),
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

    /// Ends the vat if the topmost operand is the -1 of a refused `memory.grow`: the host has remembered
    /// why.
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

    /// Counts the caller's frame before a call. Counting at the call, not at the entry, spares leaf
    /// functions the counter.
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
}
