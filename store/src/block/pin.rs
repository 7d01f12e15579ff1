//! Entries of a block as they are now, for another thread to read while the block goes on.

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Read, StoreFault},
    through::{Through, Writes},
};

use crate::StateView;

/// The block's writes to keys with one prefix, over the committed state.
pub(crate) struct Pin {
    writes: Writes,
    state: StateView,
}

impl Pin {
    /// Copies the writes of `levels`, the lowest first, to keys that start with `prefix`.
    pub(crate) fn new<'l>(
        levels: impl Iterator<Item = &'l Writes>,
        state: &StateView,
        prefix: &[u8],
    ) -> Self {
        let mut writes = Writes::new();
        for level in levels {
            let own = level.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            writes.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        }
        Self { writes, state: state.clone() }
    }

    fn through<T>(
        &self,
        read: impl FnOnce(Through<'_>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        read(Through { writes: &[&self.writes], below: &self.state })
    }
}

impl Read for Pin {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.through(|through| through.get(key))
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let most = self.writes.len();
        Ok(self.through(|through| through.next_after(prefix, after, most))?.flatten())
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        self.state.blob(hash)
    }
}
