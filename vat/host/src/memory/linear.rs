//! Linear memory of a worker: a private mapping of a base image, copied page by page on write, or
//! new memory.

use std::{
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use wasmer::{
    MemoryError, MemoryStyle, MemoryType, Pages, TableType,
    sys::{
        BaseTunables, Tunables,
        vm::{
            LinearMemory, TableStyle, Trap, VMConfig, VMMemory, VMMemoryDefinition, VMTable,
            VMTableDefinition, initialize_memory_with_data,
        },
    },
};

use crate::{
    cost,
    memory::{base::BaseMemory, region::Region},
};

/// Size in bytes of a wasm page.
pub(crate) const WASM_PAGE: usize = 65_536;

/// State that a worker's memory shares with its host.
#[derive(Debug, Default)]
pub(crate) struct MemoryState {
    /// Is true if a `memory.grow` went beyond the maximum.
    refused: AtomicBool,
    /// Is true if nobody wants the result of the run any more.
    given_up: AtomicBool,
    /// Error of this node if it could not provide memory within the maximum.
    fault: Mutex<Option<String>>,
}

impl MemoryState {
    /// Checks whether the worker asked for more memory than its maximum.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Has the run end at its next call of the host. Its result is lost. Another thread may say so.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Returns whether the run is to end.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Returns the error of this node if it could not provide memory.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Plan for the memory of the next instance.
#[derive(Clone, Debug)]
pub(crate) struct MemoryPlan {
    /// Image that the memory starts as. `None` for a new memory.
    pub(crate) base: Option<Arc<BaseMemory>>,
    /// Is true if the module's data segments are to be written. It is false if the image contains
    /// them.
    pub(crate) write_segments: Arc<AtomicBool>,
    pub(crate) state: Arc<MemoryState>,
}

/// Tunables that create one instance's memory as planned, and set the native stack size of all
/// workers.
pub(crate) struct WorkerTunables {
    base: BaseTunables,
    config: VMConfig,
    plan: MemoryPlan,
}

impl WorkerTunables {
    pub(crate) fn new(plan: MemoryPlan) -> Self {
        let config = VMConfig { wasm_stack_size: Some(cost::NATIVE_STACK_BYTES) };
        Self { base: BaseTunables::new(), config, plan }
    }
}

impl Tunables for WorkerTunables {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
    ) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(ty, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let memory = WorkerMemory::new(*ty, *style, definition, &self.plan)?;
        let memory: Box<dyn LinearMemory + Send + Sync> = Box::new(memory);
        Ok(VMMemory::from_custom(memory))
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(ty, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller's promise about the location is passed on.
        unsafe { self.base.create_vm_table(ty, style, definition) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.config
    }
}

/// Memory of one worker.
#[derive(Debug)]
struct WorkerMemory {
    region: Region,
    ty: MemoryType,
    style: MemoryStyle,
    size: Pages,
    /// Location from which compiled code reads the memory's address and size. It lies in the
    /// instance, which outlives its memory.
    definition: NonNull<VMMemoryDefinition>,
    plan: MemoryPlan,
}

// SAFETY: the region is owned by the memory and the definition by its instance. wasmer lets one
// thread at a time use a store.
unsafe impl Send for WorkerMemory {}
// SAFETY: as above. Only `initialize_with_data` changes anything through a shared reference, and
// wasmer calls it from the thread that runs the store.
unsafe impl Sync for WorkerMemory {}

impl WorkerMemory {
    fn new(
        ty: MemoryType,
        style: MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
        plan: &MemoryPlan,
    ) -> Result<Self, MemoryError> {
        let guard = usize::try_from(style.offset_guard_size()).map_err(|e| region_error(&e))?;
        // Compiled code leaves out bounds checks: every address that it can form, 4 GiB and the guard,
        // must lie in the reservation.
        let bound = match style {
            MemoryStyle::Static => MemoryStyle::static_bound().bytes().0,
            MemoryStyle::Dynamic { .. } => ty.maximum.unwrap_or(ty.minimum).bytes().0,
        };
        let region = Region::reserve(bound + guard).map_err(|e| region_error(&e))?;
        let length = plan.base.as_ref().map_or(ty.minimum.bytes().0, |base| base.bytes().len());
        region.open(0, length).map_err(|e| region_error(&e))?;
        if let Some(base) = &plan.base {
            // SAFETY: the region is new, so nothing refers to it, and it was opened for the image's length.
            unsafe { base.place(region.start()) }.map_err(|e| region_error(&e))?;
        }
        let size = Pages(u32::try_from(length / WASM_PAGE).map_err(|e| region_error(&e))?);
        let mut memory = Self { region, ty, style, size, definition, plan: plan.clone() };
        memory.publish();
        Ok(memory)
    }

    /// Publishes the memory's address and size to compiled code.
    fn publish(&mut self) {
        // SAFETY: wasmer promised a valid location when it asked for this memory.
        let definition = unsafe { self.definition.as_mut() };
        definition.base = self.region.start().as_ptr();
        definition.current_length = self.size.bytes().0;
    }

    fn refuse(&self, delta: Pages) -> MemoryError {
        self.plan.state.refused.store(true, Ordering::Relaxed);
        MemoryError::CouldNotGrow { current: self.size, attempted_delta: delta }
    }
}

impl WorkerMemory {
    fn fail(&self, delta: Pages, error: &dyn std::fmt::Display) -> MemoryError {
        let text = format!("cannot give a vat {} more pages of memory: {error}", delta.0);
        *self.plan.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        region_error(error)
    }
}

impl LinearMemory for WorkerMemory {
    fn ty(&self) -> MemoryType {
        MemoryType { minimum: self.size, ..self.ty }
    }

    fn size(&self) -> Pages {
        self.size
    }

    fn style(&self) -> MemoryStyle {
        self.style
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let before = self.size;
        let maximum = self.ty.maximum.unwrap_or(self.ty.minimum);
        let after = match before.checked_add(delta) {
            Some(after) if after <= maximum => after,
            _ => return Err(self.refuse(delta)),
        };
        if self.plan.state.is_given_up() {
            return Err(self.fail(delta, &"the run was given up"));
        }
        if let Err(error) = self.region.open(before.bytes().0, delta.bytes().0) {
            return Err(self.fail(delta, &error));
        }
        self.size = after;
        self.publish();
        Ok(before)
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.definition
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    unsafe fn initialize_with_data(&self, start: usize, data: &[u8]) -> Result<(), Trap> {
        if !self.plan.write_segments.load(Ordering::Relaxed) {
            return Ok(());
        }
        // SAFETY: the definition is this memory's own and valid. The caller has checked the bounds.
        unsafe { initialize_memory_with_data(self.definition.as_ref(), start, data) }
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::UnsupportedOperation {
            message: "a worker's memory is copied as an image".to_owned(),
        })
    }
}

fn region_error(error: &dyn std::fmt::Display) -> MemoryError {
    MemoryError::Generic(error.to_string())
}
