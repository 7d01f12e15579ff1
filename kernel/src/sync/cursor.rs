//! A walk over the artifacts that a state binds.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{Hash, VatId, store::Read};

use crate::{
    error::{Result, inconsistent},
    ids::canonical_decimal,
    state::{
        bundle::InstalledBundle,
        handle::decode,
        keys,
        vat::{Span, VatState, VatStatus},
    },
};

/// A place in the sequence of artifacts. It can be kept, to go on from there later.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Cursor {
    stage: Stage,
    /// The last key of this stage that was visited.
    after: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Stage {
    Bundles,
    /// Between two vats, or in one.
    Vats(Option<OpenVat>),
    Pages,
}

/// A vat whose artifacts are not through yet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct OpenVat {
    vat: VatId,
    /// Hash and number of pages of the heap, until it is through.
    heap: Option<(Hash, u64)>,
    /// The entries of the transcript that are still to come, with the hash of those before.
    span: Span,
    /// Hash that the span must have at its end.
    expected: Hash,
}

/// The artifact at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Content of the bundle with this id.
    Bundle { id: String, hash: Hash },
    /// Heap of a vat's last snapshot: its hash and the number of its pages.
    Heap { vat: VatId, hash: Hash, pages: u64 },
    /// Entry of a vat's transcript.
    Entry { vat: VatId, position: u64 },
    /// Page of heaps.
    Page(Hash),
}

impl Wanted {
    /// Names the artifact in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Bundle { id, .. } => format!("the bundle {id}"),
            Self::Heap { vat, .. } => format!("the heap of {vat}"),
            Self::Entry { vat, position } => format!("entry {position} of the transcript of {vat}"),
            Self::Page(hash) => format!("the heap page {hash}"),
        }
    }
}

impl Cursor {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Bundles, after: keys::BUNDLES.to_vec() }
    }

    /// Returns the artifact at this place, or `None` after the last one. `released` counts the holds on pages that do not
    /// travel.
    pub(super) fn wanted(
        &mut self,
        state: &(impl Read + ?Sized),
        released: &BTreeMap<Hash, u32>,
    ) -> Result<Option<Wanted>> {
        loop {
            match &self.stage {
                Stage::Bundles => match state.next_after(keys::BUNDLES, &self.after)? {
                    Some((key, value)) => {
                        let id = String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned();
                        let hash = decode::<InstalledBundle>(&key, &value)?.hash;
                        return Ok(Some(Wanted::Bundle { id, hash }));
                    }
                    None => self.go_to(Stage::Vats(None), keys::VAT_STATES),
                },
                Stage::Vats(Some(open)) => match open.wanted() {
                    Some(wanted) => return Ok(Some(wanted)),
                    None => self.stage = Stage::Vats(None),
                },
                Stage::Vats(None) => match state.next_after(keys::VAT_STATES, &self.after)? {
                    Some((key, value)) => {
                        self.stage = Stage::Vats(OpenVat::of(&key, &value)?);
                        self.after = key;
                    }
                    None => self.go_to(Stage::Pages, keys::HEAP_PAGE_COUNTS),
                },
                Stage::Pages => return self.wanted_page(state, released),
            }
        }
    }

    /// Goes on to the next artifact. `entry` is the content of the present one.
    pub(super) fn advance(&mut self, wanted: &Wanted, content: &[u8]) -> Result<()> {
        match (wanted, &mut self.stage) {
            (Wanted::Bundle { id, .. }, _) => self.after = keys::bundle(id).to_vec(),
            (Wanted::Page(hash), _) => self.after = keys::heap_page_count(hash).to_vec(),
            (Wanted::Heap { .. }, Stage::Vats(Some(open))) => open.heap = None,
            (Wanted::Entry { .. }, Stage::Vats(Some(open))) => open.take_entry(content)?,
            _ => return Err(inconsistent("an artifact that is not the one at this place")),
        }
        Ok(())
    }

    fn go_to(&mut self, stage: Stage, prefix: &[u8]) {
        self.stage = stage;
        self.after = prefix.to_vec();
    }

    fn wanted_page(
        &mut self,
        state: &(impl Read + ?Sized),
        released: &BTreeMap<Hash, u32>,
    ) -> Result<Option<Wanted>> {
        loop {
            let next = state.next_after(keys::HEAP_PAGE_COUNTS, &self.after)?;
            let Some((key, value)) = next else { return Ok(None) };
            let name = key[keys::HEAP_PAGE_COUNTS.len()..].try_into();
            let page = Hash(name.map_err(|_| inconsistent("a heap page whose name is no hash"))?);
            let holds: u32 = decode(&key, &value)?;
            if holds > released.get(&page).copied().unwrap_or(0) {
                return Ok(Some(Wanted::Page(page)));
            }
            self.after = key;
        }
    }
}

impl OpenVat {
    /// Reads what a vat's record binds. Returns `None` if it binds nothing.
    fn of(key: &[u8], value: &[u8]) -> Result<Option<Self>> {
        let record: VatState = decode(key, value)?;
        let text = String::from_utf8_lossy(&key[keys::VAT_STATES.len()..]).into_owned();
        let number = canonical_decimal(&text);
        let vat = VatId(number.ok_or_else(|| inconsistent(format!("{text} is not a vat")))?);
        let Span { start, end, hash } = record.span;
        if matches!(record.status, VatStatus::Cleaned(_)) || start > end {
            return Ok(None);
        }
        let runs = record.status == VatStatus::Running;
        if record.kept_from != start {
            // The cleanup of a vat that ended has begun: nothing needs what is left of its transcript and heap.
            return match runs {
                false => Ok(None),
                true => Err(inconsistent(format!(
                    "{vat} has a transcript of more than one span, and the state has the hash of the last one alone"
                ))),
            };
        }
        let heap = record.snapshot.filter(|(heap, at)| *heap != Hash::default() && *at == start);
        let heap = heap.map(|(heap, _)| (heap, record.heap_pages));
        let span = Span { start, end, hash: Span::first_hash() };
        Ok(Some(Self { vat, heap, span, expected: hash }))
    }

    fn wanted(&self) -> Option<Wanted> {
        let vat = self.vat;
        match self.heap {
            Some((hash, pages)) => Some(Wanted::Heap { vat, hash, pages }),
            None => (self.span.start < self.span.end)
                .then_some(Wanted::Entry { vat, position: self.span.start }),
        }
    }

    /// Takes the next entry of the transcript. The last one must lead to the hash that the state has.
    fn take_entry(&mut self, content: &[u8]) -> Result<()> {
        self.span.hash = Span::next_hash(self.span.hash, content);
        self.span.start += 1;
        match self.span.start < self.span.end || self.span.hash == self.expected {
            true => Ok(()),
            false => Err(inconsistent(format!(
                "the transcript of {} has the hash {}, where the state has {}",
                self.vat, self.span.hash, self.expected
            ))),
        }
    }
}
