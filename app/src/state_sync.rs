//! ABCI's methods of state sync: what peers of this node ask for, and what this node takes from them.

use capstan_kernel_ports::{Hash, host::VatHost};
use capstan_store::{
    ChunkError, Restored, SNAPSHOT_FORMAT, SnapshotHead, chunk_hash, forget_restoration,
};
use tendermint_proto::v0_38::abci::{
    RequestApplySnapshotChunk, RequestLoadSnapshotChunk, RequestOfferSnapshot,
    ResponseApplySnapshotChunk, ResponseListSnapshots, Snapshot,
    response_apply_snapshot_chunk::Result as Applied, response_offer_snapshot::Result as Offer,
};

use crate::{
    app::App,
    block::consensus::{Consensus, Stage},
    fault::NodeFault,
    observe::AbciMethod,
    sync::{Offered, RestoreError, Restorer, about::About},
};

impl<H> App<H> {
    /// Lists the snapshots that peers can have.
    pub(crate) fn own_snapshots(&self) -> ResponseListSnapshots {
        let Some(writer) = self.snapshots() else { return ResponseListSnapshots::default() };
        let snapshots = writer.snapshots().list().unwrap_or_else(|error| {
            tracing::warn!(%error, "the snapshots cannot be listed");
            Vec::new()
        });
        let snapshots = snapshots.into_iter().map(|snapshot| Snapshot {
            height: snapshot.head.height,
            format: snapshot.head.format,
            chunks: snapshot.head.chunk_count(),
            hash: snapshot.hash.0.to_vec().into(),
            metadata: snapshot.head.about.into(),
        });
        ResponseListSnapshots { snapshots: snapshots.collect() }
    }

    /// Reads one chunk for a peer: one file, whose length is bounded. Returns nothing if there is no such chunk.
    pub(crate) fn own_chunk(&self, request: &RequestLoadSnapshotChunk) -> Vec<u8> {
        let RequestLoadSnapshotChunk { height, format, chunk } = *request;
        let Some(writer) = self.snapshots().filter(|_| format == SNAPSHOT_FORMAT) else {
            return Vec::new();
        };
        match writer.snapshots().chunk(height, chunk) {
            Ok(bytes) => {
                writer.metrics().served();
                bytes
            }
            Err(error) => {
                tracing::debug!(height, chunk, %error, "a chunk that a peer asked for is not here");
                Vec::new()
            }
        }
    }
}

impl<H: VatHost> App<H> {
    /// Decides whether to restore a snapshot. The app hash comes from CometBFT's light client, all else from a peer.
    pub(crate) fn consider(&self, request: RequestOfferSnapshot) -> Offer {
        let Some(snapshot) = request.snapshot else { return Offer::Reject };
        let hashes = (fixed(&snapshot.hash), fixed(&request.app_hash));
        let (Some(hash), Some(app_hash)) = hashes else { return Offer::Reject };
        if snapshot.format != SNAPSHOT_FORMAT {
            return Offer::RejectFormat;
        }
        if self.snapshots().is_none() || snapshot.chunks < 2 {
            return Offer::Reject;
        }
        let committed = self.committed();
        let (own, height) = (committed.state.height(), snapshot.height);
        let is_there = own == height && committed.state.app_hash() == app_hash;
        if own >= height && !is_there {
            self.offers().end(format!(
                "this node has the state of height {own} already, and was offered a snapshot of height {height}; state sync is for a node without blocks: start it without --state-sync and with state_sync.enable = false, or remove the directory state of its home to begin anew"
            ));
            return Offer::Abort;
        }
        let engine = self.engine();
        let checked =
            About::from_json(&snapshot.metadata).and_then(|about| about.check(&engine.to_string()));
        if let Err(problem) = checked {
            tracing::error!(height, "a snapshot was refused: {problem}");
            return Offer::Reject;
        }
        tracing::info!(height, chunks = snapshot.chunks, "a snapshot is being restored");
        *self.offers().lock() = Some(Offered {
            height,
            hash,
            app_hash,
            chunks: snapshot.chunks,
            metadata: snapshot.metadata.to_vec(),
            restorer: None,
            is_there,
            head_sender: String::new(),
        });
        Offer::Accept
    }

    /// Takes a chunk. A bad one is fetched again, from others than its sender. A forged snapshot is dropped.
    pub(crate) fn apply(&self, request: &RequestApplySnapshotChunk) -> ResponseApplySnapshotChunk {
        let mut offers = self.offers().lock();
        let Some(offered) = offers.as_mut() else {
            self.offers().end(
                "a chunk came of a snapshot that was not offered, or was refused; start the node again"
                    .to_owned(),
            );
            return respond(Applied::Abort);
        };
        if offered.is_there {
            return respond(Applied::Accept);
        }
        let outcome = match request.index {
            0 => self.take_head(offered, request),
            index => self.take_chunk(offered, index, request),
        };
        let outcome = match outcome {
            Ok(()) if offered.is_complete() => self.finish(offered),
            other => other,
        };
        let response = match outcome {
            Ok(()) => return respond(Applied::Accept),
            Err(Refused::Sender(problem)) => {
                if let Some(writer) = self.snapshots() {
                    writer.metrics().refused();
                }
                return fetch_again(request, &problem);
            }
            Err(Refused::Snapshot(problem)) => {
                tracing::error!(height = offered.height, "{problem}; another snapshot is tried");
                ResponseApplySnapshotChunk {
                    result: Applied::RejectSnapshot.into(),
                    refetch_chunks: Vec::new(),
                    reject_senders: vec![offered.head_sender.clone()],
                }
            }
            Err(Refused::Lack(problem)) => {
                self.offers().end(format!(
                    "the snapshot of height {} cannot be used: {problem}",
                    offered.height
                ));
                respond(Applied::Abort)
            }
        };
        // What another snapshot left may go on.
        let is_begun = offered.restorer.is_some();
        *offers = None;
        if is_begun && response.result == i32::from(Applied::RejectSnapshot) {
            self.forget_restoration();
        }
        response
    }

    /// Returns why this node ended state sync, and what is to be done, if it did.
    pub fn why_state_sync_ended(&self) -> Option<String> {
        self.offers().why_ended()
    }

    /// Removes what a restoration left that will not go on.
    pub(crate) fn forget_restoration(&self) {
        let Some(writer) = self.snapshots() else { return };
        if let Err(error) = forget_restoration(&writer.options().store_dir) {
            tracing::warn!(%error, "what is left of a restoration cannot be removed");
        }
    }

    fn take_head(
        &self,
        offered: &mut Offered,
        request: &RequestApplySnapshotChunk,
    ) -> Result<(), Refused> {
        let found = chunk_hash(&request.chunk);
        if found != offered.hash {
            return Err(Refused::Sender(format!(
                "chunk 0 has the SHA-256 {found}, where the snapshot was offered as {}",
                offered.hash
            )));
        }
        offered.head_sender.clone_from(&request.sender);
        // CometBFT may hand over a chunk again.
        if offered.restorer.is_some() {
            return Ok(());
        }
        // First of all: a head that is not that of the offer may ask for anything, even for an engine that nobody has.
        let head = SnapshotHead::decode(&request.chunk)
            .map_err(|error| self.refused(RestoreError::from(error)))?;
        let is_as_offered = (head.height, head.chunk_count(), &head.about)
            == (offered.height, offered.chunks, &offered.metadata);
        if !is_as_offered {
            return Err(Refused::Snapshot("chunk 0 is not that of the offer".to_owned()));
        }
        let Some(writer) = self.snapshots() else { return Ok(()) };
        let (dir, options) = (&writer.options().store_dir, writer.options().store.clone());
        let begun = Restorer::begin(dir, options, &request.chunk, offered.app_hash, self.engine());
        offered.restorer = Some(begun.map_err(|error| self.refused(error))?);
        Ok(())
    }

    fn take_chunk(
        &self,
        offered: &mut Offered,
        index: u32,
        request: &RequestApplySnapshotChunk,
    ) -> Result<(), Refused> {
        let missing = || Refused::Snapshot(format!("chunk {index} came before chunk 0"));
        let restorer = offered.restorer.as_mut().ok_or_else(missing)?;
        match restorer.chunk(index, &request.chunk) {
            Ok(()) => Ok(()),
            Err(error @ ChunkError::Other { .. }) => Err(Refused::Sender(error.to_string())),
            Err(ChunkError::Node(error)) => Err(self.refused(error.into())),
            Err(error) => Err(Refused::Snapshot(error.to_string())),
        }
    }

    /// Checks the whole restored state, and goes on from it.
    fn finish(&self, offered: &mut Offered) -> Result<(), Refused> {
        let Some(restorer) = offered.restorer.take() else { return Ok(()) };
        tracing::info!(height = offered.height, "all chunks have come; the state is being checked");
        let during = AbciMethod::ApplySnapshotChunk;
        let outcome = self.with_consensus(during, |consensus| {
            match restorer.finish(consensus.kernel.host_mut()) {
                Err(RestoreError::Node(fault)) => Err(fault),
                Err(error) => Ok(Err(error)),
                Ok(restored) => {
                    self.begin_from(consensus, restored)?;
                    Ok(Ok(()))
                }
            }
        });
        outcome.map_err(|error| self.refused(error))?;
        offered.is_there = true;
        tracing::warn!(
            height = offered.height,
            "the state of this height was restored; overrides that were agreed for later heights are not in it: copy the files of overrides/ from another node"
        );
        Ok(())
    }

    /// Puts a restored state in the place of an empty one.
    fn begin_from(
        &self,
        consensus: &mut Consensus<H>,
        restored: Restored,
    ) -> Result<(), NodeFault> {
        consensus.stage = Stage::Committed;
        consensus.kernel.restart();
        restored.replace(&consensus.store)?;
        consensus.vat_log.resume(consensus.store.height());
        self.publish(consensus.store.reader())
    }

    /// Tells whose fault an error is. A fault of this node ends it.
    fn refused(&self, error: RestoreError) -> Refused {
        match error {
            RestoreError::Forged(_) => Refused::Snapshot(error.to_string()),
            RestoreError::Lack(_) => Refused::Lack(error.to_string()),
            RestoreError::Node(fault) => {
                self.or_stop(AbciMethod::ApplySnapshotChunk, Err::<Refused, _>(fault))
            }
        }
    }
}

/// Reason why a chunk was not accepted.
enum Refused {
    /// Its sender is at fault.
    Sender(String),
    /// Whoever made the snapshot is at fault.
    Snapshot(String),
    /// This node lacks something, whatever snapshot it takes.
    Lack(String),
}

/// Has a chunk fetched again, from others than its sender.
fn fetch_again(request: &RequestApplySnapshotChunk, problem: &str) -> ResponseApplySnapshotChunk {
    let sender = capstan_files::one_line(&request.sender);
    tracing::warn!(%sender, "{problem}; it is fetched from another peer");
    ResponseApplySnapshotChunk {
        result: Applied::Retry.into(),
        refetch_chunks: vec![request.index],
        reject_senders: vec![request.sender.clone()],
    }
}

fn respond(result: Applied) -> ResponseApplySnapshotChunk {
    ResponseApplySnapshotChunk {
        result: result.into(),
        refetch_chunks: Vec::new(),
        reject_senders: Vec::new(),
    }
}

fn fixed(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}
