//! Operators of all types and their operands.

use super::{Generator, Ty};

const I32_COMPARISONS: &[&str] = &[
    "i32.eq", "i32.ne", "i32.lt_s", "i32.lt_u", "i32.gt_s", "i32.gt_u", "i32.le_s", "i32.le_u",
    "i32.ge_s", "i32.ge_u",
];

const I32_ARITHMETIC: &[&str] = &[
    "i32.add",
    "i32.sub",
    "i32.mul",
    "i32.and",
    "i32.or",
    "i32.xor",
    "i32.shl",
    "i32.shr_s",
    "i32.shr_u",
    "i32.rotl",
    "i32.rotr",
];

impl Generator<'_> {
    /// An operator that yields `ty`.
    pub(super) fn operator(&mut self, ty: Ty) -> String {
        let (operator, operands): (&str, &[Ty]) = match ty {
            Ty::I32 => self.i32_operator(),
            Ty::I64 => self.i64_operator(),
            Ty::F32 => self.f32_operator(),
            Ty::F64 => self.f64_operator(),
        };
        let operands: String = operands.iter().map(|ty| self.expression(*ty) + " ").collect();
        format!("({operator} {operands})")
    }

    fn i32_operator(&mut self) -> (&'static str, &'static [Ty]) {
        match self.random.below(12) {
            0 => (
                *self.random.choose(&[
                    "i32.clz",
                    "i32.ctz",
                    "i32.popcnt",
                    "i32.eqz",
                    "i32.extend8_s",
                    "i32.extend16_s",
                ]),
                &[Ty::I32],
            ),
            1 => (*self.random.choose(&["i64.eqz", "i32.wrap_i64"]), &[Ty::I64]),
            2 => (
                *self.random.choose(&[
                    "i64.eq", "i64.ne", "i64.lt_s", "i64.lt_u", "i64.gt_s", "i64.gt_u", "i64.le_s",
                    "i64.le_u", "i64.ge_s", "i64.ge_u",
                ]),
                &[Ty::I64, Ty::I64],
            ),
            3 => (
                *self.random.choose(&["f32.eq", "f32.ne", "f32.lt", "f32.gt", "f32.le", "f32.ge"]),
                &[Ty::F32, Ty::F32],
            ),
            4 => (
                *self.random.choose(&["f64.eq", "f64.ne", "f64.lt", "f64.gt", "f64.le", "f64.ge"]),
                &[Ty::F64, Ty::F64],
            ),
            5 => (
                *self.random.choose(&[
                    "i32.trunc_sat_f32_s",
                    "i32.trunc_sat_f32_u",
                    "i32.reinterpret_f32",
                ]),
                &[Ty::F32],
            ),
            6 => (*self.random.choose(&["i32.trunc_sat_f64_s", "i32.trunc_sat_f64_u"]), &[Ty::F64]),
            7 if self.random.one_in(300) => (
                *self.random.choose(&["i32.div_s", "i32.div_u", "i32.rem_s", "i32.rem_u"]),
                &[Ty::I32, Ty::I32],
            ),
            7 if self.random.one_in(300) => {
                (*self.random.choose(&["i32.trunc_f64_s", "i32.trunc_f64_u"]), &[Ty::F64])
            }
            8 => (*self.random.choose(I32_COMPARISONS), &[Ty::I32, Ty::I32]),
            9 => ("memory.size", &[]),
            _ => (*self.random.choose(I32_ARITHMETIC), &[Ty::I32, Ty::I32]),
        }
    }

    fn i64_operator(&mut self) -> (&'static str, &'static [Ty]) {
        match self.random.below(8) {
            0 => (
                *self.random.choose(&[
                    "i64.clz",
                    "i64.ctz",
                    "i64.popcnt",
                    "i64.extend8_s",
                    "i64.extend16_s",
                    "i64.extend32_s",
                ]),
                &[Ty::I64],
            ),
            1 => (*self.random.choose(&["i64.extend_i32_s", "i64.extend_i32_u"]), &[Ty::I32]),
            2 => (*self.random.choose(&["i64.trunc_sat_f32_s", "i64.trunc_sat_f32_u"]), &[Ty::F32]),
            3 => (
                *self.random.choose(&[
                    "i64.trunc_sat_f64_s",
                    "i64.trunc_sat_f64_u",
                    "i64.reinterpret_f64",
                ]),
                &[Ty::F64],
            ),
            4 if self.random.one_in(300) => (
                *self.random.choose(&["i64.div_s", "i64.div_u", "i64.rem_s", "i64.rem_u"]),
                &[Ty::I64, Ty::I64],
            ),
            4 if self.random.one_in(300) => {
                (*self.random.choose(&["i64.trunc_f32_s", "i64.trunc_f32_u"]), &[Ty::F32])
            }
            _ => (
                *self.random.choose(&[
                    "i64.add",
                    "i64.sub",
                    "i64.mul",
                    "i64.and",
                    "i64.or",
                    "i64.xor",
                    "i64.shl",
                    "i64.shr_s",
                    "i64.shr_u",
                    "i64.rotl",
                    "i64.rotr",
                ]),
                &[Ty::I64, Ty::I64],
            ),
        }
    }

    fn f32_operator(&mut self) -> (&'static str, &'static [Ty]) {
        match self.random.below(6) {
            0 => (
                *self.random.choose(&[
                    "f32.abs",
                    "f32.neg",
                    "f32.sqrt",
                    "f32.ceil",
                    "f32.floor",
                    "f32.trunc",
                    "f32.nearest",
                ]),
                &[Ty::F32],
            ),
            1 => (
                *self.random.choose(&[
                    "f32.convert_i32_s",
                    "f32.convert_i32_u",
                    "f32.reinterpret_i32",
                ]),
                &[Ty::I32],
            ),
            2 => (*self.random.choose(&["f32.convert_i64_s", "f32.convert_i64_u"]), &[Ty::I64]),
            3 => ("f32.demote_f64", &[Ty::F64]),
            _ => (
                *self.random.choose(&[
                    "f32.add",
                    "f32.sub",
                    "f32.mul",
                    "f32.div",
                    "f32.min",
                    "f32.max",
                    "f32.copysign",
                ]),
                &[Ty::F32, Ty::F32],
            ),
        }
    }

    fn f64_operator(&mut self) -> (&'static str, &'static [Ty]) {
        match self.random.below(6) {
            0 => (
                *self.random.choose(&[
                    "f64.abs",
                    "f64.neg",
                    "f64.sqrt",
                    "f64.ceil",
                    "f64.floor",
                    "f64.trunc",
                    "f64.nearest",
                ]),
                &[Ty::F64],
            ),
            1 => (*self.random.choose(&["f64.convert_i32_s", "f64.convert_i32_u"]), &[Ty::I32]),
            2 => (
                *self.random.choose(&[
                    "f64.convert_i64_s",
                    "f64.convert_i64_u",
                    "f64.reinterpret_i64",
                ]),
                &[Ty::I64],
            ),
            3 => ("f64.promote_f32", &[Ty::F32]),
            _ => (
                *self.random.choose(&[
                    "f64.add",
                    "f64.sub",
                    "f64.mul",
                    "f64.div",
                    "f64.min",
                    "f64.max",
                    "f64.copysign",
                ]),
                &[Ty::F64, Ty::F64],
            ),
        }
    }
}
