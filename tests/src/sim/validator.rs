use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use capstan_app::App;
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_vat_host::WasmHost;
use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    RequestFinalizeBlock, RequestInfo, RequestInitChain, ResponseFinalizeBlock,
};

use super::{Decided, Disk};
use crate::{Options, Random};

/// The process of a validator has ended since its disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// The application of one validator on its disk, and what its engine keeps of it.
#[derive(Debug)]
pub struct Validator {
    disk: Disk,
    app: Option<App<WasmHost>>,
    options: Options,
    /// The height that the application said it had committed.
    acknowledged: usize,
    /// Number of disk operations that its last commit took.
    commit_operations: u64,
    /// The result of the block that was executed and is not yet committed.
    finalized: Option<ResponseFinalizeBlock>,
}

impl Validator {
    /// A validator with an empty store, not yet started. (On a file system a store is made beside its place and moved
    /// there whole: no crash leaves half of an empty one.)
    pub fn new(options: Options) -> Self {
        let disk = Disk::default();
        drop(store_on(&disk).unwrap());
        let disk = disk.copy();
        Self { disk, app: None, options, acknowledged: 0, commit_operations: 0, finalized: None }
    }

    /// A validator of which the engine knows that it has committed `height` blocks; it has no disk yet.
    pub fn at(height: usize, options: Options) -> Self {
        Self { acknowledged: height, ..Self::new(options) }
    }

    /// Gives a validator that is down another disk.
    pub fn replace_disk(&mut self, disk: Disk) {
        assert!(self.app.is_none(), "it runs");
        self.disk = disk;
    }

    /// Lets the engine of a validator that is down know of `height` blocks only.
    pub fn forget(&mut self, height: usize) {
        assert!(self.app.is_none(), "it runs");
        self.acknowledged = height;
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Returns `true` if the process runs.
    pub fn is_up(&self) -> bool {
        self.app.is_some()
    }

    /// The application of a validator that runs.
    pub fn app(&self) -> Option<&App<WasmHost>> {
        self.app.as_ref()
    }

    /// Returns the number of blocks that it has committed.
    pub fn height(&self) -> usize {
        self.acknowledged
    }

    /// Number of disk operations that its last commit took.
    pub fn commit_operations(&self) -> u64 {
        self.commit_operations
    }

    /// Returns the result of the next block, if it was executed.
    pub fn finalized(&self) -> Option<&ResponseFinalizeBlock> {
        self.finalized.as_ref()
    }

    /// Starts the process: opens the store and asks where the application stands, as an engine does. Nothing that was
    /// acknowledged may be lost, and what was not may only be the one block that was being committed.
    pub fn start(&mut self, decided: &[Decided], genesis: &Genesis) -> Result<(), Crashed> {
        assert!(self.app.is_none(), "it runs already");
        let (disk, options) = (self.disk.clone(), self.options.clone());
        let app = self.attempt(move |_| {
            let store =
                store_on(&disk).unwrap_or_else(|error| std::panic::panic_any(error.to_string()));
            options.app_over(store).unwrap_or_else(|error| std::panic::panic_any(error.to_string()))
        })?;
        let info = app.info(RequestInfo::default());
        let height = usize::try_from(info.last_block_height).unwrap();
        assert!(
            height == self.acknowledged || height == self.acknowledged + 1,
            "height {} was acknowledged, {height} was found",
            self.acknowledged
        );
        if let Some(last) = height.checked_sub(1) {
            assert_eq!(
                info.last_block_app_hash.to_vec(),
                decided[last].app_hash.clone().unwrap_or_default(),
                "app hash at height {height} after a start"
            );
        }
        self.acknowledged = height;
        self.app = Some(app);
        if height == 0 {
            self.init_chain(genesis)?;
        }
        Ok(())
    }

    /// Does the next step of the next block: executes it, or commits it. True if the block is complete.
    pub fn step(&mut self, block: &Decided) -> Result<bool, Crashed> {
        if self.finalized.is_none() {
            let request = RequestFinalizeBlock {
                height: i64::try_from(self.acknowledged + 1).unwrap(),
                txs: block.txs.iter().map(|tx| tx.clone().into()).collect(),
                time: Some(Timestamp {
                    seconds: i64::try_from(block.time_ms / 1_000).unwrap(),
                    nanos: (block.time_ms % 1_000) as i32 * 1_000_000,
                }),
                ..RequestFinalizeBlock::default()
            };
            self.finalized = Some(self.call(move |app| app.finalize_block(request))?);
            return Ok(false);
        }
        let before = self.disk.operations();
        self.call(Application::commit)?;
        self.commit_operations = self.disk.operations() - before;
        self.acknowledged += 1;
        self.finalized = None;
        Ok(true)
    }

    /// Commits the block that was executed, without the engine's hearing of it: the process is about to end. False if
    /// none was executed.
    pub fn commit_unheard(&mut self) -> Result<bool, Crashed> {
        if self.finalized.is_none() {
            return Ok(false);
        }
        self.call(Application::commit)?;
        Ok(true)
    }

    /// Ends the process at once, with the loss of what the disk had not synced.
    pub fn crash(&mut self, random: &mut Random) {
        let disk = self.disk.crash(random);
        // Dropped when the old disk takes nothing any more: what a closing store writes is lost.
        silently(|| self.app = None);
        self.finalized = None;
        self.disk = disk;
    }

    fn init_chain(&mut self, genesis: &Genesis) -> Result<(), Crashed> {
        let request = RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: genesis.initial_height,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        };
        self.call(move |app| app.init_chain(request)).map(drop)
    }

    fn call<T>(&mut self, method: impl FnOnce(&App<WasmHost>) -> T) -> Result<T, Crashed> {
        self.attempt(|validator| method(validator.app.as_ref().expect("it runs")))
    }

    /// Does something that ends by a panic if the disk fails. Any other panic is a failure of the test.
    fn attempt<T>(&mut self, work: impl FnOnce(&Self) -> T) -> Result<T, Crashed> {
        match silently(|| catch_unwind(AssertUnwindSafe(|| work(self)))) {
            Ok(value) => Ok(value),
            Err(_) if self.disk.has_failed() => Err(Crashed),
            Err(panic) => {
                let why = panic.downcast_ref::<String>();
                panic!("the process ended although its disk is sound: {why:?}")
            }
        }
    }
}

/// The store on this disk. It writes the state's file every few blocks, and always at the same ones.
pub fn store_on(disk: &Disk) -> Result<Store, capstan_store::Error> {
    let options = capstan_store::Options {
        cache_bytes: 4 << 20,
        journal_bytes: 150_000,
        background: false,
        ..capstan_store::Options::default()
    };
    Store::on_backends(disk.file(0), disk.file(1), options)
}

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Does something during which a panic is no news, and goes on with any other kind of hook otherwise.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // The text of a fault comes as an owned one; assertions and bugs are always told.
            let fault = info.payload().is::<String>() && SILENT.get();
            if !fault {
                usual(info);
            }
        }));
    });
    SILENT.set(true);
    let value = work();
    SILENT.set(false);
    value
}
