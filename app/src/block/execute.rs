//! The execution of transactions. It runs no vat code, since messages only put work on the kernel's queues.

use std::sync::Arc;

use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, DENOM};
use capstan_kernel::{
    Kernel,
    ids::{Endpoint, RemoteId},
    limits::MAX_TOLD_BYTES,
    remote::RemoteError,
    view,
};
use capstan_kernel_ports::{host::VatHost, store::Overlay};
use capstan_passable as smallcaps;
use capstan_proto::FACTORY;
use cosmrs::{
    Any,
    proto::cosmos::{bank::v1beta1::MsgSendResponse as BankSent, base::abci::v1beta1::TxMsgData},
};
use prost::{Message, Name};
use tendermint_proto::v0_38::abci::{Event, ExecTxResult};

use crate::{
    admission::{ChainContext, SignatureCache, check},
    block::{
        bridge, channels, cosmos_events,
        meters::{self, Purchase},
        tx_result::{failed, refused},
    },
    events::event,
    fault::{Failure, NodeFault},
    observe::{cause::Cause, watch::Watch},
    proto,
    records::{
        account, bundles,
        chain::Chain,
        results,
        uploads::{self, Progress, Upload},
    },
    tx::{Action, Announcement, Gas, Packed, Tx, TxError, UploadId},
};

/// Executes the transactions of one block.
pub(crate) struct Executor<'a, H> {
    pub(crate) kernel: &'a mut Kernel<H>,
    pub(crate) over: &'a mut dyn Overlay,
    pub(crate) chain: &'a Chain,
    pub(crate) height: u64,
    pub(crate) signatures: &'a SignatureCache,
    pub(crate) watch: &'a Watch,
    /// Uploads whose bundles the present transaction has verified.
    pub(crate) verified: Vec<UploadId>,
    /// Computrons that the block's transactions count besides those for their bytes and for one signature each.
    pub(crate) counted: u64,
}

impl<H: VatHost> Executor<'_, H> {
    /// Executes one transaction. The [`ExecTxResult`] carries an error of the user.
    ///
    /// A refused transaction changes no state. If a message fails, the fee stays paid, the sequence stays used,
    /// the signer's account stays an endpoint of the kernel, and an upload that the transaction completed is over.
    ///
    /// # Errors
    /// A [`NodeFault`] of this node.
    pub(crate) fn deliver(&mut self, bytes: &[u8]) -> Result<ExecTxResult, NodeFault> {
        let tx = match Tx::decode(bytes, &self.chain.params) {
            Ok(tx) => tx,
            Err(error) => return Ok(refused(&error)),
        };
        let params = &self.chain.params;
        let more = tx.computrons(params).saturating_sub(Tx::least_computrons(bytes, params));
        self.counted = self.counted.saturating_add(more);
        let gas = Gas::of(&tx, &self.chain.params.fees);
        let account = account::get(self.over, tx.signer)?;
        let context = ChainContext {
            chain_id: &self.chain.id,
            height: self.height,
            params: &self.chain.params,
            signatures: self.signatures,
        };
        let account = match check(&tx, account, context) {
            Ok(account) => account,
            Err(error) => return Ok(failed(&error, Gas { used: 0, ..gas }, Vec::new())),
        };
        account::set(self.over, tx.signer, &account)?;
        account::burnt(self.over, tx.fee)?;
        self.watch.caused_by(cause(&tx, 0));
        let mut events = cosmos_events::of_transaction(&tx);
        events.push(fee_paid(tx.signer, tx.fee));
        let remote = match self.provision(&tx, &mut events) {
            Ok(remote) => remote,
            Err(Failure::Tx(error)) => return Ok(failed(&error, gas, events)),
            Err(Failure::Node(fault)) => return Err(fault),
        };
        // Payments up to here stay if a message fails.
        let paid = events.len();
        self.over.push();
        self.verified.clear();
        match self.messages(&tx, remote, &mut events) {
            Ok(msg_responses) => {
                self.over.merge();
                let data = TxMsgData { msg_responses, ..TxMsgData::default() }.encode_to_vec();
                Ok(ExecTxResult {
                    data: data.into(),
                    gas_wanted: gas.wanted,
                    gas_used: gas.used,
                    events,
                    ..ExecTxResult::default()
                })
            }
            Err(Failure::Tx(error)) => {
                self.over.rollback();
                events.truncate(paid);
                for id in std::mem::take(&mut self.verified) {
                    events.extend(uploads::fail(self.over, &id)?);
                }
                Ok(failed(&error, gas, events))
            }
            Err(Failure::Node(fault)) => Err(fault),
        }
    }

    /// Makes the signer an endpoint of the kernel, unless it is one already or needs none. The signer pays for the
    /// lasting records. Returns the endpoint's [`RemoteId`], or `None` if the transaction needs none.
    fn provision(&mut self, tx: &Tx, events: &mut Vec<Event>) -> Result<Option<RemoteId>, Failure> {
        if !tx.needs_endpoint() {
            return Ok(None);
        }
        let address = tx.signer.to_string();
        if view::remote_of(self.over, &address).map_err(NodeFault::from)?.is_none() {
            let price = self.chain.params.fees.per_account;
            account::debit(self.over, tx.signer, price)?;
            let amount = ("amount", format!("{price}{DENOM}"));
            events.push(event("account.provisioned", &[("account", address.clone()), amount]));
        }
        let remote = self.kernel.provision(self.over, &address).map_err(NodeFault::from)?;
        Ok(Some(remote))
    }

    fn messages(
        &mut self,
        tx: &Tx,
        remote: Option<RemoteId>,
        events: &mut Vec<Event>,
    ) -> Result<Vec<Any>, Failure> {
        let mut responses = Vec::with_capacity(tx.actions.len());
        for (index, action) in tx.actions.iter().enumerate() {
            self.watch.caused_by(cause(tx, index));
            let index = index as u32;
            events.push(cosmos_events::of_message(tx, index, action));
            let mut message = Msg { run: self, tx, index, remote, events };
            responses.push(message.execute(action)?);
        }
        Ok(responses)
    }
}

/// The message that is being executed.
struct Msg<'a, 'b, H> {
    run: &'a mut Executor<'b, H>,
    tx: &'a Tx,
    index: u32,
    remote: Option<RemoteId>,
    events: &'a mut Vec<Event>,
}

impl<H: VatHost> Msg<'_, '_, H> {
    fn execute(&mut self, action: &Action) -> Result<Any, Failure> {
        match action {
            Action::BankSend { to, amount } => self.bank_send(*to, *amount),
            Action::InstallBundle { id, packed } => {
                self.install(id, packed.clone())?;
                Ok(any(&proto::MsgInstallBundleResponse { bundle_id: id.to_string() }))
            }
            Action::BeginUpload(announced) => self.begin_upload(announced),
            Action::UploadChunk { upload, index, data } => self.upload_chunk(upload, *index, data),
            Action::CreateVat { bundle, name, parameters, computrons } => {
                self.insist_installed(bundle)?;
                let computrons = computrons.unwrap_or(self.run.chain.params.default_vat_computrons);
                // The provisioner buys them when it creates the meter, whichever account asks it for the vat.
                let price = self.run.chain.params.fees.computron_price(computrons);
                bridge::check_payable(self.run.over, self.tx.signer, price)?;
                let methargs = create_vat(bundle.as_str(), name, parameters, computrons);
                let result = self.send(FACTORY, "createVat", methargs, action)?;
                Ok(any(&proto::MsgCreateVatResponse { result }))
            }
            Action::Send { target, method, methargs } => {
                let result = self.send(target, method, methargs.clone(), action)?;
                Ok(any(&proto::MsgSendResponse { result }))
            }
            Action::TerminateVat { admin, methargs } => {
                let result = self.send(admin, "terminateWithFailure", methargs.clone(), action)?;
                Ok(any(&proto::MsgTerminateVatResponse { result }))
            }
            Action::UpgradeVat { admin, bundle, methargs } => {
                self.insist_installed(bundle)?;
                self.insist_held(admin)?;
                let result = self.send(FACTORY, "upgradeVat", methargs.clone(), action)?;
                Ok(any(&proto::MsgUpgradeVatResponse { result }))
            }
            Action::FundMeter { meter, computrons } => {
                let purchase = Purchase { meter: *meter, computrons: *computrons };
                let (answer, event) =
                    meters::fund(self.run, self.tx.signer, self.index as usize, purchase)?;
                self.events.push(event);
                Ok(answer)
            }
            Action::Resolve { resolutions } => self.resolve(resolutions),
            Action::Drop { refs } => self.drop_refs(refs),
            Action::Ack { through } => self.acknowledge(*through),
            Action::WriteChannel { .. } | Action::AckChannel { .. } => {
                let (answer, event) = channels::execute(self.run, self.tx.signer, action)?;
                self.events.push(event);
                Ok(answer)
            }
        }
    }

    fn bank_send(&mut self, to: Address, amount: Amount) -> Result<Any, Failure> {
        let from = self.tx.signer;
        let created = account::transfer(self.run.over, from, to, amount)?;
        if created {
            self.event("account.created", &[("address", to.to_string())]);
        }
        self.events.extend(cosmos_events::of_payment(from, to, amount, self.index));
        Ok(any(&BankSent {}))
    }

    fn install(&mut self, id: &capstan_genesis::BundleId, packed: Packed) -> Result<(), Failure> {
        let bytes = bundles::unpack(packed)?;
        let bytes = bundles::verify(bytes, id, self.run.kernel.host())?;
        let size = bytes.len();
        let kernel = &mut self.run.kernel;
        let installed =
            kernel.install_bundle(self.run.over, id.as_str(), bytes).map_err(NodeFault::from)?;
        if installed {
            let submitter = self.tx.signer.to_string();
            self.event(
                "bundle.installed",
                &[
                    ("bundle_id", id.to_string()),
                    ("submitter", submitter),
                    ("size", size.to_string()),
                ],
            );
        }
        Ok(())
    }

    fn begin_upload(&mut self, announced: &Announcement) -> Result<Any, Failure> {
        let Announcement { upload: id, bundle, compression, uncompressed_size, chunks } = announced;
        let params = &self.run.chain.params;
        let deadline = self.run.height.saturating_add(params.upload_deadline_blocks);
        let upload = Upload {
            submitter: self.tx.signer,
            bundle: bundle.clone(),
            compression: *compression,
            uncompressed_size: *uncompressed_size,
            chunks: chunks.clone(),
            received: vec![false; chunks.len()],
            deadline,
        };
        uploads::begin(self.run.over, id, &upload, params)?;
        self.event(
            "upload.begun",
            &[
                ("upload_id", id.to_string()),
                ("submitter", self.tx.signer.to_string()),
                ("bundle_id", bundle.to_string()),
                ("deadline_height", deadline.to_string()),
            ],
        );
        let upload_id = id.to_string();
        Ok(any(&proto::MsgBeginUploadResponse { upload_id, deadline_height: deadline }))
    }

    fn upload_chunk(&mut self, id: &UploadId, index: u32, data: &[u8]) -> Result<Any, Failure> {
        let (missing, bundle_id) = match uploads::add_chunk(self.run.over, id, index, data)? {
            Progress::Missing(missing) => (missing, String::new()),
            Progress::Complete(upload, packed) => {
                self.run.verified.push(*id);
                let each = self.run.chain.params.tx_byte_computrons;
                let unpacked = each.saturating_mul(packed.uncompressed_size);
                self.run.counted = self.run.counted.saturating_add(unpacked);
                self.install(&upload.bundle, packed)?;
                (0, upload.bundle.to_string())
            }
        };
        self.event(
            "upload.chunk",
            &[
                ("upload_id", id.to_string()),
                ("index", index.to_string()),
                ("missing", missing.to_string()),
            ],
        );
        Ok(any(&proto::MsgUploadChunkResponse { missing, bundle_id }))
    }

    fn insist_installed(&self, bundle: &capstan_genesis::BundleId) -> Result<(), Failure> {
        match view::bundle(self.run.over, bundle.as_str()).map_err(NodeFault::from)? {
            Some(_) => Ok(()),
            None => Err(TxError::UnknownBundle(bundle.to_string()).into()),
        }
    }

    /// Refuses a reference that the signer does not hold. Without this check, an unknown promise would be created.
    fn insist_held(&self, rref: &str) -> Result<(), Failure> {
        let endpoint = Endpoint::Remote(self.remote()?);
        match view::kref_of(self.run.over, endpoint, rref).map_err(NodeFault::from)? {
            Some(_) => Ok(()),
            None => {
                let text = format!("{rref:?} is not held by this account");
                Err(TxError::Reference(text).into())
            }
        }
    }

    /// Sends a message as the signer, and records its result promise.
    fn send(
        &mut self,
        target: &str,
        method: &str,
        methargs: CapData,
        action: &Action,
    ) -> Result<String, Failure> {
        let remote = self.remote()?;
        self.check_room(remote)?;
        let Executor { kernel, over, chain, height, .. } = &mut *self.run;
        let target = match target {
            FACTORY => kernel.factory(*over, remote).map_err(remote_failure)?,
            held => held.to_owned(),
        };
        let sent = kernel.remote_send(*over, remote, &target, methargs).map_err(remote_failure)?;
        let record = results::MessageRecord {
            type_url: action.type_url(),
            height: *height,
            account: self.tx.signer,
            remote,
            promise: sent.result.clone(),
            target: target.clone(),
            method: results::recorded_method(method),
            settled: None,
        };
        results::add(*over, &self.tx.hash, self.index, &record, &chain.params)?;
        self.event(
            "message.sent",
            &[
                ("sender", self.tx.signer.to_string()),
                ("target", target),
                ("method", method.to_owned()),
                ("promise", sent.result.clone()),
                ("message_index", self.index.to_string()),
            ],
        );
        Ok(sent.result)
    }

    fn resolve(&mut self, resolutions: &[Resolution]) -> Result<Any, Failure> {
        let remote = self.remote()?;
        let Executor { kernel, over, .. } = &mut *self.run;
        kernel.remote_resolve(*over, remote, resolutions.to_vec()).map_err(remote_failure)?;
        for resolution in resolutions {
            self.settle_own(remote, resolution)?;
            self.account_event("promise.resolved", "promise", resolution.promise.clone());
        }
        Ok(any(&proto::MsgResolveResponse {}))
    }

    /// Records the result of a message that the account sent to an object of its own. No outbox entry follows, since
    /// the account itself gave the answer.
    fn settle_own(&mut self, remote: RemoteId, resolution: &Resolution) -> Result<(), Failure> {
        let height = self.run.height;
        self.events.extend(results::settle(self.run.over, remote, height, resolution)?);
        Ok(())
    }

    fn drop_refs(&mut self, refs: &[String]) -> Result<Any, Failure> {
        let remote = self.remote()?;
        let Executor { kernel, over, .. } = &mut *self.run;
        kernel.remote_drop(*over, remote, refs).map_err(remote_failure)?;
        for reference in refs {
            self.account_event("reference.dropped", "reference", reference.clone());
        }
        Ok(any(&proto::MsgDropResponse {}))
    }

    fn acknowledge(&mut self, through: u64) -> Result<Any, Failure> {
        let remote = self.remote()?;
        let Executor { kernel, over, .. } = &mut *self.run;
        kernel.remote_acknowledge(*over, remote, through).map_err(remote_failure)?;
        self.account_event("outbox.acknowledged", "through", through.to_string());
        Ok(any(&proto::MsgAckResponse {}))
    }

    /// Refuses a message while the kernel's queues or the account's outbox are full.
    fn check_room(&self, remote: RemoteId) -> Result<(), Failure> {
        let params = &self.run.chain.params;
        let status = view::kernel_status(self.run.over).map_err(NodeFault::from)?;
        let length = status.acceptance_queue + status.run_queue;
        if length >= params.max_queue_length {
            return Err(TxError::QueueFull { length, limit: params.max_queue_length }.into());
        }
        let record = view::remote(self.run.over, remote).map_err(NodeFault::from)?;
        if let Some(told) = record.as_ref().map(|record| record.told).filter(|told| told.is_full())
        {
            return Err(TxError::OutboxTooLarge { bytes: told.bytes, limit: MAX_TOLD_BYTES }.into());
        }
        // Others cause calls, so calls do not keep the account from sending. They have bounds of their own.
        let length = record
            .map_or(0, |r| (r.next_outbox - 1 - r.acknowledged).saturating_sub(r.calls.waiting));
        if length >= params.max_outbox_length {
            return Err(TxError::OutboxFull { length, limit: params.max_outbox_length }.into());
        }
        Ok(())
    }

    fn remote(&self) -> Result<RemoteId, Failure> {
        let missing = || NodeFault::Damaged("a message of no endpoint".to_owned());
        self.remote.ok_or_else(|| missing().into())
    }

    /// Adds an [`Event`] of the signer's account with one more attribute.
    fn account_event(&mut self, kind: &str, name: &str, value: String) {
        self.event(kind, &[("account", self.tx.signer.to_string()), (name, value)]);
    }

    fn event(&mut self, kind: &str, attributes: &[(&str, String)]) {
        self.events.push(event(kind, attributes));
    }
}

/// Returns the [`Cause`] of the kernel's work for a message, for reports and traces.
fn cause(tx: &Tx, index: usize) -> Arc<Cause> {
    let kind = tx.actions.get(index).map(Action::type_url).unwrap_or_default();
    let (tx, signer, index) = (tx.hash, tx.signer.to_string(), index as u32);
    Arc::new(Cause::Message { tx, signer, index, kind })
}

/// Builds the call `createVat(bundleID, { name, vatParameters, computrons })`.
fn create_vat(bundle: &str, name: &str, parameters: &CapData, computrons: u64) -> CapData {
    let name = match name {
        "" => String::new(),
        name => format!("\"name\":{},", smallcaps::string(name)),
    };
    let options =
        format!("{{\"computrons\":\"+{computrons}\",{name}\"vatParameters\":{}}}", parameters.body);
    let args = format!("[{},{options}]", smallcaps::string(bundle));
    CapData { body: smallcaps::call("createVat", &args), slots: parameters.slots.clone() }
}

fn remote_failure(error: RemoteError) -> Failure {
    match error {
        RemoteError::Panic(panic) => NodeFault::from(panic).into(),
        RemoteError::NoFactory => TxError::NoFactory(error.to_string()).into(),
        RemoteError::Unknown(_)
        | RemoteError::Reference(_)
        | RemoteError::NotSent { .. }
        | RemoteError::TooMany { .. }
        | RemoteError::TooLarge => TxError::Reference(error.to_string()).into(),
    }
}

fn fee_paid(payer: Address, fee: Amount) -> Event {
    event("fee.paid", &[("payer", payer.to_string()), ("amount", format!("{fee}{DENOM}"))])
}

pub(super) fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: format!("/{}.{}", M::PACKAGE, M::NAME), value: message.encode_to_vec() }
}
