//! Uploads of bundles in chunks. They are announced with the hash of each chunk, delivered in any order by any
//! account, and expire at a deadline.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::{Address, BundleId, Params};
use capstan_kernel_ports::store::{Overlay, Read};
use sha2::{Digest, Sha256};
use tendermint_proto::v0_38::abci::Event;

use crate::{
    events::event,
    fault::{Failure, NodeFault},
    records::{keys, record},
    tx::{Chunk, Compression, Packed, TxError, UploadId},
};

/// An upload in progress. Each chunk that has arrived has a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Upload {
    /// [`Address`] of the account that began the upload, whose quota it counts towards.
    pub submitter: Address,
    /// [`BundleId`] that the bundle must have.
    pub bundle: BundleId,
    /// [`Compression`] of the concatenated chunks.
    pub compression: Compression,
    /// Size of the uncompressed bundle, in bytes.
    pub uncompressed_size: u64,
    /// Hash and size of each [`Chunk`], in order.
    pub chunks: Vec<Chunk>,
    /// Flag for each chunk, true if it has arrived.
    pub received: Vec<bool>,
    /// Lowest block height at which the upload expires.
    pub deadline: u64,
}

/// Total of an account's uploads in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Quota {
    uploads: u32,
    bytes: u64,
}

impl Upload {
    /// Returns the size of all chunks together, in bytes.
    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.size).sum()
    }

    /// Returns the indices of the missing chunks, from 0.
    pub fn missing(&self) -> Vec<u32> {
        let missing = |(index, received): (usize, &bool)| (!received).then_some(index as u32);
        self.received.iter().enumerate().filter_map(missing).collect()
    }
}

/// Returns the [`Upload`], or `None` if it is not in progress.
pub fn get(state: &(impl Read + ?Sized), id: &UploadId) -> Result<Option<Upload>, NodeFault> {
    record::get(state, &keys::upload(id))
}

/// Begins an upload, within the account's quota.
pub(crate) fn begin(
    state: &mut dyn Overlay,
    id: &UploadId,
    upload: &Upload,
    params: &Params,
) -> Result<(), Failure> {
    if get(state, id)?.is_some() {
        return Err(TxError::UploadExists(id.to_string()).into());
    }
    let key = keys::upload_quota(upload.submitter);
    let mut quota: Quota = record::get(state, &key)?.unwrap_or_default();
    if quota.uploads >= params.max_uploads_per_account {
        let problem = format!(
            "{} has {} uploads under way, the limit is {} (max_uploads_per_account); complete them or wait for their deadlines",
            upload.submitter, quota.uploads, params.max_uploads_per_account
        );
        return Err(TxError::UploadQuota(problem).into());
    }
    let bytes = quota.bytes.saturating_add(upload.bytes());
    if bytes > params.max_upload_bytes_per_account {
        let problem = format!(
            "with this upload {} would have {bytes} bytes under way, the limit is {} (max_upload_bytes_per_account)",
            upload.submitter, params.max_upload_bytes_per_account
        );
        return Err(TxError::UploadQuota(problem).into());
    }
    quota = Quota { uploads: quota.uploads + 1, bytes };
    record::set(state, &key, &quota)?;
    record::set(state, &keys::upload(id), upload)?;
    state.set(&keys::upload_expiry(upload.deadline, id), Vec::new());
    Ok(())
}

/// State of an upload after a chunk.
pub(crate) enum Progress {
    /// Number of chunks that are still missing.
    Missing(u32),
    /// The upload is complete: its record, and the bundle.
    Complete(Upload, Packed),
}

/// Adds a chunk to its upload. Returns the [`Progress`] of the upload.
pub(crate) fn add_chunk(
    state: &mut dyn Overlay,
    id: &UploadId,
    index: u32,
    data: &[u8],
) -> Result<Progress, Failure> {
    let mut upload = get(state, id)?.ok_or_else(|| TxError::UnknownUpload(id.to_string()))?;
    check_chunk(&upload, index, data)?;
    upload.received[index as usize] = true;
    let missing = upload.missing().len();
    if missing > 0 {
        state.set(&keys::upload_chunk(id, index), data.to_vec());
        record::set(state, &keys::upload(id), &upload)?;
        return Ok(Progress::Missing(missing as u32));
    }
    let mut bytes = Vec::with_capacity(upload.bytes() as usize);
    for number in 0..upload.chunks.len() as u32 {
        match state.get(&keys::upload_chunk(id, number))? {
            Some(chunk) => bytes.extend(chunk),
            None if number == index => bytes.extend(data),
            None => return Err(NodeFault::Damaged(format!("piece {number} of upload {id}")).into()),
        }
    }
    remove(state, id, &upload)?;
    let Upload { compression, uncompressed_size, .. } = upload;
    Ok(Progress::Complete(upload, Packed { bytes, compression, uncompressed_size }))
}

/// Deletes an upload whose bundle was verified in a transaction that failed. Returns its [`Event`], or `None` if there is no
/// such upload. Otherwise its last chunk could be sent again and again, and each time the bundle would be verified
/// for the fee of that chunk.
pub(crate) fn fail(state: &mut dyn Overlay, id: &UploadId) -> Result<Option<Event>, NodeFault> {
    end(state, id, "upload.failed")
}

/// Deletes an upload at its deadline. Returns its [`Event`], or `None` if it was completed before.
pub(crate) fn expire(state: &mut dyn Overlay, id: &UploadId) -> Result<Option<Event>, NodeFault> {
    end(state, id, "upload.expired")
}

fn end(
    state: &mut dyn Overlay,
    id: &UploadId,
    kind: &'static str,
) -> Result<Option<Event>, NodeFault> {
    let Some(upload) = get(state, id)? else { return Ok(None) };
    remove(state, id, &upload)?;
    let attributes = [("upload_id", id.to_string()), ("submitter", upload.submitter.to_string())];
    Ok(Some(event(kind, &attributes)))
}

/// Checks that `data` is the chunk that was announced at `index`.
fn check_chunk(upload: &Upload, index: u32, data: &[u8]) -> Result<(), TxError> {
    let refuse = |problem: String| Err(TxError::Chunk { index, problem });
    let Some(chunk) = upload.chunks.get(index as usize) else {
        return refuse(format!("the upload has pieces 0 to {}", upload.chunks.len() - 1));
    };
    if upload.received[index as usize] {
        return refuse("it has come already".to_owned());
    }
    if data.len() as u64 != chunk.size {
        return refuse(format!("it has {} bytes, {} were announced", data.len(), chunk.size));
    }
    if Sha256::digest(data)[..] != chunk.sha256 {
        return refuse("its SHA-256 is not the one announced".to_owned());
    }
    Ok(())
}

fn remove(state: &mut dyn Overlay, id: &UploadId, upload: &Upload) -> Result<(), NodeFault> {
    for index in 0..upload.chunks.len() as u32 {
        state.delete(&keys::upload_chunk(id, index));
    }
    state.delete(&keys::upload(id));
    state.delete(&keys::upload_expiry(upload.deadline, id));
    let key = keys::upload_quota(upload.submitter);
    let quota: Quota = record::get(state, &key)?.unwrap_or_default();
    match quota.uploads.saturating_sub(1) {
        0 => state.delete(&key),
        uploads => {
            let bytes = quota.bytes.saturating_sub(upload.bytes());
            record::set(state, &key, &Quota { uploads, bytes })?;
        }
    }
    Ok(())
}
