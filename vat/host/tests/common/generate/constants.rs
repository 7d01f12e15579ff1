//! Constants: random numbers, and floating-point numbers at the edges of their formats.

use super::{Generator, Ty};

const SPECIAL_F32: [&str; 19] = [
    "nan",
    "-nan",
    "nan:0x200001",
    "nan:0x1",
    "-nan:0x7fffff",
    "inf",
    "-inf",
    "0",
    "-0",
    "0x1p-149",
    "0x1.fffffep127",
    "1.5",
    "-2.5",
    "2147483648",
    "9223372036854775808",
    "0x1p-126",
    "16777217",
    "0.1",
    "-4294967296",
];

const SPECIAL_F64: [&str; 19] = [
    "nan",
    "-nan",
    "nan:0x4000000000001",
    "nan:0x1",
    "-nan:0xfffffffffffff",
    "inf",
    "-inf",
    "0",
    "-0",
    "0x1p-1074",
    "0x1.fffffffffffffp1023",
    "0.5",
    "-1.5",
    "2147483647.5",
    "9223372036854775807",
    "0x1p-1022",
    "4503599627370497.5",
    "0.1",
    "-18446744073709551616",
];

impl Generator<'_> {
    pub(super) fn constant(&mut self, ty: Ty) -> String {
        let bits = match self.random.below(4) {
            0 => self.random.number(),
            1 => self.random.below(64),
            2 => (self.random.below(16) as i64).wrapping_neg() as u64,
            _ => self.random.number() >> self.random.below(64),
        };
        match ty {
            Ty::I32 => format!("(i32.const {})", bits as u32 as i32),
            Ty::I64 => format!("(i64.const {})", bits as i64),
            Ty::F32 => format!("(f32.const {})", *self.random.choose(&SPECIAL_F32)),
            Ty::F64 => format!("(f64.const {})", *self.random.choose(&SPECIAL_F64)),
        }
    }
}
