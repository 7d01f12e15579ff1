//! Random wasm workers: arithmetic of all types, memory, globals, calls, tables, branches, loops and
//! bulk operations, with the odd trap. The same seed gives the same module.

mod constants;
mod operators;

use std::fmt::Write;

pub(crate) use capstan_test_random::Random;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ty {
    I32,
    I64,
    F32,
    F64,
}

const TYPES: [Ty; 4] = [Ty::I32, Ty::I64, Ty::F32, Ty::F64];
const FUNCTIONS: u64 = 6;

impl Ty {
    fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// The parts of a worker, for [`worker`](super::worker): items, and the body of a delivery.
pub(crate) fn parts(seed: u64) -> (String, String) {
    let mut random = Random::from(seed);
    let mut items = String::new();
    for ty in TYPES {
        let name = ty.name();
        let value = Generator::new(&mut random, None).constant(ty);
        let _ = writeln!(items, "(global $g{name} (mut {name}) {value})");
    }
    items.push_str("(data $passive \"\\00\\11\\22\\33some passive bytes\\ff\\ee\")\n");
    items.push_str("(type $calc (func (param i32 i64 f32 f64) (result i64)))\n");
    items.push_str("(table 8 funcref) (elem (i32.const 0) $f0 $f1 $f2 $f3 $f4 $f5 $other)\n");
    items.push_str("(func $other (param i32) (result i32) (local.get 0))\n");
    for function in 0..FUNCTIONS {
        let body = Generator::new(&mut random, Some(function)).function();
        let _ = writeln!(items, "(func $f{function} (type $calc) {body})");
    }
    let mut body = String::new();
    for _ in 0..3 {
        let call = Generator::new(&mut random, None).call();
        let _ = writeln!(
            body,
            "(i64.store (i32.const 512) (i64.add (i64.load (i32.const 512)) {call}))"
        );
    }
    (items, body)
}

struct Generator<'r> {
    random: &'r mut Random,
    /// The function that is generated. `None` outside of all, where there are no locals.
    function: Option<u64>,
    depth: u32,
    /// Labels of enclosing blocks that yield nothing, innermost last.
    labels: Vec<String>,
    next_label: u32,
}

impl<'r> Generator<'r> {
    fn new(random: &'r mut Random, function: Option<u64>) -> Self {
        Self { random, function, depth: 0, labels: vec![], next_label: 0 }
    }

    fn function(mut self) -> String {
        let mut code = String::new();
        for ty in TYPES {
            let _ = write!(code, "(local $l{0} {0}) (local $m{0} {0}) ", ty.name());
        }
        // Some functions have many locals, which are charged for, or need large frames.
        if self.random.one_in(3) {
            let many = self.random.below(60);
            let _ = write!(code, "(local {})", "i64 f64 ".repeat(many as usize));
        }
        code.push_str("(local $n i32)\n");
        for _ in 0..3 + self.random.below(8) {
            code.push_str(&self.statement());
            code.push('\n');
        }
        let result = self.expression(Ty::I64);
        code + &result
    }

    fn statement(&mut self) -> String {
        self.depth += 1;
        let choice = if self.depth > 4 { self.random.below(6) } else { self.random.below(15) };
        let ty = TYPES[self.random.below(4) as usize];
        let name = ty.name();
        let code = match choice {
            0 | 1 => {
                let local = *self.random.choose(&["l", "m"]);
                format!("(local.set ${local}{name} {})", self.expression(ty))
            }
            2 => format!("(global.set $g{name} {})", self.expression(ty)),
            3 | 4 => self.store(ty),
            5 => format!("(drop {})", self.expression(ty)),
            6 => {
                let (condition, one, other) =
                    (self.expression(Ty::I32), self.statement(), self.statement());
                format!("(if {condition} (then {one}) (else {other}))")
            }
            7 => {
                let label = self.label();
                let body = self.statement() + &self.branch() + &self.statement();
                self.labels.pop();
                format!("(block ${label} {body})")
            }
            8 => self.counted_loop(),
            9 => self.bulk(),
            10 => self.branch(),
            11 => self.branch_table(),
            12 if self.random.one_in(20) => {
                format!("(drop (memory.grow (i32.const {})))", self.random.below(4))
            }
            13 if self.random.one_in(12) => format!("(return {})", self.expression(Ty::I64)),
            14 if self.random.one_in(100) => "(unreachable)".to_owned(),
            _ => format!("(local.set $l{name} {})", self.expression(ty)),
        };
        self.depth -= 1;
        code
    }

    fn label(&mut self) -> String {
        self.next_label += 1;
        let label = format!("b{}", self.next_label);
        self.labels.push(label.clone());
        label
    }

    fn branch(&mut self) -> String {
        match self.labels.len() as u64 {
            0 => String::new(),
            n => {
                let label = self.labels[self.random.below(n) as usize].clone();
                format!("(br_if ${label} {})", self.expression(Ty::I32))
            }
        }
    }

    fn branch_table(&mut self) -> String {
        let (outer, inner) = (self.label(), self.label());
        let index = self.expression(Ty::I32);
        self.labels.pop();
        let one = self.statement();
        self.labels.pop();
        let other = self.statement();
        format!(
            "(block ${outer} (block ${inner} (br_table ${inner} ${outer} ${inner} {index})) {one}) {other}"
        )
    }

    fn counted_loop(&mut self) -> String {
        let times = self.random.below(20);
        let out = self.label();
        let body = self.statement() + &self.statement();
        self.labels.pop();
        let head = format!("h{}", self.next_label);
        // $n is shared by nested loops, so some end early and some are long: points end those.
        format!(
            "(local.set $n (i32.const {times})) (block ${out} (loop ${head} {body} \
             (local.set $n (i32.sub (local.get $n) (i32.const 1))) \
             (br_if ${head} (i32.gt_s (local.get $n) (i32.const 0)))))"
        )
    }

    fn bulk(&mut self) -> String {
        let (to, from) = (self.address(), self.address());
        let length = match self.random.below(8) {
            0 if self.random.one_in(20) => self.expression(Ty::I32),
            _ => format!("(i32.const {})", self.random.below(300)),
        };
        match self.random.below(3) {
            0 => format!("(memory.fill {to} {} {length})", self.expression(Ty::I32)),
            1 => format!("(memory.copy {to} {from} {length})"),
            _ => format!(
                "(memory.init $passive {to} (i32.const {}) (i32.const {}))",
                self.random.below(20),
                self.random.below(10)
            ),
        }
    }

    fn store(&mut self, ty: Ty) -> String {
        let operators: &[&str] = match ty {
            Ty::I32 => &["i32.store", "i32.store8", "i32.store16"],
            Ty::I64 => &["i64.store", "i64.store8", "i64.store16", "i64.store32"],
            Ty::F32 => &["f32.store"],
            Ty::F64 => &["f64.store"],
        };
        let (operator, offset) = (*self.random.choose(operators), self.random.below(64));
        format!("({operator} offset={offset} {} {})", self.address(), self.expression(ty))
    }

    /// Mostly within the first page.
    fn address(&mut self) -> String {
        match self.random.below(12) {
            0 if self.random.one_in(30) => self.expression(Ty::I32),
            0..4 => format!("(i32.const {})", 2048 + self.random.below(60_000)),
            _ => format!(
                "(i32.add (i32.const 2048) (i32.and {} (i32.const 0x7fff)))",
                self.expression(Ty::I32)
            ),
        }
    }

    fn call(&mut self) -> String {
        let arguments: String = TYPES.iter().map(|ty| self.expression(*ty) + " ").collect();
        let lowest = self.function.map_or(0, |function| function + 1);
        let callee = match self.random.below(10) {
            // Any, so there is recursion: the stack or the points end it.
            0 if self.random.one_in(5) => self.random.below(FUNCTIONS),
            _ if lowest < FUNCTIONS => lowest + self.random.below(FUNCTIONS - lowest),
            _ => return "(i64.const 7)".to_owned(),
        };
        match self.random.below(4) {
            0 if self.random.one_in(30) => {
                format!("(call_indirect (type $calc) {arguments} {})", self.expression(Ty::I32))
            }
            0 => format!("(call_indirect (type $calc) {arguments} (i32.const {callee}))"),
            _ => format!("(call $f{callee} {arguments})"),
        }
    }

    fn expression(&mut self, ty: Ty) -> String {
        self.depth += 1;
        let choice = if self.depth > 7 { self.random.below(3) } else { self.random.below(14) };
        let name = ty.name();
        let code = match choice {
            0 => self.constant(ty),
            1 => format!("(global.get $g{name})"),
            2 | 3 => self.local(ty),
            4 => self.load(ty),
            5 => format!(
                "(select {} {} {})",
                self.expression(ty),
                self.expression(ty),
                self.expression(Ty::I32)
            ),
            6 => format!(
                "(if (result {name}) {} (then {}) (else {}))",
                self.expression(Ty::I32),
                self.expression(ty),
                self.expression(ty)
            ),
            7 if ty == Ty::I64 && self.depth < 6 => self.call(),
            8 if self.function.is_some() => format!("(local.tee $l{name} {})", self.expression(ty)),
            _ => self.operator(ty),
        };
        self.depth -= 1;
        code
    }

    fn local(&mut self, ty: Ty) -> String {
        let name = ty.name();
        let parameter = TYPES.iter().position(|t| *t == ty).unwrap_or(0);
        match self.function {
            None => self.constant(ty),
            Some(_) => match self.random.below(3) {
                0 => format!("(local.get {parameter})"),
                1 => format!("(local.get $l{name})"),
                _ => format!("(local.get $m{name})"),
            },
        }
    }

    fn load(&mut self, ty: Ty) -> String {
        let operators: &[&str] = match ty {
            Ty::I32 => &["i32.load", "i32.load8_s", "i32.load8_u", "i32.load16_s", "i32.load16_u"],
            Ty::I64 => &[
                "i64.load",
                "i64.load8_s",
                "i64.load8_u",
                "i64.load16_s",
                "i64.load16_u",
                "i64.load32_s",
                "i64.load32_u",
            ],
            Ty::F32 => &["f32.load"],
            Ty::F64 => &["f64.load"],
        };
        let (operator, offset) = (*self.random.choose(operators), self.random.below(64));
        format!("({operator} offset={offset} {})", self.address())
    }
}
