//! Gate that every wasm module passes before it is compiled.

use capstan_abi::imports;
use wasmer::sys::wasmparser::{
    BinaryReaderError, FuncToValidate, FuncValidatorAllocations, FunctionBody, MemoryType,
    Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
    types::{EntityType, Types},
};

use crate::{ModuleLimits, cost, module::instrument};

/// Prefix of the names that the host's instrumentation exports. A module may not export such names.
pub(crate) const RESERVED_PREFIX: &str = "capstan.";

/// Reason why a module cannot be a worker, and the form that would be allowed. See
/// [`ModuleLimits`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A size or number exceeds its limit in [`ModuleLimits`].
    #[error("{what} is {found}, more than the {limit} allowed")]
    TooMuch {
        /// Name of the measured quantity.
        what: &'static str,
        /// Measured value.
        found: u64,
        /// Largest allowed value, from [`ModuleLimits`].
        limit: u64,
    },
    /// The bytes are not a module in the allowed subset of wasm.
    #[error(
        "not an allowed wasm module: {problem} (at byte {offset}); allowed is WebAssembly 1.0 with \
         bulk memory, sign extension, saturating float-to-int conversion and mutable globals"
    )]
    Invalid {
        /// Message of the validator.
        problem: String,
        /// Offset of the problem in the module.
        offset: u64,
    },
    /// The module has an import that no worker may have.
    #[error(
        "forbidden import {module}.{name}{detail}; allowed are the functions capstan.syscall(i32, \
         i32) -> i32, capstan.take_result(i32), capstan.done(i32, i32), capstan.log(i32, i32, i32) \
         and capstan.fault(i32)"
    )]
    Import {
        /// Name of the module that it is imported from.
        module: String,
        /// Name of the import.
        name: String,
        /// Problem with the import's type. It is empty if there is no import of that name.
        detail: String,
    },
    /// An export that every worker must have is missing or has another type.
    #[error("missing export {0}")]
    MissingExport(&'static str),
    /// The module exports a name that the host reserves for itself.
    #[error("forbidden export {0:?}: names that start with capstan. are reserved")]
    ReservedExport(String),
    /// The memory declares no maximum, which [`ModuleLimits::memory_pages`] bounds.
    #[error("the memory has no maximum; declare one of at most {limit} pages of 64 KiB")]
    UnboundedMemory {
        /// Largest allowed maximum, in wasm pages ([`ModuleLimits::memory_pages`]).
        limit: u32,
    },
    /// The module has a start function, which would run before the worker is metered.
    #[error("a start function is not allowed; do it in capstan_abi or in the first delivery")]
    StartFunction,
    /// A function uses an operator that changes state besides memory and globals, which a snapshot
    /// does not hold.
    #[error(
        "function {function} uses {operator}, which is not allowed: tables and segments never \
         change, so that memory and globals are a vat's whole state"
    )]
    Stateful {
        /// Name of the operator.
        operator: &'static str,
        /// Index of the function in the module.
        function: u32,
    },
}

/// Properties of a module that the gate has accepted.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Declared maximum of the memory in wasm pages.
    pub(crate) memory_max_pages: u32,
    /// Size of all functions' bodies in bytes.
    pub(crate) code_bytes: u64,
    /// What a compiler does for the module, in the units of [`cost::compile_computrons`].
    pub(crate) compile_units: u64,
    /// Stack cost of each function with a body, in order ([`cost::frame_bytes`]).
    pub(crate) frame_bytes: Vec<u32>,
}

/// Accepts `module` if it is a worker within `limits`. If `engine` is true, it must also have the
/// exports of a JavaScript engine.
pub(crate) fn check(
    module: &[u8],
    limits: &ModuleLimits,
    engine: bool,
) -> Result<Checked, Refusal> {
    at_most("the module's size in bytes", module.len(), limits.module_bytes)?;
    let mut gate = Gate {
        limits,
        validator: Validator::new_with_features(features()),
        allocations: FuncValidatorAllocations::default(),
        memory_max_pages: None,
        operators: 0,
        code_bytes: 0,
        compile_units: 0,
        frame_bytes: Vec::new(),
    };
    let mut types = None;
    let mut parser = Parser::new(0);
    parser.set_features(features());
    for payload in parser.parse_all(module) {
        if let Some(end) = gate.payload(&payload?)? {
            types = Some(end);
        }
    }
    // The parser ends a module with the payload that yields its types, or with an error.
    let types = types.ok_or_else(|| invalid("the module has no end", 0))?;
    check_imports(&types)?;
    check_exports(&types, engine)?;
    let memory_max_pages = gate.memory_max_pages.ok_or(Refusal::MissingExport("memory"))?;
    let Gate { code_bytes, compile_units, frame_bytes, .. } = gate;
    Ok(Checked { memory_max_pages, code_bytes, compile_units, frame_bytes })
}

/// Returns the allowed features: WebAssembly 1.0 and four proposals that all compilers implement.
/// The overlong table index of `call_indirect` is an encoding that LLVM emits, not a feature.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS
        | WasmFeatures::CALL_INDIRECT_OVERLONG
}

struct Gate<'l> {
    limits: &'l ModuleLimits,
    validator: Validator,
    allocations: FuncValidatorAllocations,
    memory_max_pages: Option<u32>,
    operators: u64,
    code_bytes: u64,
    compile_units: u64,
    frame_bytes: Vec<u32>,
}

impl Gate<'_> {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<Option<Types>, Refusal> {
        self.check_section(payload)?;
        match self.validator.payload(payload)? {
            ValidPayload::Func(function, body) => {
                self.check_function(function, &body).map(|()| None)
            }
            ValidPayload::End(types) => Ok(Some(types)),
            ValidPayload::Ok | ValidPayload::Parser(_) => Ok(None),
        }
    }

    /// Refuses sections for reasons of their own, before the validator sees them.
    fn check_section(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        let limits = self.limits;
        let count = |what, found: u32, limit: u32| at_most(what, found as usize, limit as usize);
        match payload {
            Payload::TypeSection(s) => {
                count("the number of types", s.count(), limits.types)?;
                s.clone().into_iter_err_on_gc_types().try_for_each(|ty| {
                    let ty = ty?;
                    self.compile_units += cost::COMPILE_TYPE_UNITS + ty.params().len() as u64;
                    Ok(())
                })
            }
            Payload::ImportSection(s) => {
                count("the number of imports", s.count(), limits.imports)?;
                self.compile_units += cost::COMPILE_TYPE_UNITS * u64::from(s.count());
                s.clone().into_imports().try_for_each(|import| {
                    let import = import?;
                    check_import(import.module, import.name, &import.ty)
                })
            }
            Payload::FunctionSection(s) => {
                count("the number of functions", s.count(), limits.functions)
            }
            Payload::TableSection(s) => {
                count("the number of tables", s.count(), 1)?;
                s.clone().into_iter().try_for_each(|table| {
                    let entries = table?.ty.initial;
                    at_most_u64("the table's size", entries, u64::from(limits.table_entries))
                })
            }
            Payload::MemorySection(s) => {
                count("the number of memories", s.count(), 1)?;
                s.clone().into_iter().try_for_each(|memory| self.check_memory(memory?))
            }
            Payload::GlobalSection(s) => count("the number of globals", s.count(), limits.globals),
            Payload::ExportSection(s) => count("the number of exports", s.count(), limits.exports),
            Payload::StartSection { .. } => Err(Refusal::StartFunction),
            Payload::ElementSection(s) => {
                count("the number of element segments", s.count(), limits.element_segments)
            }
            Payload::DataSection(s) => {
                count("the number of data segments", s.count(), limits.data_segments)
            }
            _ => Ok(()),
        }
    }

    fn check_memory(&mut self, memory: MemoryType) -> Result<(), Refusal> {
        let limit = self.limits.memory_pages;
        at_most_u64("the memory's initial size in pages", memory.initial, u64::from(limit))?;
        let maximum = memory.maximum.ok_or(Refusal::UnboundedMemory { limit })?;
        at_most_u64("the memory's maximum in pages", maximum, u64::from(limit))?;
        self.memory_max_pages = u32::try_from(maximum).ok();
        Ok(())
    }

    fn check_function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), Refusal> {
        let limits = self.limits;
        at_most("a function's size in bytes", body.as_bytes().len(), limits.body_bytes)?;
        let allocations = std::mem::take(&mut self.allocations);
        self.code_bytes += body.as_bytes().len() as u64;
        let mut validator = function.into_validator(allocations);
        validator.read_locals(&mut body.get_binary_reader())?;
        at_most_u32("a function's number of locals", validator.len_locals(), limits.locals)?;
        let mut operators = body.get_operators_reader()?;
        let mut operands = 0;
        self.operators += instrument::FUNCTION_WEIGHT;
        self.compile_units += cost::COMPILE_FUNCTION_UNITS
            + u64::from(validator.len_locals()) / cost::COMPILE_LOCALS_PER_UNIT;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            refuse_stateful(&operator, validator.index())?;
            validator.op(offset, &operator)?;
            let weight = instrument::weight(&operator);
            self.operators += weight;
            self.compile_units += weight + cost::compile_units(&operator);
            operands = operands.max(validator.operand_stack_height());
            at_most_u32("a function's operand stack", operands, limits.operands)?;
            let nesting = validator.control_stack_height();
            at_most_u32("the nesting of blocks", nesting, limits.nesting)?;
        }
        operators.finish()?;
        at_most_u64(
            "the number of operators, metering included,",
            self.operators,
            limits.operators,
        )?;
        self.frame_bytes.push(cost::frame_bytes(validator.len_locals(), operands));
        self.allocations = validator.into_allocations();
        Ok(())
    }
}

fn refuse_stateful(operator: &Operator<'_>, function: u32) -> Result<(), Refusal> {
    let operator = match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableFill { .. } => "table.fill",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableInit { .. } => "table.init",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        _ => return Ok(()),
    };
    Err(Refusal::Stateful { operator, function })
}

/// Returns the type of the import `name`. Returns `None` if no worker may import it.
fn import_type(name: &str) -> Option<(&'static [ValType], &'static [ValType])> {
    const I32: ValType = ValType::I32;
    Some(match name {
        imports::SYSCALL => (&[I32, I32], &[I32]),
        imports::TAKE_RESULT | imports::FAULT => (&[I32], &[]),
        imports::DONE => (&[I32, I32], &[]),
        imports::LOG => (&[I32, I32, I32], &[]),
        _ => return None,
    })
}

fn check_import(module: &str, name: &str, ty: &TypeRef) -> Result<(), Refusal> {
    let is_function = matches!(ty, TypeRef::Func(_));
    if module == imports::MODULE && import_type(name).is_some() && is_function {
        return Ok(());
    }
    let detail = match ty {
        TypeRef::Func(_) => "",
        TypeRef::Memory(_) => " (a memory)",
        TypeRef::Global(_) => " (a global)",
        TypeRef::Table(_) => " (a table)",
        _ => " (not a function)",
    };
    Err(forbidden_import(module, name, detail))
}

/// Checks the imported functions' types, which are known once the whole module is read.
fn check_imports(types: &Types) -> Result<(), Refusal> {
    let types = types.as_ref();
    for (module, name, entity) in types.core_imports().into_iter().flatten() {
        let allowed = import_type(name);
        let found = match entity {
            EntityType::Func(id) => Some(types[id].unwrap_func()),
            _ => None,
        };
        if found.map(|f| (f.params(), f.results())) != allowed {
            return Err(forbidden_import(module, name, " (with another type)"));
        }
    }
    Ok(())
}

fn forbidden_import(module: &str, name: &str, detail: &str) -> Refusal {
    let (module, name) = (shorten(module), shorten(name));
    Refusal::Import { module, name, detail: detail.to_owned() }
}

/// Names in messages are cut to a readable length.
fn shorten(name: &str) -> String {
    name.chars().take(64).collect()
}

fn check_exports(types: &Types, engine: bool) -> Result<(), Refusal> {
    const I32: ValType = ValType::I32;
    let types = types.as_ref();
    let exports = || types.core_exports().into_iter().flatten();
    if let Some((name, _)) = exports().find(|(name, _)| is_reserved(name)) {
        return Err(Refusal::ReservedExport(shorten(name)));
    }
    let has_function = |wanted: &str, params: &[ValType], results: &[ValType]| {
        exports().any(|(name, entity)| match entity {
            EntityType::Func(id) if name == wanted => {
                let function = types[id].unwrap_func();
                function.params() == params && function.results() == results
            }
            _ => false,
        })
    };
    let required: [(&str, &[ValType], &[ValType], &'static str); 4] = [
        ("capstan_abi", &[], &[I32], "capstan_abi() -> i32"),
        ("capstan_alloc", &[I32], &[I32], "capstan_alloc(i32) -> i32"),
        ("capstan_deliver", &[I32, I32], &[], "capstan_deliver(i32, i32)"),
        ("capstan_boot", &[I32, I32], &[I32], "capstan_boot(i32, i32) -> i32"),
    ];
    let count = if engine { 4 } else { 3 };
    for (name, params, results, text) in &required[..count] {
        if !has_function(name, params, results) {
            return Err(Refusal::MissingExport(text));
        }
    }
    let is_memory = |(name, entity): (&str, EntityType)| {
        name == "memory" && matches!(entity, EntityType::Memory(_))
    };
    match exports().any(is_memory) {
        true => Ok(()),
        false => Err(Refusal::MissingExport("memory")),
    }
}

fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX)
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refusal> {
    at_most_u64(what, found as u64, limit as u64)
}

fn at_most_u32(what: &'static str, found: u32, limit: u32) -> Result<(), Refusal> {
    at_most_u64(what, u64::from(found), u64::from(limit))
}

fn at_most_u64(what: &'static str, found: u64, limit: u64) -> Result<(), Refusal> {
    match found <= limit {
        true => Ok(()),
        false => Err(Refusal::TooMuch { what, found, limit }),
    }
}

fn invalid(problem: &str, offset: u64) -> Refusal {
    Refusal::Invalid { problem: problem.to_owned(), offset }
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        invalid(error.message(), error.offset())
    }
}
