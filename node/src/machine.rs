use capstan_app::VatLog;
use capstan_kernel::capdata::KernelData;
use capstan_kernel::ids::KRef;
use capstan_kernel::policy::RunPolicy;
use capstan_kernel::promise::PromiseState;
use capstan_kernel::{Kernel, KernelPanic, NodeOptions, RunReport, view};
use capstan_kernel_ports::store::Read;
use capstan_store::{Block, StateView, Store};
use capstan_vat_host::WasmHost;

/// A kernel over a store, with no chain around it: no blocks, no accounts, no fees.
#[derive(Debug)]
pub struct Machine {
    /// The kernel. A change of its state goes through [`Machine::change`].
    pub kernel: Kernel<WasmHost>,
    store: Store,
}

/// The settlement of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was fulfilled with this data.
    Fulfilled(KernelData),
    /// It was rejected with this data.
    Rejected(KernelData),
}

impl Machine {
    /// Puts a kernel over a [`Store`], new or with a kernel's state in it. Nothing runs yet. What vats print goes to the
    /// log of the process.
    pub fn new(host: WasmHost, store: Store) -> Self {
        let mut kernel = Kernel::new(host, NodeOptions::default());
        kernel.set_slog(Box::new(VatLog::default()));
        Self { kernel, store }
    }

    /// Changes the state between cranks, and commits the change if `work` succeeds.
    ///
    /// # Errors
    /// Returns what `work` fails with, and [`KernelPanic::Store`] if the store fails.
    pub fn change<T, E: From<KernelPanic>>(
        &mut self,
        work: impl FnOnce(&mut Kernel<WasmHost>, &mut Block) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut block = self.store.begin_block();
        let value = work(&mut self.kernel, &mut block)?;
        self.commit(block)?;
        Ok(value)
    }

    /// Runs cranks until the [`RunPolicy`] says stop or nothing is left to do, and commits what they did.
    ///
    /// # Errors
    /// Returns the [`KernelPanic`] that stopped the kernel. Then nothing is committed.
    pub fn run(&mut self, policy: &mut dyn RunPolicy) -> Result<RunReport, KernelPanic> {
        self.change(|kernel, block| kernel.run(block, policy))
    }

    /// Returns the committed state.
    pub fn state(&self) -> StateView {
        self.store.reader()
    }

    /// Returns the [`Settlement`] of a promise. Returns `None` if it is not settled, or does not exist.
    ///
    /// # Errors
    /// Returns [`KernelPanic`] if the state cannot be read.
    pub fn settlement(&self, promise: KRef) -> Result<Option<Settlement>, KernelPanic> {
        settlement(&self.state(), promise)
    }

    fn commit(&self, block: Block) -> Result<(), KernelPanic> {
        let committed = self
            .store
            .prepare(block)
            .and_then(|prepared| self.store.commit(prepared, self.store.height() + 1));
        committed.map_err(|error| KernelPanic::Store(error.into()))
    }
}

/// Returns the [`Settlement`] of a promise in a state. Returns `None` if it is not settled, or does not exist.
///
/// # Errors
/// Returns [`KernelPanic`] if the state cannot be read.
pub fn settlement(state: &impl Read, promise: KRef) -> Result<Option<Settlement>, KernelPanic> {
    let KRef::Promise(number) = promise else { return Ok(None) };
    let found = view::promise(state, number)?;
    Ok(found.and_then(|promise| match promise.state {
        PromiseState::Unresolved(_) => None,
        PromiseState::Fulfilled(data) => Some(Settlement::Fulfilled(data)),
        PromiseState::Rejected(data) | PromiseState::RejectedByKernel { data, .. } => {
            Some(Settlement::Rejected(data))
        }
    }))
}
