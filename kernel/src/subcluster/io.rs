//! Io channels of subclusters: opened at the launch, used from outside, closed at the end.

use std::collections::BTreeMap;

use capstan_abi::Resolution;
use capstan_kernel_ports::VatId;
use capstan_passable::Passable;

use crate::{
    capdata::KernelData,
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, SubclusterId},
    limits::MAX_IO_LINE_BYTES,
    service::{NewService, ServiceError, ServiceKind},
    state::{
        handle::State,
        io_channel::{Flow, IoChannel, IoDirection, IoError, IoLine, IoName, IoState, LineQueue},
        rejection::delivery_failed,
    },
};

impl State<'_> {
    /// Opens the declared channels. Returns the object of each, which `bootstrap` gets under the channel's name.
    pub(crate) fn open_io(
        &mut self,
        id: SubclusterId,
        io: &BTreeMap<String, IoChannel>,
    ) -> Result<BTreeMap<String, KRef>> {
        let mut objects = BTreeMap::new();
        for (channel, IoChannel { direction }) in io {
            let name = IoName { subcluster: id, channel: channel.clone() };
            let service = NewService { kind: ServiceKind::Io, system_only: false };
            let object = match self.register_service(&name.to_string(), service) {
                Ok(object) => object,
                Err(ServiceError::Panic(panic)) => return Err(panic),
                // Nobody else registers names of this form, and no id of a subcluster is used twice.
                Err(refusal) => return Err(inconsistent(format!("{name}: {refusal}"))),
            };
            let (input, output) = (LineQueue::default(), LineQueue::default());
            let record = IoState { direction: *direction, input, output, readers: vec![] };
            self.put_io_channel(&name, &record)?;
            objects.insert(channel.clone(), object);
        }
        Ok(objects)
    }

    /// Closes the channels of a subcluster that ends. Reads that wait are rejected.
    pub(crate) fn close_io(
        &mut self,
        id: SubclusterId,
        io: &BTreeMap<String, IoChannel>,
    ) -> Result<()> {
        for channel in io.keys() {
            let name = IoName { subcluster: id, channel: channel.clone() };
            let Some(record) = self.io_channel(&name)? else { continue };
            for reader in &record.readers {
                let why = delivery_failed(&format!("IO channel \"{name}\" is closed"));
                self.settle_read(*reader, true, why)?;
            }
            self.delete_io_channel(&name, &record);
            self.unregister_service(&name.to_string())?;
        }
        Ok(())
    }

    /// Takes lines from outside, and the end of them. All of them are taken, or none.
    pub(crate) fn write_to_vats(
        &mut self,
        name: &IoName,
        lines: Vec<String>,
        close: bool,
    ) -> std::result::Result<IoState, IoError> {
        let mut record = self.io_channel(name)?.ok_or_else(|| IoError::Unknown(name.clone()))?;
        if record.direction == IoDirection::Out {
            return Err(IoError::NoInput(name.clone()));
        }
        for line in lines {
            check_line(&line)?;
            match self.next_reader(name, &mut record)? {
                Some(reader) => self.settle_read(reader, false, encode(&line.into())?)?,
                None => {
                    let line = IoLine::Text(line);
                    self.push_io_line(name, Flow::Input, &mut record.input, &line)?;
                }
            }
        }
        if close {
            let mut was_heard = false;
            while let Some(reader) = self.next_reader(name, &mut record)? {
                self.settle_read(reader, false, encode(&Passable::Null)?)?;
                was_heard = true;
            }
            if !was_heard {
                self.push_io_line(name, Flow::Input, &mut record.input, &IoLine::End)?;
            }
        }
        self.put_io_channel(name, &record)?;
        Ok(record)
    }

    /// Removes the output up to and including line `through`, which has been read outside.
    pub(crate) fn acknowledge_io(
        &mut self,
        name: &IoName,
        through: u64,
    ) -> std::result::Result<IoState, IoError> {
        let mut record = self.io_channel(name)?.ok_or_else(|| IoError::Unknown(name.clone()))?;
        if record.direction == IoDirection::In {
            return Err(IoError::NoOutput(name.clone()));
        }
        let last = record.output.last;
        if through > last {
            return Err(IoError::NotWritten { name: name.clone(), through, last });
        }
        while record.output.taken < through {
            self.pop_io_line(name, Flow::Output, &mut record.output)?;
        }
        self.put_io_channel(name, &record)?;
        Ok(record)
    }

    /// Takes the oldest read that somebody still waits for.
    fn next_reader(&mut self, name: &IoName, record: &mut IoState) -> Result<Option<KRef>> {
        while !record.readers.is_empty() {
            let reader = record.readers.remove(0);
            if self.is_heard(reader)? {
                return Ok(Some(reader));
            }
            self.give_up(name, reader)?;
        }
        Ok(None)
    }

    /// Gives up the reads that nobody waits for any more.
    pub(crate) fn drop_unheard(&mut self, name: &IoName, record: &mut IoState) -> Result<()> {
        for reader in std::mem::take(&mut record.readers) {
            match self.is_heard(reader)? {
                true => record.readers.push(reader),
                false => self.give_up(name, reader)?,
            }
        }
        Ok(())
    }

    /// Returns false if only vats wait for the promise that have ended, or that were upgraded since it was made. A line
    /// for them would be lost.
    pub(crate) fn is_heard(&self, promise: KRef) -> Result<bool> {
        let Some(unresolved) = self.unresolved(promise)? else { return Ok(false) };
        let (subscribers, has_more) = unresolved.first_subscribers();
        for subscriber in subscribers {
            let Endpoint::Vat(vat) = *subscriber else { return Ok(true) };
            if self.is_alive(vat)? && self.knows(vat, promise)? {
                return Ok(true);
            }
        }
        // Further ones are not looked at, since their number has no bound.
        Ok(has_more || subscribers.is_empty())
    }

    fn knows(&self, vat: VatId, promise: KRef) -> Result<bool> {
        let KRef::Promise(number) = promise else { return Ok(false) };
        Ok(number >= self.vat(vat)?.first_promise || self.watches_durably(vat, promise)?)
    }

    fn give_up(&mut self, name: &IoName, reader: KRef) -> Result<()> {
        let why = IoError::Unheard(name.clone()).to_string();
        self.settle_read(reader, true, delivery_failed(&why))
    }

    fn settle_read(&mut self, promise: KRef, rejected: bool, data: KernelData) -> Result<()> {
        if self.unresolved(promise)?.is_some() {
            self.resolve(vec![Resolution { promise, rejected, data }], None)?;
        }
        self.decrement(promise)
    }
}

/// Refuses a line that is too long.
pub(crate) fn check_line(line: &str) -> std::result::Result<(), IoError> {
    match line.len() <= MAX_IO_LINE_BYTES {
        true => Ok(()),
        false => Err(IoError::LongLine(line.len())),
    }
}

fn encode(value: &Passable<KRef>) -> Result<KernelData> {
    value.encode().map_err(|malformed| inconsistent(format!("a line: {malformed}")))
}
