//! C-lists: the two-way map between an endpoint's references and the kernel's.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, VRef};

use crate::{
    capdata::KernelData,
    error::{Refusal, Result, Translated, inconsistent, vat_fatal},
    ids::{Durability, Endpoint, KRef, Kind, RefParts, parse_vref},
    state::slog::Event,
    state::{
        handle::{State, decode},
        keys,
        result_policy::ResultPolicy,
    },
};

/// A c-list entry, whose key is a [`KRef`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClistEntry {
    /// For an import: the endpoint holds it strongly. For an export: the endpoint believes that the
    /// kernel can reach it.
    pub reachable: bool,
    /// The endpoint's name for it.
    pub vref: VRef,
}

/// Counts of the entries in a vat's c-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Holdings {
    /// Objects that it exports.
    pub exports: u64,
    /// Objects that it imports.
    pub imports: u64,
    /// Promises that it exports or imports.
    pub promises: u64,
    /// Device nodes that it imports.
    pub devices: u64,
}

impl Holdings {
    fn count_of(&mut self, kref: KRef, vref: &str) -> &mut u64 {
        match kref {
            KRef::Object(_) if is_export(vref) => &mut self.exports,
            KRef::Object(_) => &mut self.imports,
            KRef::Promise(_) => &mut self.promises,
            KRef::Device(_) => &mut self.devices,
        }
    }
}

/// Importers of an object.
pub(crate) struct Importers {
    /// Those that run, in string order of their ids.
    pub(crate) live: Vec<Endpoint>,
    /// The number of those that were looked at.
    pub(crate) seen: usize,
    /// The key of the last one that was looked at, if there are further ones.
    pub(crate) last: Option<Vec<u8>>,
}

/// The way in which an endpoint names a reference of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A mention: exports become reachable, imports must be.
    Mention,
    /// As [`Use::Mention`], but it must be a new export.
    New,
    /// A release: the entry must exist, and its flag is left alone.
    Collect,
}

impl State<'_> {
    pub(crate) fn clist_entry(&self, endpoint: Endpoint, kref: KRef) -> Result<Option<ClistEntry>> {
        self.get(&keys::clist(endpoint, kref))
    }

    pub(crate) fn clist_kref(&self, endpoint: Endpoint, vref: &str) -> Result<Option<KRef>> {
        self.get(&keys::clist_reverse(endpoint, vref))
    }

    /// The kernel's reference for one of the endpoint's.
    pub(crate) fn to_kernel(
        &mut self,
        endpoint: Endpoint,
        vref: &str,
        usage: Use,
    ) -> Translated<KRef> {
        self.count_reads(1);
        self.insist_within_limit()?;
        let Some(parts) = parse_ref(endpoint, vref) else {
            return vat_fatal(format!("invalid reference {vref:?}"));
        };
        let known = self.clist_kref(endpoint, vref)?;
        let kref = match (known, usage) {
            (Some(_), Use::New) => return vat_fatal(format!("vref {vref} is already allocated")),
            (Some(kref), _) => {
                self.count_first_look(&keys::clist_reverse(endpoint, vref));
                kref
            }
            (None, Use::Collect) => return vat_fatal(format!("vref {vref} not in clist")),
            (None, _) => self.add_export(endpoint, vref, parts)?,
        };
        self.count_first_look(&keys::clist(endpoint, kref));
        if usage != Use::Collect {
            self.mention(endpoint, kref, vref, parts)?;
        }
        Ok(kref)
    }

    /// Translates an endpoint's data to the kernel's.
    pub(crate) fn data_to_kernel(
        &mut self,
        endpoint: Endpoint,
        data: CapData,
    ) -> Translated<KernelData> {
        let mut slots = Vec::with_capacity(data.slots.len());
        for vref in &data.slots {
            slots.push(self.to_kernel(endpoint, vref, Use::Mention)?);
        }
        Ok(CapData { body: data.body, slots })
    }

    fn add_export(&mut self, endpoint: Endpoint, vref: &str, parts: RefParts) -> Translated<KRef> {
        if !parts.exported {
            let why = match endpoint {
                Endpoint::Remote(_) => format!("{vref:?} is not held by this account"),
                Endpoint::Vat(_) | Endpoint::Device(_) | Endpoint::Kernel => {
                    format!("unknown vref {vref}")
                }
            };
            return vat_fatal(why);
        }
        let kref = match parts.kind {
            Kind::Object => self.add_object(endpoint)?,
            Kind::Promise => {
                let kref = self.add_promise(Some(endpoint), ResultPolicy::Ignore)?;
                self.count_promise(kref, 1)?;
                kref
            }
            Kind::Device => return vat_fatal("vats are not allowed to export device nodes"),
        };
        self.write_entry(endpoint, kref, ClistEntry { reachable: false, vref: vref.to_owned() })?;
        self.put(&keys::clist_reverse(endpoint, vref), &kref)?;
        self.stats.clist_entries.inc();
        self.count_entry(endpoint, |holdings| *holdings.count_of(kref, vref) += 1)?;
        self.keep_export(endpoint);
        self.log(Event::Clist { endpoint, change: "export", kref, vref });
        Ok(kref)
    }

    fn mention(
        &mut self,
        endpoint: Endpoint,
        kref: KRef,
        vref: &str,
        parts: RefParts,
    ) -> Translated<()> {
        let Some(mut entry) = self.clist_entry(endpoint, kref)? else {
            return Err(Refusal::Panic(inconsistent(format!(
                "{endpoint} lacks an entry for {kref}"
            ))));
        };
        if entry.reachable {
            return Ok(());
        }
        if !parts.exported {
            return vat_fatal(format!("vat tried to access unreachable import {vref}"));
        }
        entry.reachable = true;
        self.write_entry(endpoint, kref, entry)?;
        Ok(())
    }

    /// Returns the endpoint's reference for one of the kernel's, as a new import if it has none. It is then
    /// reachable.
    pub(crate) fn to_endpoint(&mut self, endpoint: Endpoint, kref: KRef) -> Result<VRef> {
        self.count_reads(1);
        let mut entry = match self.clist_entry(endpoint, kref)? {
            Some(entry) => {
                self.count_first_look(&keys::clist(endpoint, kref));
                if entry.reachable {
                    return Ok(entry.vref);
                }
                entry
            }
            None => self.add_import(endpoint, kref)?,
        };
        if is_export(&entry.vref) {
            return Err(inconsistent(format!(
                "kernel sent unreachable export {kref} to {endpoint}"
            )));
        }
        entry.reachable = true;
        if let KRef::Object(_) = kref {
            self.count_object(kref, 1, 0)?;
        }
        let vref = entry.vref.clone();
        self.write_entry(endpoint, kref, entry)?;
        Ok(vref)
    }

    /// Translates the kernel's data to an endpoint's.
    pub(crate) fn data_to_endpoint(
        &mut self,
        endpoint: Endpoint,
        data: &KernelData,
    ) -> Result<CapData> {
        let mut slots = Vec::with_capacity(data.slots.len());
        for kref in &data.slots {
            slots.push(self.to_endpoint(endpoint, *kref)?);
        }
        Ok(CapData { body: data.body.clone(), slots })
    }

    fn add_import(&mut self, endpoint: Endpoint, kref: KRef) -> Result<ClistEntry> {
        let vref = self.next_import(endpoint, kref)?;
        match kref {
            KRef::Object(_) => {
                self.count_object(kref, 0, 1)?;
                self.over.set(&keys::importer(kref, endpoint), vec![]);
            }
            KRef::Promise(_) => self.count_promise(kref, 1)?,
            KRef::Device(_) => {}
        }
        self.put(&keys::clist_reverse(endpoint, &vref), &kref)?;
        self.stats.clist_entries.inc();
        self.count_entry(endpoint, |holdings| *holdings.count_of(kref, &vref) += 1)?;
        self.log(Event::Clist { endpoint, change: "import", kref, vref: &vref });
        Ok(ClistEntry { reachable: false, vref })
    }

    fn next_import(&mut self, endpoint: Endpoint, kref: KRef) -> Result<VRef> {
        let mut ids = self.import_ids(endpoint)?;
        let vref = ids.take(kref);
        self.put_import_ids(endpoint, ids)?;
        Ok(match endpoint {
            Endpoint::Remote(_) => format!("r{vref}"),
            _ => vref,
        })
    }

    pub(crate) fn write_entry(
        &mut self,
        endpoint: Endpoint,
        kref: KRef,
        entry: ClistEntry,
    ) -> Result<()> {
        self.put(&keys::clist(endpoint, kref), &entry)
    }

    /// The endpoint no longer holds the import strongly, or must no longer believe that the kernel
    /// reaches the export. No effect if it was so already.
    pub(crate) fn clear_reachable(&mut self, endpoint: Endpoint, kref: KRef) -> Result<()> {
        let Some(mut entry) = self.clist_entry(endpoint, kref)? else {
            return Err(inconsistent(format!("{endpoint} lacks an entry for {kref}")));
        };
        if !entry.reachable {
            return Ok(());
        }
        self.count_unreachable(kref, &entry)?;
        entry.reachable = false;
        self.write_entry(endpoint, kref, entry)
    }

    /// Counts that an entry is about to be reachable no more.
    fn count_unreachable(&mut self, kref: KRef, entry: &ClistEntry) -> Result<()> {
        let is_import = !is_export(&entry.vref) && matches!(kref, KRef::Object(_));
        if entry.reachable && is_import { self.count_object(kref, -1, 0) } else { Ok(()) }
    }

    /// Removes an entry and the references that it stood for.
    pub(crate) fn delete_entry(&mut self, endpoint: Endpoint, kref: KRef) -> Result<()> {
        let Some(entry) = self.clist_entry(endpoint, kref)? else {
            return Err(inconsistent(format!("{endpoint} lacks an entry for {kref}")));
        };
        self.count_unreachable(kref, &entry)?;
        self.log(Event::Clist { endpoint, change: "drop", kref, vref: &entry.vref });
        match kref {
            KRef::Promise(_) => self.count_promise(kref, -1)?,
            KRef::Object(_) if !is_export(&entry.vref) => self.count_object(kref, 0, -1)?,
            _ => {}
        }
        self.forget_entry(endpoint, kref, &entry.vref)
    }

    /// Removes both directions of an entry and nothing else.
    pub(crate) fn forget_entry(
        &mut self,
        endpoint: Endpoint,
        kref: KRef,
        vref: &str,
    ) -> Result<()> {
        self.over.delete(&keys::clist(endpoint, kref));
        self.over.delete(&keys::clist_reverse(endpoint, vref));
        if !is_export(vref) && matches!(kref, KRef::Object(_)) {
            self.over.delete(&keys::importer(kref, endpoint));
        }
        self.stats.clist_entries.dec();
        self.free_entry(endpoint, kref, vref);
        self.count_entry(endpoint, |holdings| {
            let count = holdings.count_of(kref, vref);
            *count = count.saturating_sub(1);
        })
    }

    /// Changes the counts of a vat's entries. Nobody asks for those of other endpoints.
    fn count_entry(
        &mut self,
        endpoint: Endpoint,
        change: impl FnOnce(&mut Holdings),
    ) -> Result<()> {
        match endpoint {
            Endpoint::Vat(vat) => self.update_vat(vat, |state| change(&mut state.holdings)),
            Endpoint::Device(_) | Endpoint::Remote(_) | Endpoint::Kernel => Ok(()),
        }
    }

    /// The live vats and remotes that import an object, in string order of their ids: up to `limit` importers after a key
    /// that an earlier call returned.
    pub(crate) fn importers_after(
        &self,
        kref: KRef,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Importers> {
        let prefix = keys::importers_of(kref);
        let mut after = after.unwrap_or_else(|| prefix.to_vec());
        let mut importers = Importers { live: Vec::new(), seen: 0, last: None };
        while let Some((key, _)) = self.over.next_after(&prefix, &after)? {
            if importers.seen == limit {
                importers.last = Some(after);
                break;
            }
            importers.seen += 1;
            let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let endpoint = Endpoint::parse(&text)
                .ok_or_else(|| inconsistent(format!("{text} is not an endpoint")))?;
            let alive = match endpoint {
                Endpoint::Vat(vat) => !self.is_dead(vat)?,
                Endpoint::Remote(_) => true,
                Endpoint::Device(_) | Endpoint::Kernel => false,
            };
            if alive {
                importers.live.push(endpoint);
            }
            after = key;
        }
        Ok(importers)
    }

    /// The unresolved promises that an endpoint decides, in string order of its names for them.
    pub(crate) fn decided_by(&self, endpoint: Endpoint) -> Result<Vec<KRef>> {
        let mut decided = Vec::new();
        for (_, kref) in self.clist_by_vref(endpoint, "p", u64::MAX)? {
            let decider = self.unresolved(kref)?.and_then(|unresolved| unresolved.decider);
            if decider == Some(endpoint) {
                decided.push(kref);
            }
        }
        Ok(decided)
    }

    /// Up to `limit` c-list entries whose vref starts with `start`, in string order.
    pub(crate) fn clist_by_vref(
        &self,
        endpoint: Endpoint,
        start: &str,
        limit: u64,
    ) -> Result<Vec<(String, KRef)>> {
        let prefix = keys::clist_reverse(endpoint, start);
        let vref_at = prefix.len() - start.len();
        let mut found = Vec::new();
        let mut after = prefix.to_vec();
        while (found.len() as u64) < limit {
            let Some((key, value)) = self.over.next_after(&prefix, &after)? else { break };
            let kref = decode(&key, &value)?;
            found.push((String::from_utf8_lossy(&key[vref_at..]).into_owned(), kref));
            after = key;
        }
        Ok(found)
    }
}

/// The next numbers of an [`Endpoint`]'s imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ImportIds {
    /// The next number of an object.
    pub object: u64,
    /// The next number of a promise.
    pub promise: u64,
    /// The next number of a device node.
    pub device: u64,
}

impl ImportIds {
    /// The first imports of vats and remotes.
    pub const VAT: Self = Self { object: 50, promise: 60, device: 70 };
    /// The first imports of devices.
    pub const DEVICE: Self = Self { object: 10, device: 20, promise: 30 };

    pub(crate) fn take(&mut self, kref: KRef) -> VRef {
        let (letter, next) = match kref {
            KRef::Object(_) => ('o', &mut self.object),
            KRef::Promise(_) => ('p', &mut self.promise),
            KRef::Device(_) => ('d', &mut self.device),
        };
        *next += 1;
        format!("{letter}-{}", *next - 1)
    }
}

/// The parts of a vat's vref or a remote's rref (a vref with an `r` before it).
fn parse_ref(endpoint: Endpoint, text: &str) -> Option<RefParts> {
    match endpoint {
        Endpoint::Remote(_) => {
            let parts = parse_vref(text.strip_prefix('r')?)?;
            let plain = parts.durability == Durability::Ephemeral && parts.kind != Kind::Device;
            plain.then_some(parts)
        }
        _ => parse_vref(text),
    }
}

/// Returns true if a vref or rref is the endpoint's own.
pub(crate) fn is_export(vref: &str) -> bool {
    vref.trim_start_matches('r').as_bytes().get(1) == Some(&b'+')
}
