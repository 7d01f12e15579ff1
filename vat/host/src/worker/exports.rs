//! Parts of an instance that the host uses: its store, its exports, and the globals that
//! instrumentation exports.

use wasmer::{Global, Instance, Memory, Store, TypedFunction};

use crate::{module::instrument, worker::StartError};

/// Store that may move to another thread together with all that it owns.
pub(crate) struct MovableStore(pub(crate) Store);

// SAFETY: everything that a store points to is its own: instances, memories, tables, and as host data
// this crate's `Env`, which is `Send`. It has no handler that is called back, wasmer ties a store to a
// thread during calls only, and there is no way to two threads at once without a shared reference.
unsafe impl Send for MovableStore {}

/// Exports of a worker that the host uses.
pub(crate) struct Exports {
    pub(crate) memory: Memory,
    pub(crate) alloc: TypedFunction<i32, i32>,
    pub(crate) deliver: TypedFunction<(i32, i32), ()>,
    pub(crate) points: Global,
    pub(crate) exhausted: Global,
    pub(crate) depth: Global,
}

impl Exports {
    pub(crate) fn find(instance: &Instance, store: &Store) -> Result<Self, StartError> {
        let missing = |e: wasmer::ExportError| StartError::Host(e.to_string());
        let global = |name| instance.exports.get_global(name).cloned().map_err(missing);
        Ok(Self {
            memory: instance.exports.get_memory("memory").map_err(missing)?.clone(),
            alloc: find_function(instance, store, "capstan_alloc")?,
            deliver: find_function(instance, store, "capstan_deliver")?,
            points: global(instrument::POINTS)?,
            exhausted: global(instrument::EXHAUSTED)?,
            depth: global(instrument::DEPTH)?,
        })
    }
}

/// Returns an exported function. The gate has checked that a worker's functions exist.
pub(crate) fn find_function<A, R>(
    instance: &Instance,
    store: &Store,
    name: &str,
) -> Result<TypedFunction<A, R>, StartError>
where
    A: wasmer::WasmTypeList,
    R: wasmer::WasmTypeList,
{
    let function = instance.exports.get_typed_function(store, name);
    function.map_err(|e| StartError::Host(format!("{name}: {e}")))
}

/// Returns the mutable globals, in index order.
pub(crate) fn mutable_globals(instance: &Instance) -> Vec<(u32, Global)> {
    let mut globals: Vec<(u32, Global)> = instance
        .exports
        .iter()
        .globals()
        .filter_map(|(name, global)| {
            let index = name.strip_prefix(instrument::GLOBAL_PREFIX)?.parse().ok()?;
            Some((index, global.clone()))
        })
        .collect();
    globals.sort_by_key(|(index, _)| *index);
    globals
}
