//! Instrumentation of a module before it is compiled.
//!
//! It adds metering, charges by length and the stack counter. It ends the vat at a refused
//! `memory.grow` and makes NaNs canonical where a compiler does not. It exports the state that a
//! snapshot must hold.
//!
//! The rewriting is from wasm to wasm, so every compiler sees the same charges. Unchanged parts are
//! copied byte by byte. Custom sections are left out, since wasmer takes names from them and panics
//! at some malformed ones.

mod body;
mod code;
mod subnormal;

use std::ops::Range;

use wasm_encoder::{
    CodeSection, ConstExpr, Encode as _, ExportKind, GlobalType, Module, RawSection, SectionId,
    ValType,
};
use wasmer::sys::wasmparser::{BinaryReaderError, FuncType, Operator, Parser, Payload};

use crate::{cost::Prices, module::validate::Checked};

/// Version of the inserted code, which is part of every cache key. It changes whenever the code
/// does.
pub(crate) const VERSION: u32 = 6;

/// Global with the points that are left, which is negative once too much was spent. A running
/// function keeps them in a local instead.
pub(crate) const POINTS: &str = "capstan.points";
/// Global that is 1 if the module stopped because its points ran out.
pub(crate) const EXHAUSTED: &str = "capstan.exhausted";
/// Global with the stack counter. It exceeds the limit after a trap if the stack was the reason.
pub(crate) const DEPTH: &str = "capstan.depth";
/// Prefix of the names under which the module's mutable globals are exported. The index follows.
pub(crate) const GLOBAL_PREFIX: &str = "capstan.global.";

/// Approximate number of operators that are added to each function.
pub(crate) const FUNCTION_WEIGHT: u64 = 16;

/// Returns the approximate number of operators that `operator` becomes, including the added ones.
pub(crate) fn weight(operator: &Operator<'_>) -> u64 {
    let added = match operator {
        Operator::Call { .. } | Operator::CallIndirect { .. } => 22,
        Operator::Loop { .. } => 12,
        Operator::MemoryGrow { .. } => 38,
        Operator::MemoryFill { .. } => 28,
        Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => 20,
        operator if subnormal::Slow::of(operator).is_some() => subnormal::WEIGHT,
        operator if body::ends_basic_block(operator) => 6,
        _ => 0,
    };
    1 + added
}

/// Returns the instrumented module.
///
/// `module` must have passed the gate, with the result `checked`. `stack_bytes` is the limit of the
/// stack counter, or `None` for no counter.
pub(crate) fn instrument(
    module: &[u8],
    checked: &Checked,
    stack_bytes: Option<u32>,
    prices: Prices,
) -> Result<Vec<u8>, BinaryReaderError> {
    let mut rewriter = Rewriter {
        module,
        checked,
        stack_bytes,
        prices,
        types: Vec::new(),
        functions: Vec::new(),
        globals: None,
        mutable: Vec::new(),
        code: CodeSection::new(),
        out: Module::new(),
    };
    for payload in Parser::new(0).parse_all(module) {
        rewriter.payload(payload?)?;
    }
    Ok(rewriter.out.finish())
}

struct Rewriter<'a> {
    module: &'a [u8],
    checked: &'a Checked,
    stack_bytes: Option<u32>,
    prices: Prices,
    types: Vec<FuncType>,
    /// Type of each function with a body.
    functions: Vec<u32>,
    /// Added globals, once the section of globals is written.
    globals: Option<Globals>,
    /// Mutable globals of the module itself.
    mutable: Vec<u32>,
    code: CodeSection,
    out: Module,
}

/// Indexes of the added globals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Globals {
    points: u32,
    exhausted: u32,
    depth: u32,
}

impl Globals {
    const COUNT: u32 = 3;

    fn after(own: u32) -> Self {
        Self { points: own, exhausted: own + 1, depth: own + 2 }
    }
}

impl<'a> Rewriter<'a> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match &payload {
            Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = section.clone().into_iter().collect::<Result<_, _>>()?;
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (0..).zip(section.clone()) {
                    if global?.ty.mutable {
                        self.mutable.push(index);
                    }
                }
                let items = section.clone().into_iter_with_offsets();
                let first = first_offset(items, &section.range())?;
                self.write_globals(section.count(), first..section.range().end);
                return Ok(());
            }
            Payload::ExportSection(section) => {
                if self.globals.is_none() {
                    self.write_globals(0, 0..0);
                }
                let items = section.clone().into_iter_with_offsets();
                let first = first_offset(items, &section.range())?;
                self.write_exports(section.count(), first..section.range().end);
                return Ok(());
            }
            Payload::CodeSectionEntry(body) => {
                let index = self.code.len() as usize;
                let function = body::Function {
                    module: self.module,
                    ty: &self.types[self.functions[index] as usize],
                    globals: self.added(),
                    prices: self.prices,
                    memory_max_pages: self.checked.memory_max_pages,
                    stack: self
                        .stack_bytes
                        .map(|limit| code::Stack { limit, frame: self.checked.frame_bytes[index] }),
                };
                self.code.raw(&function.rewrite(body)?);
                if self.code.len() as usize == self.functions.len() {
                    self.out.section(&self.code);
                }
                return Ok(());
            }
            Payload::CodeSectionStart { .. } | Payload::CustomSection(_) => return Ok(()),
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            let data = self.bytes(range);
            self.out.section(&RawSection { id, data });
        }
        Ok(())
    }

    /// Returns the added globals. They are known here: a checked module has exports, and that
    /// section lies between the globals and the code.
    fn added(&self) -> Globals {
        self.globals.unwrap_or(Globals::after(0))
    }

    fn write_globals(&mut self, own: u32, entries: Range<u64>) {
        let globals = Globals::after(own);
        let mut data = Vec::new();
        (own + Globals::COUNT).encode(&mut data);
        data.extend_from_slice(self.bytes(entries));
        let zeros = [ConstExpr::i64_const(0), ConstExpr::i32_const(0), ConstExpr::i32_const(0)];
        for (val_type, zero) in [ValType::I64, ValType::I32, ValType::I32].into_iter().zip(zeros) {
            GlobalType { val_type, mutable: true, shared: false }.encode(&mut data);
            zero.encode(&mut data);
        }
        self.out.section(&RawSection { id: SectionId::Global.into(), data: &data });
        self.globals = Some(globals);
    }

    fn write_exports(&mut self, own: u32, entries: Range<u64>) {
        let globals = self.added();
        let named = self.mutable.iter().map(|index| (format!("{GLOBAL_PREFIX}{index}"), *index));
        let added: Vec<(String, u32)> = named
            .chain([
                (POINTS.to_owned(), globals.points),
                (EXHAUSTED.to_owned(), globals.exhausted),
                (DEPTH.to_owned(), globals.depth),
            ])
            .collect();
        let mut data = Vec::new();
        // A module has at most as many globals as its limits allow, far fewer than an u32 counts.
        (own + added.len() as u32).encode(&mut data);
        data.extend_from_slice(self.bytes(entries));
        for (name, index) in added {
            name.as_str().encode(&mut data);
            ExportKind::Global.encode(&mut data);
            index.encode(&mut data);
        }
        self.out.section(&RawSection { id: SectionId::Export.into(), data: &data });
    }

    /// Returns a part of the module. It is in memory, so its offsets fit a `usize`.
    fn bytes(&self, range: Range<u64>) -> &'a [u8] {
        &self.module[range.start as usize..range.end as usize]
    }
}

/// Returns the offset of a section's first item. Returns the section's end if it has none.
fn first_offset<T>(
    mut items: impl Iterator<Item = Result<(u64, T), BinaryReaderError>>,
    section: &Range<u64>,
) -> Result<u64, BinaryReaderError> {
    Ok(items.next().transpose()?.map_or(section.end, |(offset, _)| offset))
}
