//! Bounds of the encoding. Each decides something on every node of a chain, so none may change while the chain runs.

/// Deepest nesting of a body that is checked: 100 levels.
///
/// It decides which transactions are valid, which messages the vats of the system take, and which exit
/// information is kept as it is. Decoders in vats recurse, and this keeps them far from their limits. Messages
/// between other vats may nest deeper, because nobody checks them.
pub const MAX_DEPTH: usize = 100;

/// Deepest nesting of a body that is taken apart: 200 levels.
///
/// It decides which device calls have readable arguments. What nests deeper is read as no value at all. Device
/// calls come from vats whose bodies were not checked, hence a limit of its own.
pub const MAX_TREE_DEPTH: usize = 200;

/// Longest body, in bytes, that is read as a whole to find the name of a method or a single reference.
///
/// It decides the text of the error for a call on data whose method is not a string.
pub const MAX_GLANCE_BYTES: usize = 1 << 20;
