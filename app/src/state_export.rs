//! Export of a whole state, and import as the beginning of a chain.
//!
//! The file is the store's export with the node-local keys that the kernel needs. An import checks these against the state. The genesis document has its
//! height, root hash, length and SHA-256, so trust in the document extends to the file.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use capstan_genesis::{FromState, Params};
use capstan_kernel::{KernelPanic, view};
use capstan_kernel_ports::{
    Hash,
    host::{HostFault, VatHost},
};
use capstan_store::{Expected, FILE, Import, JOURNAL_FILE, Local, Options, StateView, Store};
use sha2::{Digest, Sha256};

use crate::{block::validators, fault::NodeFault, records::chain::Chain};

/// Reason why a state cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum StateExportError {
    /// Error of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Error of the store during export or import.
    #[error(transparent)]
    Store(#[from] capstan_store::Error),
    /// Fault of the node while it reads the state.
    #[error(transparent)]
    State(#[from] NodeFault),
    /// The file differs from the one that the genesis document names.
    #[error("{} is not the state that the genesis document names: {problem}; copy it again", path.display())]
    Other {
        /// Path of the file.
        path: PathBuf,
        /// Difference from the genesis document.
        problem: String,
    },
    /// The file is the one that the genesis document names, and a node-local record in it does not follow from its state.
    #[error(
        "{}: {problem}; whoever made this file is not to be trusted: take an export of another node", path.display()
    )]
    Forged {
        /// Path of the file.
        path: PathBuf,
        /// The record, and what is wrong with it.
        problem: String,
    },
    /// The state has no chain.
    #[error("the state holds no chain yet: there is no block")]
    Empty,
}

/// Properties of an exported state for a genesis document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Height, hash and file of the state: a [`FromState`].
    pub from: FromState,
    /// Id of the exported chain.
    pub chain_id: String,
    /// [`Params`] of the exported chain.
    pub params: Params,
    /// Ed25519 keys and powers of the validators after all changes. `None` if the chain keeps no table of them and
    /// those of its genesis document hold.
    pub validators: Option<BTreeMap<[u8; 32], u64>>,
}

/// Writes a committed [`StateView`] to the file `to`, which must not exist. Returns its properties as [`Exported`].
pub fn export(state: &StateView, to: &Path) -> Result<Exported, StateExportError> {
    let chain = Chain::load(state)?.ok_or(StateExportError::Empty)?;
    let fault = |source| StateExportError::Io { path: to.to_owned(), source };
    let file = File::options().write(true).create_new(true).open(to).map_err(fault)?;
    let mut out = BufWriter::new(file);
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let needed = view::NeededLocal::of(state).map_err(NodeFault::from)?;
    let local = Local::Where(Box::new(move |key| needed.includes(key)));
    for chunk in state.export(CHUNK_BYTES, local) {
        let chunk = chunk?;
        hash.update(&chunk);
        bytes += chunk.len() as u64;
        out.write_all(&chunk).map_err(fault)?;
    }
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(fault)?;
    let from = FromState {
        height: state.height(),
        root: state.app_hash().to_string(),
        bytes,
        sha256: hex::encode(hash.finalize()),
        uncritical: Vec::new(),
    };
    let validators = validators::list(state)?;
    Ok(Exported { from, chain_id: chain.id, params: chain.params, validators })
}

/// Creates a store in `directory` from the state in `file`, unless a store exists already. Every node-local record is
/// checked against the state, and every heap by `host`.
///
/// # Errors
/// [`StateExportError`]. Nothing is left of the store then.
pub fn import(
    from: &FromState,
    file: &Path,
    directory: &Path,
    options: Options,
    host: &mut impl VatHost,
) -> Result<(), StateExportError> {
    let store = directory.join(FILE);
    let exists =
        store.try_exists().map_err(|source| StateExportError::Io { path: store, source })?;
    if exists {
        return Ok(());
    }
    let other = |problem: String| StateExportError::Other { path: file.to_owned(), problem };
    let fault = |source| StateExportError::Io { path: file.to_owned(), source };
    let mut root = [0; 32];
    hex::decode_to_slice(&from.root, &mut root).map_err(|error| other(error.to_string()))?;
    let expected = Expected { height: from.height, app_hash: Hash(root), local: true };
    let mut stream = BufReader::new(File::open(file).map_err(fault)?);
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut import = Import::begin(directory, options, expected)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = stream.read(&mut chunk).map_err(fault)?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        bytes += length as u64;
        if bytes > from.bytes {
            return Err(other(format!("it is longer than {} bytes", from.bytes)));
        }
        import.chunk(&chunk[..length])?;
    }
    let found = hex::encode(hash.finalize());
    if found != from.sha256 {
        return Err(other(format!("its SHA-256 is {found}, not {}", from.sha256)));
    }
    let store: Store = import.finish()?;
    let checked = {
        let state = store.reader();
        view::check_local(&state).and_then(|()| view::check_heaps(&state, host))
    };
    drop(store);
    checked.map_err(|problem| {
        // Nobody has used the store yet, so nothing is lost.
        let removed = [FILE, JOURNAL_FILE].map(|name| fs::remove_file(directory.join(name)));
        let left = removed.into_iter().find_map(Result::err).map_or(String::new(), |error| {
            format!("; {} cannot be removed: {error}", directory.display())
        });
        match problem {
            // The state needs something that this node lacks, such as an older engine.
            KernelPanic::Host(HostFault::Missing(what)) => {
                NodeFault::from(KernelPanic::from(HostFault::Missing(what + &left))).into()
            }
            problem => StateExportError::Forged {
                path: file.to_owned(),
                problem: format!("{problem}{left}"),
            },
        }
    })
}

const CHUNK_BYTES: usize = 1 << 20;
