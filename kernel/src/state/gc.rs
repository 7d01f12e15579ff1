//! Garbage collection: what follows when counts fall to zero.

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    limits::{MAX_FREED, MAX_GC_KREFS},
    state::{
        clist::Importers,
        event::{GcKind, RunQueueEvent},
        handle::State,
        keys,
        promise::{Stage, number_of},
        subscribers::MAX_TOLD_AT_ONCE,
    },
};

/// Number of importers of an object that one step tells that the object is gone.
const MAX_RETIRED: usize = 100;

const DROP_EXPORT: &str = "dropExport";
const RETIRE_EXPORT: &str = "retireExport";
const RETIRE_IMPORT: &str = "retireImport";

impl State<'_> {
    /// Follows the counts that fell to zero in this crank, as far as one crank goes. The rest is left to the next one.
    pub(crate) fn process_refcounts(&mut self) -> Result<()> {
        self.follow_refcounts()?;
        self.postpone_refcounts()?;
        self.globals_mut().is_collecting = self.has_postponed();
        Ok(())
    }

    /// Follows the counts that fell to zero before this crank, as far as one crank goes.
    pub(crate) fn process_postponed(&mut self) -> Result<()> {
        let own = std::mem::take(&mut self.maybe_free);
        self.take_postponed(MAX_FREED)?;
        self.follow_refcounts()?;
        self.postpone_refcounts()?;
        self.maybe_free = own;
        Ok(())
    }

    /// Returns true if counts fell to zero before this crank.
    pub(crate) fn has_postponed(&self) -> bool {
        let (first, end) = self.globals().waiting;
        first < end
    }

    /// A promise may hold others by its data, and these others again. So this takes no more than a part at a time.
    fn follow_refcounts(&mut self) -> Result<()> {
        let mut left = MAX_FREED;
        while left > 0
            && let Some(kref) = self.maybe_free.take()
        {
            let references = match kref {
                KRef::Promise(_) => self.collect_promise(kref)?,
                KRef::Object(_) => self.collect_object(kref)?,
                KRef::Device(_) => 0,
            };
            left = left.saturating_sub(1 + references);
        }
        Ok(())
    }

    /// Deletes a promise that nothing holds. Returns the number of references in its data.
    fn collect_promise(&mut self, kref: KRef) -> Result<usize> {
        let Some(promise) = self.find_promise(kref)? else { return Ok(0) };
        if promise.ref_count > 0 {
            return Ok(0);
        }
        if let Stage::Pending(pending) = &promise.stage
            && pending.has_more
            && !self.drop_subscribers(number_of(kref)?, MAX_TOLD_AT_ONCE)?
        {
            self.maybe_free.add(kref);
            return Ok(MAX_TOLD_AT_ONCE);
        }
        self.delete_promise(kref)?;
        Ok(match promise.stage {
            Stage::Settled(settled) => settled.data.slots(),
            Stage::Pending(_) => 0,
        })
    }

    /// Collects an object that nothing reaches. Returns the number of importers that it looks at.
    fn collect_object(&mut self, kref: KRef) -> Result<usize> {
        let Some(object) = self.object(kref)? else { return self.go_on_retiring(kref) };
        if object.reachable > 0 {
            return Ok(0);
        }
        match object.owner {
            // A service's object is held as long as the service is registered.
            Some(Endpoint::Kernel) => self.retire_object(kref),
            Some(owner) if self.live_owner(kref)?.is_some() => {
                let entry = self.clist_entry(owner, kref)?;
                if entry.is_some_and(|entry| entry.reachable) {
                    self.add_gc_action(owner, DROP_EXPORT, kref);
                }
                if object.recognizable == 0 {
                    self.add_gc_action(owner, RETIRE_EXPORT, kref);
                }
                Ok(0)
            }
            Some(dead) => {
                // The owner died and was not cleaned up yet: take the object away from it now.
                if let Some(entry) = self.clist_entry(dead, kref)? {
                    self.forget_entry(dead, kref, &entry.vref)?;
                }
                self.retire_object(kref)
            }
            None => self.retire_object(kref),
        }
    }

    /// Deletes an object and tells those who can still recognize it. Any number of endpoints may have imported it. So the
    /// first ones are told now, and the others in further cranks. Returns the number of importers that it looked at.
    pub(crate) fn retire_object(&mut self, kref: KRef) -> Result<usize> {
        self.delete_object(kref)?;
        self.retire_imports(kref, None)
    }

    /// Tells further importers of an object that is gone, if there are any.
    fn go_on_retiring(&mut self, kref: KRef) -> Result<usize> {
        let key = keys::retiring(kref);
        let Some(last) = self.over.get(&key)? else { return Ok(0) };
        self.over.delete(&key);
        self.retire_imports(kref, Some(last))
    }

    fn retire_imports(&mut self, kref: KRef, after: Option<Vec<u8>>) -> Result<usize> {
        let Importers { live, seen, last } = self.importers_after(kref, after, MAX_RETIRED)?;
        for importer in live {
            self.add_gc_action(importer, RETIRE_IMPORT, kref);
        }
        if let Some(last) = last {
            self.over.set(&keys::retiring(kref), last);
            self.postpone(kref)?;
        }
        Ok(seen)
    }

    /// Takes an object away from its owner. Whoever holds it goes on holding it.
    pub(crate) fn orphan_object(&mut self, kref: KRef, owner: Endpoint) -> Result<()> {
        if let Some(mut object) = self.object(kref)? {
            if object.owner != Some(owner) {
                return Err(inconsistent(format!("export {kref} is not owned by {owner}")));
            }
            object.owner = None;
            object.former = Some(owner);
            self.put_object(kref, object)?;
        }
        if let Some(entry) = self.clist_entry(owner, kref)? {
            self.forget_entry(owner, kref, &entry.vref)?;
        }
        self.maybe_free.add(kref);
        Ok(())
    }

    fn add_gc_action(&mut self, endpoint: Endpoint, kind: &str, kref: KRef) {
        self.over.set(&keys::gc_action(endpoint, kind, kref), vec![]);
    }

    /// The next group of collections that is still due, taken off the set with all groups that are
    /// not due any more.
    pub(crate) fn next_gc(&mut self) -> Result<Option<RunQueueEvent>> {
        let mut negated = false;
        while let Some((endpoint, kind, krefs)) = self.first_gc_group()? {
            let mut due = Vec::new();
            for kref in krefs {
                self.over.delete(&keys::gc_action(endpoint, action_name(kind), kref));
                if self.is_due(endpoint, kind, kref)? {
                    due.push(kref);
                }
            }
            if !due.is_empty() {
                return Ok(Some(RunQueueEvent::CollectGarbage { kind, endpoint, krefs: due }));
            }
            negated = true;
        }
        Ok(negated.then_some(RunQueueEvent::NegatedGcAction))
    }

    /// The first group in the order of keys, which is the order of SwingSet: endpoints as strings,
    /// then dropExport, retireExport, retireImport, then krefs as strings. A large group comes in parts.
    fn first_gc_group(&self) -> Result<Option<(Endpoint, GcKind, Vec<KRef>)>> {
        let Some((key, _)) = self.over.next_after(keys::GC_ACTIONS, keys::GC_ACTIONS)? else {
            return Ok(None);
        };
        let (endpoint, kind, first) = parse_action(&key)?;
        let prefix = format!("k.g.{endpoint}.{}.", action_name(kind)).into_bytes();
        let mut krefs = vec![first];
        let mut after = key;
        while krefs.len() < MAX_GC_KREFS
            && let Some((key, _)) = self.over.next_after(&prefix, &after)?
        {
            krefs.push(parse_action(&key)?.2);
            after = key;
        }
        Ok(Some((endpoint, kind, krefs)))
    }

    fn is_due(&self, endpoint: Endpoint, kind: GcKind, kref: KRef) -> Result<bool> {
        // A dead vat's entries last until they are cleaned up. As in SwingSet, an action for it is a crank
        // till then, if an empty one.
        let Some(entry) = self.clist_entry(endpoint, kref)? else { return Ok(false) };
        let object = self.object(kref)?;
        Ok(match kind {
            GcKind::DropExports => object.is_some_and(|o| o.reachable == 0) && entry.reachable,
            GcKind::RetireExports => object.is_some_and(|o| o.reachable + o.recognizable == 0),
            GcKind::RetireImports => true,
        })
    }
}

/// An action as SwingSet writes it: `v1 dropExport ko20`.
pub(crate) fn legible(key: &[u8]) -> Result<String> {
    let (endpoint, kind, kref) = parse_action(key)?;
    Ok(format!("{endpoint} {} {kref}", action_name(kind)))
}

fn action_name(kind: GcKind) -> &'static str {
    match kind {
        GcKind::DropExports => DROP_EXPORT,
        GcKind::RetireExports => RETIRE_EXPORT,
        GcKind::RetireImports => RETIRE_IMPORT,
    }
}

fn parse_action(key: &[u8]) -> Result<(Endpoint, GcKind, KRef)> {
    let text = String::from_utf8_lossy(key).into_owned();
    let damaged = || inconsistent(format!("key {text} is not a gc action"));
    let mut parts = text.split('.').skip(2);
    let endpoint = parts.next().and_then(Endpoint::parse).ok_or_else(damaged)?;
    let kind = match parts.next() {
        Some(DROP_EXPORT) => GcKind::DropExports,
        Some(RETIRE_EXPORT) => GcKind::RetireExports,
        Some(RETIRE_IMPORT) => GcKind::RetireImports,
        _ => return Err(damaged()),
    };
    let kref = parts.next().and_then(KRef::parse).ok_or_else(damaged)?;
    Ok((endpoint, kind, kref))
}
