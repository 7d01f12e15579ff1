use crate::cost;

/// What a wasm module may contain. All nodes of a chain must use the same limits: they decide
/// which modules can be installed and when a vat runs out of memory or stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleLimits {
    /// The module's size in bytes.
    pub module_bytes: usize,
    /// Function types.
    pub types: u32,
    /// Imported functions (each import may be declared more than once).
    pub imports: u32,
    /// Functions with a body.
    pub functions: u32,
    /// Globals.
    pub globals: u32,
    /// Exports.
    pub exports: u32,
    /// Entries of the table.
    pub table_entries: u32,
    /// Element segments.
    pub element_segments: u32,
    /// Data segments.
    pub data_segments: u32,
    /// Operators in all functions together, those counted that metering and the stack counter add: what
    /// compile time and the size of machine code go by. Singlepass does some five million a second.
    pub operators: u64,
    /// One function's body in bytes.
    pub body_bytes: usize,
    /// One function's parameters.
    pub params: usize,
    /// One function's locals, parameters included.
    pub locals: u32,
    /// Values on one function's operand stack.
    pub operands: u32,
    /// Blocks within blocks, in one function.
    pub nesting: u32,
    /// The memory's declared maximum, in wasm pages of 64 KiB.
    pub memory_pages: u32,
    /// What all frames on the stack may cost together, in the units of [`cost::frame_bytes`];
    /// none for a module that bounds its stack itself.
    pub stack_bytes: Option<u32>,
}

impl ModuleLimits {
    /// The limits for modules from users.
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

    /// The limits for the JavaScript engine, which is part of the chain's software: wide enough for
    /// an interpreter's main loop, and no stack counter (it would cost three times the work; the
    /// engine bounds its own stack, see [`WasmHost`](crate::WasmHost)).
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
