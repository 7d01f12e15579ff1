//! The end of launches and of subclusters.

use crate::{
    capdata::{self, Builder, Json, KernelData, Parsed},
    error::Result,
    ids::{Endpoint, KRef, SubclusterId},
    limits::{MAX_BODY_BYTES, MAX_SLOTS},
    state::{
        handle::State,
        notice::SettledLaunch,
        subcluster::{LaunchStatus, News, Owner, Subcluster, SubclusterError},
        vat::EndKind,
    },
};
use capstan_abi::Resolution;

/// Bytes that the answer to a launch needs besides the result of `bootstrap`.
const ANSWER_BYTES: usize = 256;

impl State<'_> {
    /// Follows up what happened to launches in this crank.
    ///
    /// It waits for the end of the crank, because a vat must not end within a delivery to it.
    pub(crate) fn settle_launches(&mut self) -> Result<()> {
        while let Some(SettledLaunch { id, rejected, data }) = self.settled_launches.pop_front() {
            let Some(record) = self.subcluster(id)? else { continue };
            let is_account = matches!(record.owner, Owner::Account(_));
            if record.status != LaunchStatus::Launching || is_account {
                continue;
            }
            match rejected {
                true => {
                    let news = News::Failed(capdata::message(&data.body));
                    self.end_subcluster(record, &data, news)?;
                }
                false => self.complete_launch(record, &data)?,
            }
        }
        match std::mem::take(&mut self.bootstrapped) {
            true => self.launch_pending(),
            false => Ok(()),
        }
    }

    fn complete_launch(&mut self, mut record: Subcluster, result: &KernelData) -> Result<()> {
        record.status = LaunchStatus::Running;
        if let Some(answer) = record.answer.take() {
            let data = self.launch_answer(&record, result)?;
            self.settle_answer(answer, false, data)?;
        }
        self.put_subcluster(&record)?;
        self.notify_of(&record, News::Bootstrapped);
        Ok(())
    }

    /// `{bootstrapResult, root, subclusterId}`.
    fn launch_answer(&mut self, record: &Subcluster, result: &KernelData) -> Result<KernelData> {
        let mut builder = Builder::default();
        let mut fields = Vec::new();
        let fits =
            result.body.len() + ANSWER_BYTES <= MAX_BODY_BYTES && result.slots.len() < MAX_SLOTS;
        if let Some(parsed) = Parsed::new(result).filter(|_| fits)
            && let Some(value) = builder.splice(&parsed.value, &parsed)
        {
            fields.push(("bootstrapResult".to_owned(), value));
        }
        if let Some(vat) = record.bootstrap.as_ref().and_then(|name| record.vat(name)) {
            let root = self.export_root(vat)?;
            fields.push(("root".to_owned(), builder.slot(root, "root")));
        }
        fields.push(("subclusterId".to_owned(), builder.text(record.id.to_string())));
        Ok(builder.finish(&Json::Object(fields)))
    }

    fn settle_answer(&mut self, promise: KRef, rejected: bool, data: KernelData) -> Result<()> {
        if self.unresolved(promise)?.is_some() {
            self.resolve(vec![Resolution { promise, rejected, data }], None)?;
        }
        self.decrement(promise)
    }

    /// Ends a subcluster: its vats in reverse order, then its io channels and its record.
    pub(crate) fn terminate_subcluster(
        &mut self,
        id: SubclusterId,
        reason: &KernelData,
    ) -> std::result::Result<(), SubclusterError> {
        let record = self.subcluster(id)?.ok_or(SubclusterError::Unknown)?;
        // A launch that never comes to an end can be ended.
        let is_running = record.status == LaunchStatus::Running;
        for (_, vat) in record.vats.iter().filter(|_| is_running) {
            if self.is_alive(*vat)? && self.vat_config(*vat)?.critical {
                return Err(SubclusterError::Critical(*vat));
            }
        }
        let news = News::Terminated(capdata::message(&reason.body));
        Ok(self.end_subcluster(record, reason, news)?)
    }

    fn end_subcluster(
        &mut self,
        record: Subcluster,
        reason: &KernelData,
        news: News,
    ) -> Result<()> {
        // From here on the end of a vat, or of the result, is no longer that of a member.
        self.forget_subcluster(&record);
        if let Some(result) = record.bootstrap_result {
            match self.is_passed_on(&record, result)? {
                true => self.decrement(result)?,
                false => self.settle_answer(result, true, reason.clone())?,
            }
        }
        if let Some(answer) = record.answer {
            self.settle_answer(answer, true, reason.clone())?;
        }
        let kind = match news {
            News::Terminated(_) => EndKind::Terminated,
            _ => EndKind::Failed,
        };
        for (_, vat) in record.vats.iter().rev() {
            if self.is_alive(*vat)? {
                match record.status {
                    LaunchStatus::Launching => self.terminate_uncritical(*vat, reason)?,
                    LaunchStatus::Running => self.terminate(*vat, kind, reason)?,
                }
            }
        }
        self.close_io(record.id, &record.io)?;
        self.notify_of(&record, news);
        Ok(())
    }

    /// Returns true if somebody else than the subcluster's vats has come to decide the result of its bootstrap. Whoever
    /// that is goes on to settle it.
    fn is_passed_on(&self, record: &Subcluster, result: KRef) -> Result<bool> {
        let decider = self.unresolved(result)?.and_then(|unresolved| unresolved.decider);
        Ok(match decider {
            Some(Endpoint::Vat(vat)) => record.vats.iter().all(|(_, member)| *member != vat),
            Some(_) => true,
            None => false,
        })
    }
}
