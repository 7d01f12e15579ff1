//! Encoding of records in the state by borsh.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::store::{Overlay, Read};

use crate::fault::NodeFault;

/// Reads the record at `key`, or returns `None` if there is none.
pub(crate) fn get<T: BorshDeserialize>(
    state: &(impl Read + ?Sized),
    key: &[u8],
) -> Result<Option<T>, NodeFault> {
    let Some(bytes) = state.get(key)? else {
        return Ok(None);
    };
    decode(key, &bytes).map(Some)
}

/// Writes `value` at `key`.
pub(crate) fn set<T: BorshSerialize>(
    state: &mut dyn Overlay,
    key: &[u8],
    value: &T,
) -> Result<(), NodeFault> {
    let bytes = borsh::to_vec(value).map_err(|e| damaged(key, &e))?;
    state.set(key, bytes);
    Ok(())
}

/// Decodes a record from the bytes at `key`.
pub(crate) fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, NodeFault> {
    borsh::from_slice(bytes).map_err(|e| damaged(key, &e))
}

/// Returns the number of the counter at `key`, from 0, and increments the counter.
pub(crate) fn next_number(state: &mut dyn Overlay, key: &[u8]) -> Result<u64, NodeFault> {
    let number: u64 = get(state, key)?.unwrap_or(0);
    set(state, key, &(number + 1))?;
    Ok(number)
}

fn damaged(key: &[u8], problem: &dyn std::fmt::Display) -> NodeFault {
    NodeFault::Damaged(format!("record {:?}: {problem}", String::from_utf8_lossy(key)))
}
