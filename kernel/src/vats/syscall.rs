//! Syscalls: translation with every check that the vat could fail, then what they do.

use std::collections::BTreeSet;

use capstan_abi::{
    CapData, Delivery, JsString, Message, Resolution, Syscall, SyscallData, SyscallResult, VRef,
};
use capstan_kernel_ports::{VatId, host::Syscalls};

use crate::{
    capdata::{self, KernelData, Parsed},
    device::{Caller, DeviceReply},
    error::{KernelPanic, Refusal, Result, Translated, inconsistent, vat_fatal},
    ids::{Endpoint, KRef, Kind, parse_vref},
    limits::{
        self, MAX_BODY_BYTES, MAX_DELIVERY_BYTES, MAX_ENDING_BYTES, MAX_SLOTS,
        MAX_VATSTORE_KEY_BYTES, REFERENCE_BYTES,
    },
    state::slog::Event,
    state::{clist::Use, handle::State, key::Key, keys, queue::Payer, vat::VatConfig},
    vats::syscall_size::{references, result_bytes, syscall_bytes},
};

/// The error text for a vat whose syscall could not be translated.
const PREPARE_TO_DIE: &str = "syscall translation error: prepare to die";

/// Answers the syscalls of one delivery, and remembers what the crank has to know.
pub(crate) struct VatSyscalls<'c, 's> {
    state: &'c mut State<'s>,
    vat: VatId,
    /// The vat as devices see it.
    caller: Caller,
    /// The vat's name for the result of the message that is being delivered.
    result: Option<VRef>,
    enable_pipelining: bool,
    /// The payer of a message that reaches a vat of the system.
    payer: Payer,
    /// The bytes that the transcript entry can still take. `None` after a syscall that did not fit: from then
    /// on nothing is done or recorded.
    capacity_bytes: Option<usize>,
    /// The reason why the vat must end, if a syscall was illegal.
    pub(crate) illegal: Option<KernelData>,
    /// The last `exit`: by failure, and with what.
    pub(crate) exit: Option<(bool, KernelData)>,
    /// The delivery has caused more work than its limit allows: it is to be given up.
    pub(crate) is_exhausted: bool,
    /// The kernel's own trouble: the delivery is to be given up.
    pub(crate) panic: Option<KernelPanic>,
    /// For the transcript.
    pub(crate) record: Vec<(Syscall, SyscallResult)>,
}

impl<'c, 's> VatSyscalls<'c, 's> {
    /// Makes what answers the syscalls of a delivery, given in the kernel's words and in the vat's.
    pub(crate) fn new(
        state: &'c mut State<'s>,
        vat: VatId,
        config: &VatConfig,
        kernel: &Delivery<KRef>,
        delivery: &Delivery,
    ) -> Self {
        let payer = match config.system {
            true => Payer::Receiver,
            false => Payer::Sender { vat, meter: config.meter },
        };
        Self {
            state,
            vat,
            caller: Caller { vat: Some(vat), result: kernel.result().copied(), is_deferred: false },
            result: delivery.result().cloned(),
            enable_pipelining: config.enable_pipelining,
            payer,
            capacity_bytes: Some(MAX_DELIVERY_BYTES),
            illegal: None,
            exit: None,
            is_exhausted: false,
            panic: None,
            record: vec![],
        }
    }
}

impl Syscalls for VatSyscalls<'_, '_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let executed = self.admit(&syscall).and_then(|()| self.execute(&syscall));
        let (result, refusal) = match executed {
            Ok(result) => (result, None),
            Err(Refusal::VatFatal(why)) => (self.condemn(), Some(why)),
            Err(Refusal::Exhausted) => {
                self.is_exhausted = true;
                return None;
            }
            Err(Refusal::Panic(panic)) => {
                self.panic = Some(panic);
                return None;
            }
        };
        let refusal = refusal.as_deref();
        self.state.log(Event::Syscall {
            vat: self.vat,
            syscall: &syscall,
            result: &result,
            refusal,
        });
        if let Some(left) = &mut self.capacity_bytes {
            let bytes = result_bytes(&result);
            *left = left.saturating_sub(bytes);
            self.state.foresee_bytes(bytes);
            self.record.push((syscall, result.clone()));
        }
        Some(result)
    }

    fn malformed(&mut self, _problem: &str) -> Option<SyscallResult> {
        // The delivery is going to be undone, so that its transcript never needs this syscall.
        Some(self.condemn())
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        self.state.log(Event::Console { vat: self.vat, source, level, text });
    }
}

impl<'s> VatSyscalls<'_, 's> {
    /// Returns the state, as it is between two syscalls.
    pub(crate) fn state(&self) -> &State<'s> {
        self.state
    }
}

impl VatSyscalls<'_, '_> {
    fn condemn(&mut self) -> SyscallResult {
        self.illegal = Some(capdata::error(PREPARE_TO_DIE));
        SyscallResult::Error(PREPARE_TO_DIE.to_owned())
    }

    /// Counts what the transcript entry of this delivery has to hold.
    fn take_capacity(&mut self, bytes: usize) -> Translated<()> {
        self.capacity_bytes = self.capacity_bytes.and_then(|left| left.checked_sub(bytes));
        match self.capacity_bytes {
            Some(_) => Ok(()),
            None => vat_fatal(format!(
                "the syscalls of one delivery take more than {MAX_DELIVERY_BYTES} bytes"
            )),
        }
    }

    /// Counts the syscall against the bounds of the delivery before anything is done for it.
    fn admit(&mut self, syscall: &Syscall) -> Translated<()> {
        let bytes = syscall_bytes(syscall);
        self.state.count_reads(1);
        self.state.foresee_bytes(bytes);
        self.state.insist_within_limit()?;
        self.take_capacity(bytes + references(syscall) * REFERENCE_BYTES)
    }

    fn me(&self) -> Endpoint {
        Endpoint::Vat(self.vat)
    }

    fn execute(&mut self, syscall: &Syscall) -> Translated<SyscallResult> {
        if self.state.stopped.contains(&self.vat) {
            self.illegal = Some(capdata::error("vat is dead"));
            return Ok(SyscallResult::Error("vat is dead".to_owned()));
        }
        // Those of garbage collection SwingSet does not count.
        self.state.stats.syscalls += u64::from(!is_collection(syscall));
        match syscall {
            Syscall::Send { target, message } => self.send(target, message)?,
            Syscall::CallNow { target, method, args } => {
                return self.call_now(target, method, args);
            }
            Syscall::Subscribe { promise } => self.subscribe(promise)?,
            Syscall::Resolve { resolutions } => self.resolve(resolutions)?,
            Syscall::Exit { is_failure, info } => self.exit(*is_failure, info)?,
            Syscall::VatstoreGet { key } => return self.vatstore_get(key),
            Syscall::VatstoreGetNextKey { prior } => return self.vatstore_next(prior),
            Syscall::VatstoreSet { key, value } => self.vatstore_set(key, value)?,
            Syscall::VatstoreDelete { key } => {
                self.state.stats.syscall_vatstore_delete += 1;
                let name = self.vatstore_key(key)?;
                self.state.delete_from_vatstore(self.vat, (&name, key.len()))?;
            }
            Syscall::DropImports { refs } => self.drop_imports(refs)?,
            Syscall::RetireImports { refs } => self.retire_imports(refs)?,
            Syscall::RetireExports { refs } => self.retire_exports(refs)?,
            Syscall::AbandonExports { refs } => self.abandon_exports(refs)?,
        }
        Ok(SyscallResult::Ok(SyscallData::Null))
    }

    fn send(&mut self, target: &str, message: &Message) -> Translated<()> {
        check_size(&message.methargs)?;
        let me = self.me();
        let target = self.state.to_kernel(me, target, Use::Mention)?;
        if let KRef::Device(_) = target {
            return vat_fatal(format!("send() to device node {target}"));
        }
        let methargs = self.state.data_to_kernel(me, message.methargs.clone())?;
        let result = match &message.result {
            None => None,
            Some(vpid) => Some(self.take_result(vpid)?),
        };
        self.state.stats.syscall_send += 1;
        Ok(self.state.send(target, Message { methargs, result }, self.payer)?)
    }

    /// The result promise of a message: its authority moves from the vat to the queue.
    fn take_result(&mut self, vpid: &str) -> Translated<KRef> {
        insist_kind(vpid, Kind::Promise)?;
        let usage = if self.enable_pipelining { Use::Mention } else { Use::New };
        let result = self.state.to_kernel(self.me(), vpid, usage)?;
        self.insist_decider(result, "send() result")?;
        self.state.set_decider(result, None)?;
        Ok(result)
    }

    fn insist_decider(&self, promise: KRef, what: &str) -> Translated<()> {
        let Some(unresolved) = self.state.unresolved(promise)? else {
            return vat_fatal(format!("{what} {promise} is already resolved"));
        };
        if unresolved.decider != Some(self.me()) {
            return vat_fatal(format!("{what} {promise} is not decided by {}", self.vat));
        }
        Ok(())
    }

    fn call_now(
        &mut self,
        target: &str,
        method: &JsString,
        args: &CapData,
    ) -> Translated<SyscallResult> {
        check_size(args)?;
        let me = self.me();
        let node = self.state.to_kernel(me, target, Use::Mention)?;
        if !matches!(node, KRef::Device(_)) {
            return vat_fatal(format!("callNow() must target a device node, not {node}"));
        }
        for vref in &args.slots {
            if parse_vref(vref).is_some_and(|parts| parts.kind == Kind::Promise) {
                return vat_fatal(format!("callNow() args cannot include promises like {vref}"));
            }
        }
        let args = self.state.data_to_kernel(me, args.clone())?;
        self.state.stats.syscall_call_now += 1;
        Ok(match self.state.invoke_device(&mut self.caller, node, &method.legible(), &args)? {
            DeviceReply::Returned(data) => {
                SyscallResult::Ok(SyscallData::CapData(self.state.data_to_endpoint(me, &data)?))
            }
            DeviceReply::Threw(text) => SyscallResult::Error(text),
        })
    }

    fn subscribe(&mut self, vpid: &str) -> Translated<()> {
        let me = self.me();
        let promise = self.state.to_kernel(me, vpid, Use::Mention)?;
        if !matches!(promise, KRef::Promise(_)) {
            return vat_fatal(format!("subscribe() to {promise}, which is not a promise"));
        }
        self.state.stats.syscall_subscribe += 1;
        Ok(self.state.subscribe(promise, me)?)
    }

    fn resolve(&mut self, resolutions: &[Resolution]) -> Translated<()> {
        let me = self.me();
        let mut translated: Vec<Resolution<KRef>> = Vec::with_capacity(resolutions.len());
        let mut settled = BTreeSet::new();
        for Resolution { promise: vpid, rejected, data } in resolutions {
            check_size(data)?;
            insist_kind(vpid, Kind::Promise)?;
            if self.caller.is_deferred && self.result.as_ref() == Some(vpid) {
                continue;
            }
            let single = capdata::single_slot_index(&data.body).and_then(|i| data.slots.get(i));
            if let (false, Some(vref)) = (*rejected, single)
                && parse_vref(vref).is_some_and(|parts| parts.kind == Kind::Promise)
            {
                return vat_fatal("resolve() to a promise");
            }
            let promise = self.state.to_kernel(me, vpid, Use::Mention)?;
            self.insist_decider(promise, "resolve()")?;
            if !settled.insert(promise) {
                return vat_fatal(format!("resolve() of {vpid} twice"));
            }
            let data = self.state.data_to_kernel(me, data.clone())?;
            translated.push(Resolution { promise, rejected: *rejected, data });
        }
        for resolution in &translated {
            self.state.delete_entry(me, resolution.promise)?;
            self.state.insist_within_limit()?;
        }
        self.state.stats.syscall_resolve += 1;
        for resolution in translated {
            self.state.resolve(vec![resolution], Some(self.vat))?;
            self.state.insist_within_limit()?;
        }
        Ok(())
    }

    fn exit(&mut self, is_failure: bool, info: &CapData) -> Translated<()> {
        check_size(info)?;
        let info = self.state.data_to_kernel(self.me(), info.clone())?;
        // What is too large to be kept as it is need not be read either.
        let info = match info.body.len() <= MAX_ENDING_BYTES {
            true if Parsed::new(&info).is_none() => {
                return vat_fatal("exit() with data that is not smallcaps");
            }
            _ => limits::cut_ending(info),
        };
        self.state.stats.syscall_exit += 1;
        self.exit = Some((is_failure, info));
        Ok(())
    }

    fn vatstore_key(&self, key: &JsString) -> Translated<Key> {
        if key.len() > MAX_VATSTORE_KEY_BYTES {
            return vat_fatal(format!("vatstore key of {} bytes is too long", key.len()));
        }
        Ok(keys::vatstore(self.me(), key.as_wtf8()))
    }

    /// Reads a key. An empty value reads as absent, as in SwingSet.
    fn vatstore_get(&mut self, key: &JsString) -> Translated<SyscallResult> {
        self.state.stats.syscall_vatstore_get += 1;
        let name = self.vatstore_key(key)?;
        self.state.count_first_look(&name);
        let value = self.state.over.get(&name)?;
        Ok(text_result(value.filter(|value| !value.is_empty()))?)
    }

    fn vatstore_next(&mut self, prior: &JsString) -> Translated<SyscallResult> {
        self.state.stats.syscall_vatstore_get_next_key += 1;
        let prefix = keys::vatstore(self.me(), "");
        let prior = self.vatstore_key(prior)?;
        self.state.count_first_look(&prior);
        let next = self.state.over.next_after(&prefix, &prior)?;
        Ok(text_result(next.map(|(key, _)| key[prefix.len()..].to_vec()))?)
    }

    fn vatstore_set(&mut self, key: &JsString, value: &JsString) -> Translated<()> {
        if value.len() > MAX_BODY_BYTES {
            return vat_fatal(format!("vatstore value of {} bytes is too long", value.len()));
        }
        self.state.stats.syscall_vatstore_set += 1;
        let name = self.vatstore_key(key)?;
        let value = value.as_wtf8().to_vec();
        Ok(self.state.set_in_vatstore(self.vat, (&name, key.len()), value)?)
    }

    fn drop_imports(&mut self, vrefs: &[VRef]) -> Translated<()> {
        for vref in vrefs {
            let kref = self.collected(vref, false)?;
            self.state.clear_reachable(self.me(), kref)?;
        }
        Ok(())
    }

    fn retire_imports(&mut self, vrefs: &[VRef]) -> Translated<()> {
        for vref in vrefs {
            let kref = self.collected(vref, false)?;
            self.insist_unreachable(kref, vref)?;
            self.state.delete_entry(self.me(), kref)?;
        }
        Ok(())
    }

    fn retire_exports(&mut self, vrefs: &[VRef]) -> Translated<()> {
        let mut retired = Vec::with_capacity(vrefs.len());
        for vref in vrefs {
            let kref = self.collected(vref, true)?;
            self.insist_unreachable(kref, vref)?;
            self.state.delete_entry(self.me(), kref)?;
            retired.push(kref);
        }
        for kref in retired {
            if self.state.object(kref)?.is_some() {
                self.state.retire_object(kref)?;
            }
        }
        Ok(())
    }

    fn abandon_exports(&mut self, vrefs: &[VRef]) -> Translated<()> {
        let mut abandoned = Vec::with_capacity(vrefs.len());
        let mut seen = BTreeSet::new();
        for vref in vrefs {
            let kref = self.collected(vref, true)?;
            if !seen.insert(kref) {
                return vat_fatal(format!("abandonExports() of {vref} twice"));
            }
            abandoned.push(kref);
        }
        for kref in abandoned {
            self.state.orphan_object(kref, self.me())?;
        }
        Ok(())
    }

    /// The object that a syscall of garbage collection names.
    fn collected(&mut self, vref: &str, exported: bool) -> Translated<KRef> {
        let right = parse_vref(vref)
            .is_some_and(|parts| parts.kind == Kind::Object && parts.exported == exported);
        if !right {
            let wanted = if exported { "an exported" } else { "an imported" };
            return vat_fatal(format!("{vref:?} is not {wanted} object"));
        }
        self.state.to_kernel(self.me(), vref, Use::Collect)
    }

    fn insist_unreachable(&self, kref: KRef, vref: &str) -> Translated<()> {
        let entry = self.state.clist_entry(self.me(), kref)?;
        match entry.is_some_and(|entry| entry.reachable) {
            true => vat_fatal(format!("{vref} is still reachable")),
            false => Ok(()),
        }
    }
}

fn is_collection(syscall: &Syscall) -> bool {
    matches!(
        syscall,
        Syscall::DropImports { .. }
            | Syscall::RetireImports { .. }
            | Syscall::RetireExports { .. }
            | Syscall::AbandonExports { .. }
    )
}

fn insist_kind(vref: &str, kind: Kind) -> Translated<()> {
    match parse_vref(vref) {
        Some(parts) if parts.kind == kind => Ok(()),
        _ => vat_fatal(format!("{vref:?} is not a {kind:?}")),
    }
}

fn check_size(data: &CapData) -> Translated<()> {
    if data.body.len() > MAX_BODY_BYTES || data.slots.len() > MAX_SLOTS {
        return vat_fatal("syscall capdata too large");
    }
    Ok(())
}

pub(crate) fn text_result(value: Option<Vec<u8>>) -> Result<SyscallResult> {
    let text = value.map(JsString::from_wtf8).transpose();
    let text =
        text.map_err(|error| inconsistent(format!("a vat's store holds no text: {error}")))?;
    Ok(SyscallResult::Ok(text.map_or(SyscallData::Null, SyscallData::Text)))
}
