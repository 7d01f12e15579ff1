//! Charges for subnormal floats, the numbers next to zero.
//!
//! Processors multiply, divide and convert them by a detour that takes some ten times as long as the operator. The price of
//! the operator is that of other numbers, and each subnormal operand or result costs more.

use wasm_encoder::{BlockType, Instruction};
use wasmer::sys::wasmparser::Operator;

use super::code::Code;
use crate::cost;

/// Approximate number of operators that are added to a slow one.
pub(super) const WEIGHT: u64 = 48;

/// Type of a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    F32,
    F64,
}

/// Operator that subnormal numbers slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slow {
    operand: Float,
    /// Is true if it has two operands, of the same type.
    is_binary: bool,
    result: Float,
}

impl Slow {
    /// Returns `None` if `operator` is not slower with subnormal numbers.
    pub(super) fn of(operator: &Operator<'_>) -> Option<Self> {
        let (operand, is_binary, result) = match operator {
            Operator::F32Mul | Operator::F32Div => (Float::F32, true, Float::F32),
            Operator::F64Mul | Operator::F64Div => (Float::F64, true, Float::F64),
            Operator::F32Sqrt => (Float::F32, false, Float::F32),
            Operator::F64Sqrt => (Float::F64, false, Float::F64),
            Operator::F64PromoteF32 => (Float::F32, false, Float::F64),
            Operator::F32DemoteF64 => (Float::F64, false, Float::F32),
            _ => return None,
        };
        Some(Self { operand, is_binary, result })
    }
}

impl Code {
    /// Writes an operator that subnormal numbers slow down, with the charges for them where the function has locals for that.
    pub(super) fn slow_float(&mut self, operator: &Operator<'_>, bytes: &[u8]) {
        let (Some(slow), Some(first)) = (Slow::of(operator), self.floats) else {
            self.canonical_nan(operator, bytes);
            return;
        };
        let local = |float| match float {
            Float::F64 => first,
            Float::F32 => first + 2,
        };
        let (left, right) = (local(slow.operand), local(slow.operand) + 1);
        if slow.is_binary {
            self.put(&Instruction::LocalSet(right));
            self.charge_subnormal(slow.operand, right);
        }
        self.put(&Instruction::LocalSet(left));
        self.charge_subnormal(slow.operand, left);
        self.put(&Instruction::LocalGet(left));
        if slow.is_binary {
            self.put(&Instruction::LocalGet(right));
        }
        self.canonical_nan(operator, bytes);
        // A square root of a number next to zero is further away from it.
        if !matches!(operator, Operator::F32Sqrt | Operator::F64Sqrt) {
            let result = local(slow.result);
            self.put(&Instruction::LocalTee(result));
            self.charge_subnormal(slow.result, result);
        }
    }

    /// Charges for the value of a local if it is subnormal: its exponent is zero, and it is not.
    fn charge_subnormal(&mut self, float: Float, local: u32) {
        self.put(&Instruction::LocalGet(local));
        // Without its sign, zero becomes the largest number, and subnormal numbers the least.
        match float {
            Float::F64 => self.put_all(&[
                Instruction::I64ReinterpretF64,
                Instruction::I64Const(1),
                Instruction::I64Shl,
                Instruction::I64Const(1),
                Instruction::I64Sub,
                Instruction::I64Const((1 << 53) - 1),
                Instruction::I64LtU,
            ]),
            Float::F32 => self.put_all(&[
                Instruction::I32ReinterpretF32,
                Instruction::I32Const(1),
                Instruction::I32Shl,
                Instruction::I32Const(1),
                Instruction::I32Sub,
                Instruction::I32Const((1 << 24) - 1),
                Instruction::I32LtU,
            ]),
        }
        self.put(&Instruction::If(BlockType::Empty));
        self.spend(cost::SUBNORMAL_POINTS);
        self.put(&Instruction::End);
    }
}
