//! Expiry of incomplete uploads and of old messages' results.
//!
//! A block in which nothing expires writes nothing, so the app hash of an idle chain stays the same.

use capstan_kernel_ports::store::Overlay;
use tendermint_proto::v0_38::abci::Event;

use crate::{
    fault::NodeFault,
    records::{keys, results, uploads},
};

/// Upper bound of the records that expire in one block. The rest follows in the next blocks.
const MAX_PER_BLOCK: usize = 1000;

/// Deletes records that expire at `height` or before. Returns the [`Event`]s.
pub(crate) fn expire(state: &mut dyn Overlay, height: u64) -> Result<Vec<Event>, NodeFault> {
    let mut events = Vec::new();
    for _ in 0..MAX_PER_BLOCK {
        let Some((key, _)) = state.next_after(keys::EXPIRY, keys::EXPIRY)? else { break };
        let due = parse(&key).ok_or_else(|| NodeFault::Damaged(format!("expiry key {key:?}")))?;
        if due.height > height {
            break;
        }
        state.delete(&key);
        match due.what {
            What::Upload(id) => events.extend(uploads::expire(state, &id)?),
            What::Result(tx, index) => results::expire(state, &tx, index)?,
        }
    }
    Ok(events)
}

struct Due {
    height: u64,
    what: What,
}

enum What {
    Upload(crate::tx::UploadId),
    Result(crate::tx::TxHash, u32),
}

/// Parses a key `a.exp.HEIGHT.u.UPLOAD` or `a.exp.HEIGHT.r.TXHASH.INDEX`. Returns `None` for any other.
fn parse(key: &[u8]) -> Option<Due> {
    let text = std::str::from_utf8(key.strip_prefix(keys::EXPIRY)?).ok()?;
    let mut parts = text.split('.');
    let height = u64::from_str_radix(parts.next()?, 16).ok()?;
    let what = match parts.next()? {
        "u" => What::Upload(parts.next()?.parse().ok()?),
        "r" => {
            What::Result(parts.next()?.parse().ok()?, u32::from_str_radix(parts.next()?, 16).ok()?)
        }
        _ => return None,
    };
    parts.next().is_none().then_some(Due { height, what })
}
