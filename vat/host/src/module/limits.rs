use crate::cost;

/// Limits on the contents of a wasm module.
///
/// All nodes of a chain must use the same limits. They decide which modules can be installed and
/// when a vat runs out of memory or stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleLimits {
    /// Maximum size of the module in bytes.
    pub module_bytes: usize,
    /// Maximum number of function types.
    pub types: u32,
    /// Maximum number of imported functions. Each import may be declared more than once.
    pub imports: u32,
    /// Maximum number of functions with a body.
    pub functions: u32,
    /// Maximum number of globals.
    pub globals: u32,
    /// Maximum number of exports.
    pub exports: u32,
    /// Maximum number of entries of the table.
    pub table_entries: u32,
    /// Maximum number of element segments.
    pub element_segments: u32,
    /// Maximum number of data segments.
    pub data_segments: u32,
    /// Maximum number of operators in all functions together, including those of metering and the
    /// stack counter. It bounds compile time and the size of machine code. Singlepass compiles some
    /// five million operators a second.
    pub operators: u64,
    /// Maximum size of a function's body in bytes.
    pub body_bytes: usize,
    /// Maximum number of a function's parameters.
    pub params: usize,
    /// Maximum number of a function's locals, parameters included.
    pub locals: u32,
    /// Maximum number of values on a function's operand stack.
    pub operands: u32,
    /// Maximum nesting depth of blocks in a function.
    pub nesting: u32,
    /// Upper bound for the memory's declared maximum, in wasm pages of 64 KiB.
    pub memory_pages: u32,
    /// Upper bound for all frames on the stack together, in the units of [`cost::frame_bytes`].
    /// `None` for a module that bounds its stack itself.
    pub stack_bytes: Option<u32>,
}

impl ModuleLimits {
    /// Returns the [`ModuleLimits`] for modules from users.
    pub fn user() -> Self {
        Self {
            module_bytes: 2 << 20,
            types: 4_096,
            imports: 64,
            functions: 16_384,
            globals: 1_024,
            exports: 256,
            table_entries: 16_384,
            element_segments: 1_024,
            data_segments: 4_096,
            operators: 4_000_000,
            body_bytes: 256 << 10,
            params: 64,
            locals: 2_048,
            operands: 1_024,
            nesting: 1_024,
            memory_pages: 4_096,
            stack_bytes: Some(cost::STACK_BYTES),
        }
    }

    /// Returns the limits for a [`JsEngine`](crate::JsEngine), which is part of the chain's
    /// software.
    ///
    /// They are wide enough for an interpreter's main loop. There is no stack counter, which would
    /// triple the work. The engine bounds its own stack (see [`WasmHost`](crate::WasmHost)).
    pub fn engine() -> Self {
        Self {
            module_bytes: 16 << 20,
            operators: 64_000_000,
            body_bytes: 4 << 20,
            locals: 16_384,
            operands: 16_384,
            nesting: 16_384,
            memory_pages: 16_384,
            stack_bytes: None,
            ..Self::user()
        }
    }
}
