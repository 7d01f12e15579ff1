//! Objects and device nodes: who owns them, who can reach and who could recognize them.

use std::collections::BTreeMap;

use borsh::{
    BorshDeserialize, BorshSerialize,
    io::{self, Read, Write},
};

use crate::{
    capdata::KernelData,
    error::{Result, inconsistent},
    ids::{DeviceId, Endpoint, KRef, VatId},
    state::{
        handle::State,
        keys,
        promise::{number_of, ref_count},
        rejection::Rejection,
    },
};

/// A kernel object: its owner, its reference counts and whether it was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// The [`Endpoint`] that exports it, or `None` for an orphan.
    pub owner: Option<Endpoint>,
    /// The [`Endpoint`] that exported an orphan. `None` if there is an owner.
    pub former: Option<Endpoint>,
    /// The number of strong holders.
    pub reachable: u64,
    /// The number of those who could recognize it, strong holders included.
    pub recognizable: u64,
    /// True if it gets no more messages.
    pub revoked: bool,
}

/// The bits of a record's first byte.
const OWNED: u8 = 1;
const REVOKED: u8 = 2;
const ORPHANED: u8 = 4;

// The first byte says whose the endpoint is and whether the object was revoked, so that the flags take no room.
impl BorshSerialize for Object {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let (whose, endpoint) = match (self.owner, self.former) {
            (Some(owner), _) => (OWNED, Some(owner)),
            (None, Some(former)) => (ORPHANED, Some(former)),
            (None, None) => (0, None),
        };
        let revoked = if self.revoked { REVOKED } else { 0 };
        (whose | revoked).serialize(writer)?;
        if let Some(endpoint) = endpoint {
            endpoint.serialize(writer)?;
        }
        self.reachable.serialize(writer)?;
        self.recognizable.serialize(writer)
    }
}

/// Returns true if a record's bytes are those of a revoked object, without reading the rest.
pub(crate) fn is_revoked(record: &[u8]) -> bool {
    record.first().is_some_and(|flags| flags & REVOKED != 0)
}

impl BorshDeserialize for Object {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let flags = u8::deserialize_reader(reader)?;
        let (whose, others) = (flags & (OWNED | ORPHANED), flags & !(OWNED | ORPHANED | REVOKED));
        if whose == OWNED | ORPHANED || others != 0 {
            let text = format!("{flags} are not the flags of an object");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let endpoint = match whose {
            0 => None,
            _ => Some(Endpoint::deserialize_reader(reader)?),
        };
        Ok(Self {
            owner: endpoint.filter(|_| whose == OWNED),
            former: endpoint.filter(|_| whose == ORPHANED),
            reachable: u64::deserialize_reader(reader)?,
            recognizable: u64::deserialize_reader(reader)?,
            revoked: flags & REVOKED != 0,
        })
    }
}

impl State<'_> {
    /// A new object of `owner`, held by nobody yet.
    pub(crate) fn add_object(&mut self, owner: Endpoint) -> Result<KRef> {
        self.allocate_object(Some(owner), None)
    }

    /// A new object that nobody exports any more, looked at when the crank is over.
    fn add_orphan(&mut self, former: Endpoint) -> Result<KRef> {
        let kref = self.allocate_object(None, Some(former))?;
        self.maybe_free.add(kref);
        Ok(kref)
    }

    fn allocate_object(
        &mut self,
        owner: Option<Endpoint>,
        former: Option<Endpoint>,
    ) -> Result<KRef> {
        let number = self.globals().next_object;
        self.globals_mut().next_object += 1;
        let object = Object { owner, former, reachable: 0, recognizable: 0, revoked: false };
        self.put(&keys::object(number), &object)?;
        self.stats.kernel_objects.inc();
        Ok(KRef::Object(number))
    }

    /// Replaces what vanished when a crank was undone, in data that outlives it: an object by an orphan, a
    /// promise by one that is rejected because `vat` has ended. Nothing else may be referred to that does
    /// not exist: its number is about to be given to something else.
    pub(crate) fn replace_undone(&mut self, vat: VatId, data: &KernelData) -> Result<KernelData> {
        let mut replaced = BTreeMap::new();
        for kref in &data.slots {
            let is_gone = match kref {
                KRef::Object(_) => self.object(*kref)?.is_none(),
                KRef::Promise(_) => self.find_promise(*kref)?.is_none(),
                KRef::Device(_) => false,
            };
            if is_gone {
                replaced.insert(*kref, *kref);
            }
        }
        for (kref, replacement) in &mut replaced {
            *replacement = match kref {
                KRef::Promise(_) => self.add_rejected(Rejection::vat_terminated(vat))?,
                _ => self.add_orphan(Endpoint::Vat(vat))?,
            };
        }
        let slot = |kref: &KRef| replaced.get(kref).copied().unwrap_or(*kref);
        Ok(KernelData { body: data.body.clone(), slots: data.slots.iter().map(slot).collect() })
    }

    /// The object, if it exists.
    pub(crate) fn object(&self, kref: KRef) -> Result<Option<Object>> {
        match kref {
            KRef::Object(number) => self.get(&keys::object(number)),
            _ => Err(inconsistent(format!("{kref} is not an object"))),
        }
    }

    pub(crate) fn put_object(&mut self, kref: KRef, object: Object) -> Result<()> {
        match kref {
            KRef::Object(number) => self.put(&keys::object(number), &object),
            _ => Err(inconsistent(format!("{kref} is not an object"))),
        }
    }

    pub(crate) fn delete_object(&mut self, kref: KRef) -> Result<()> {
        let KRef::Object(number) = kref else {
            return Err(inconsistent(format!("{kref} is not an object")));
        };
        self.over.delete(&keys::object(number));
        self.stats.kernel_objects.dec();
        Ok(())
    }

    /// Returns the owner that would get a message to the object, unless it has ended.
    pub(crate) fn live_owner(&self, kref: KRef) -> Result<Option<Endpoint>> {
        let Some(owner) = self.object(kref)?.and_then(|object| object.owner) else {
            return Ok(None);
        };
        match owner {
            Endpoint::Vat(vat) if self.is_dead(vat)? => Ok(None),
            _ => Ok(Some(owner)),
        }
    }

    /// A new device node of `device`.
    pub(crate) fn add_device_node(&mut self, device: DeviceId) -> Result<KRef> {
        let number = self.globals().next_device_node;
        self.globals_mut().next_device_node += 1;
        self.put(&keys::device_node(number), &device)?;
        Ok(KRef::Device(number))
    }

    /// The device that a node belongs to.
    pub(crate) fn device_of(&self, kref: KRef) -> Result<DeviceId> {
        match kref {
            KRef::Device(number) => self.need(&keys::device_node(number)),
            _ => Err(inconsistent(format!("{kref} is not a device node"))),
        }
    }

    /// One more strong holder.
    pub(crate) fn increment(&mut self, kref: KRef) -> Result<()> {
        match kref {
            KRef::Promise(_) => self.count_promise(kref, 1),
            KRef::Object(_) => self.count_object(kref, 1, 1),
            KRef::Device(_) => Ok(()),
        }
    }

    /// One strong holder less.
    pub(crate) fn decrement(&mut self, kref: KRef) -> Result<()> {
        match kref {
            KRef::Promise(_) => self.count_promise(kref, -1),
            KRef::Object(_) => self.count_object(kref, -1, -1),
            KRef::Device(_) => Ok(()),
        }
    }

    pub(crate) fn increment_all(&mut self, krefs: &[KRef]) -> Result<()> {
        krefs.iter().try_for_each(|kref| self.increment(*kref))
    }

    pub(crate) fn decrement_all(&mut self, krefs: &[KRef]) -> Result<()> {
        krefs.iter().try_for_each(|kref| self.decrement(*kref))
    }

    pub(crate) fn count_promise(&mut self, kref: KRef, change: i64) -> Result<()> {
        self.count_reads(1);
        let key = keys::promise(number_of(kref)?);
        self.count_first_look(&key);
        let missing = || inconsistent(format!("{kref} does not exist"));
        let mut record = self.over.get(&key)?.ok_or_else(missing)?;
        let before = ref_count(&mut record)
            .ok_or_else(|| inconsistent(format!("the record of {kref} is damaged")))?;
        let count = u64::from_le_bytes(*before).checked_add_signed(change);
        let count =
            count.ok_or_else(|| inconsistent(format!("{kref} has fewer references than zero")))?;
        *before = count.to_le_bytes();
        if count == 0 {
            self.maybe_free.add(kref);
        }
        self.over.set(&key, record);
        Ok(())
    }

    /// Changes both counts of an object. An object that is gone has none.
    ///
    /// The object is looked at again if nobody can reach it after the change, even if others can still
    /// recognize it: its owner may have ended since.
    pub(crate) fn count_object(&mut self, kref: KRef, reach: i64, recognize: i64) -> Result<()> {
        self.count_reads(1);
        let Some(mut object) = self.object(kref)? else { return Ok(()) };
        if let KRef::Object(number) = kref {
            self.count_first_look(&keys::object(number));
        }
        let below = || inconsistent(format!("{kref} has fewer references than zero"));
        object.reachable = object.reachable.checked_add_signed(reach).ok_or_else(below)?;
        object.recognizable =
            object.recognizable.checked_add_signed(recognize).ok_or_else(below)?;
        if object.reachable > object.recognizable {
            return Err(inconsistent(format!("{kref} is reachable by more than recognize it")));
        }
        if (reach < 0 || recognize < 0) && (object.reachable == 0 || object.recognizable == 0) {
            self.maybe_free.add(kref);
        }
        self.put_object(kref, object)
    }

    /// Holds the object for good.
    pub(crate) fn pin(&mut self, kref: KRef) -> Result<()> {
        let key = keys::pin(kref);
        if self.over.get(&key)?.is_none() {
            self.increment(kref)?;
            self.over.set(&key, vec![]);
        }
        Ok(())
    }

    /// Lets go of an object that was pinned.
    pub(crate) fn unpin(&mut self, kref: KRef) -> Result<()> {
        let key = keys::pin(kref);
        if self.over.get(&key)?.is_some() {
            self.over.delete(&key);
            self.decrement(kref)?;
        }
        Ok(())
    }
}
