//! Liveslots' own records in a vat's store, as far as they concern the vat's imports.
//!
//! Liveslots counts the references from virtual and durable data to an import `o-N` under `vom.rc.o-N`. It
//! notes each weak collection that has the import as a key under `vom.ir.o-N|COLLECTION`
//! (`virtualReferences.js` of `@agoric/swingset-liveslots`). Both records are complete after every delivery.
//! So an import without them is held by the heap alone. Promises that a vat watches over upgrades are in a collection
//! (`watchedPromises.js`).

use capstan_kernel_ports::VatId;

use crate::{
    error::Result,
    ids::{Endpoint, KRef},
    state::{handle::State, keys},
};

impl State<'_> {
    /// Lets go of the imports that only the heap of a vat's incarnation held, as `dropImports` and
    /// `retireImports` would: nobody else ever will once that heap is gone. A raw vat keeps its own books,
    /// which nobody here can read: it has to let go by itself.
    ///
    /// It looks at `most` imports, and returns the number of those. The others stay, as all do in SwingSet.
    pub(crate) fn drop_heap_imports(&mut self, vat: VatId, most: u64) -> Result<u64> {
        let config = self.vat_config(vat)?;
        if config.is_raw() {
            return Ok(0);
        }
        let endpoint = Endpoint::Vat(vat);
        let imports = self.clist_by_vref(endpoint, "o-", most)?;
        let count = imports.len() as u64;
        for (vref, kref) in imports {
            let counted = keys::vatstore(endpoint, format!("vom.rc.{vref}"));
            if self.over.get(&counted)?.is_some() {
                continue;
            }
            self.clear_reachable(endpoint, kref)?;
            let recognizers = keys::vatstore(endpoint, format!("vom.ir.{vref}|"));
            if self.over.next_after(&recognizers, &recognizers)?.is_none() {
                self.delete_entry(endpoint, kref)?;
            }
        }
        Ok(count)
    }

    /// Returns true if a vat watches a promise by `watchPromise`, so that its next incarnation waits for it, too.
    ///
    /// Liveslots keeps the watched promises in the collection that `watchedPromiseTableID` names, under their names.
    pub(crate) fn watches_durably(&self, vat: VatId, promise: KRef) -> Result<bool> {
        let endpoint = Endpoint::Vat(vat);
        let Some(entry) = self.clist_entry(endpoint, promise)? else { return Ok(false) };
        let table = self.over.get(&keys::vatstore(endpoint, "watchedPromiseTableID"))?;
        let table = table.map(|id| String::from_utf8_lossy(&id).into_owned());
        let Some((_, collection)) = table.as_deref().and_then(|id| id.split_once('/')) else {
            return Ok(false);
        };
        let watched = keys::vatstore(endpoint, format!("vc.{collection}.s{}", entry.vref));
        Ok(self.over.get(&watched)?.is_some())
    }
}
