//! Decoding of messages' fields, with all checks that need no state.

use std::{fmt, str::FromStr};

use capstan_abi::CapData;
use capstan_genesis::{Address, Params};
use capstan_kernel::subcluster::{IoName, SubclusterId, is_name};
use capstan_passable as smallcaps;
use capstan_proto::v1 as proto;
use prost::{Message, Name};

use super::{
    TxError,
    known_fields::Known,
    protobuf::Encoding,
    upload::{Chunk, Compression},
};

/// Reader of the fields of one message.
pub(super) struct Fields<'a> {
    pub(super) index: usize,
    /// Command of `capstan` that sends such a message.
    pub(super) command: &'static str,
    pub(super) signer: Address,
    pub(super) params: &'a Params,
    pub(super) encoding: Encoding,
}

impl Fields<'_> {
    pub(super) fn decode<M: Message + Default + Name>(&self, bytes: &[u8]) -> Result<M, TxError> {
        let name = M::full_name();
        self.encoding.decode(&name, bytes, || Known::of_message(&name))
    }

    pub(super) fn refuse(&self, field: &'static str, problem: String) -> TxError {
        TxError::Field { index: self.index, command: self.command, field, problem }
    }

    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        field: &'static str,
        text: &str,
    ) -> Result<T, TxError> {
        text.parse().map_err(|e| self.refuse(field, format!("{e}")))
    }

    pub(super) fn actor(&self, text: &str) -> Result<(), TxError> {
        match text == self.signer.to_string() {
            true => Ok(()),
            false => Err(TxError::ActorMismatch {
                index: self.index,
                actor: text.to_owned(),
                signer: self.signer,
            }),
        }
    }

    pub(super) fn compression(&self, number: i32) -> Result<Compression, TxError> {
        match proto::Compression::try_from(number) {
            Ok(proto::Compression::None) => Ok(Compression::None),
            Ok(proto::Compression::Gzip) => Ok(Compression::Gzip),
            Err(_) => Err(self
                .refuse("compression", format!("{number} is unknown; use 0 (none) or 1 (gzip)"))),
        }
    }

    pub(super) fn bundle_size(&self, size: u64) -> Result<(), TxError> {
        let limit = self.params.max_bundle_bytes;
        match (1..=limit).contains(&size) {
            true => Ok(()),
            false => Err(self.refuse(
                "uncompressed_size",
                format!("{size}, expected 1 to {limit} (max_bundle_bytes)"),
            )),
        }
    }

    pub(super) fn chunk(&self, chunk: &proto::ChunkInfo) -> Result<Chunk, TxError> {
        let sha256 = chunk.sha256.as_slice().try_into();
        let sha256 =
            sha256.map_err(|_| self.refuse("chunks.sha256", "must have 32 bytes".to_owned()))?;
        let limit = self.params.max_chunk_bytes;
        if !(1..=limit).contains(&chunk.size) {
            let problem = format!("{}, expected 1 to {limit} (max_chunk_bytes)", chunk.size);
            return Err(self.refuse("chunks.size", problem));
        }
        Ok(Chunk { sha256, size: chunk.size })
    }

    /// Checks that a reference has one of `forms`, such as `ro-`.
    pub(super) fn reference(
        &self,
        field: &'static str,
        text: &str,
        forms: &[&str],
    ) -> Result<String, TxError> {
        if forms.iter().any(|form| is_numbered(text, form)) {
            return Ok(text.to_owned());
        }
        let forms: Vec<String> = forms.iter().map(|form| format!("{form}N")).collect();
        let problem =
            format!("{text:?} is not a reference that fits here: expected {}", forms.join(" or "));
        Err(self.refuse(field, problem))
    }

    /// Returns the name of an io channel.
    pub(super) fn channel(&self, subcluster: &str, channel: String) -> Result<IoName, TxError> {
        let Some(subcluster) = SubclusterId::parse(subcluster) else {
            let problem = format!("{subcluster:?} is not a subcluster: expected s and a number");
            return Err(self.refuse("subcluster_id", problem));
        };
        if !is_name(&channel) {
            let problem =
                "expected 1 to 100 letters, digits, dots, dashes or underscores".to_owned();
            return Err(self.refuse("channel", problem));
        }
        Ok(IoName { subcluster, channel })
    }

    /// Returns a message's [`CapData`] as smallcaps JSON without `#`.
    pub(super) fn capdata(
        &self,
        field: &'static str,
        data: Option<proto::CapData>,
        default: &str,
    ) -> Result<CapData, TxError> {
        let Some(data) = data else {
            return Ok(CapData { body: default.to_owned(), slots: Vec::new() });
        };
        if data.slots.len() > self.params.max_slots as usize {
            let problem = format!("more than {} slots (max_slots)", self.params.max_slots);
            return Err(self.refuse(field, problem));
        }
        for slot in &data.slots {
            self.reference(field, slot, &["ro-", "ro+", "rp-", "rp+"])?;
        }
        let data = self.bounded(field, CapData { body: data.body, slots: data.slots })?;
        let body = smallcaps::to_smallcaps_json(&data.body, &data.slots)
            .map_err(|e| self.refuse(field, format!("{e}")))?;
        Ok(CapData { body, slots: data.slots })
    }

    pub(super) fn args(&self, data: Option<proto::CapData>) -> Result<CapData, TxError> {
        let args = self.capdata("args", data, "[]")?;
        match args.body.trim_start().starts_with('[') {
            true => Ok(args),
            false => {
                Err(self.refuse("args", "must be an array: the arguments in order".to_owned()))
            }
        }
    }

    pub(super) fn bounded(&self, field: &'static str, data: CapData) -> Result<CapData, TxError> {
        let size = data.body.len() + data.slots.iter().map(String::len).sum::<usize>();
        let limit = self.params.max_message_bytes;
        match size <= limit as usize {
            true => Ok(data),
            false => {
                Err(self
                    .refuse(field, format!("{size} bytes, more than {limit} (max_message_bytes)")))
            }
        }
    }
}

/// Returns whether `text` is `form` followed by a canonical decimal of 64 bits.
fn is_numbered(text: &str, form: &str) -> bool {
    let number = text.strip_prefix(form).map(|digits| (digits, digits.parse::<u64>()));
    matches!(number, Some((digits, Ok(number))) if number.to_string() == digits)
}
