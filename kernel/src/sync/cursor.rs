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
    /// The entries of the transcript that are still to come, the last one first, with their hash.
    span: Span,
}

/// The artifact at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Content of the bundle with this id.
    Bundle { id: String, hash: Hash },
    /// Heap of a vat's last snapshot: its hash and the number of its pages.
    Heap { vat: VatId, hash: Hash, pages: u64 },
    /// Entry of a vat's transcript, at the end of this span.
    Entry { vat: VatId, span: Span },
    /// Page of heaps.
    Page(Hash),
}

impl Wanted {
    /// Names the artifact in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Bundle { id, .. } => format!("the bundle {id}"),
            Self::Heap { vat, .. } => format!("the heap of {vat}"),
            Self::Entry { vat, span } => {
                format!("entry {} of the transcript of {vat}", last_entry(span))
            }
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

    /// Goes on to the next artifact. `content` is that of the present one.
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
        let span = Span { start, end, hash };
        Ok(Some(Self { vat, heap, span }))
    }

    fn wanted(&self) -> Option<Wanted> {
        let Self { vat, heap, span } = *self;
        match heap {
            Some((hash, pages)) => Some(Wanted::Heap { vat, hash, pages }),
            None => (span.start < span.end).then_some(Wanted::Entry { vat, span }),
        }
    }

    /// Goes back to the entry before the last one.
    fn take_entry(&mut self, content: &[u8]) -> Result<()> {
        let (before, _) = checked_entry(self.vat, &self.span, content)?;
        self.span.end -= 1;
        self.span.hash = before;
        Ok(())
    }
}

/// Returns the position of the last entry of a span that has one.
pub(super) fn last_entry(span: &Span) -> u64 {
    span.end.saturating_sub(1)
}

/// Returns the content of an entry as an artifact: the hash of the entries before it, and its bytes.
pub(super) fn entry_artifact(before: Hash, entry: &[u8]) -> Vec<u8> {
    [&before.0[..], entry].concat()
}

/// Splits an artifact into the hash of the entries before it and the entry itself, which together have the hash of `span`. So
/// each entry is checked before it is written, whatever comes after it.
pub(super) fn checked_entry<'a>(
    vat: VatId,
    span: &Span,
    content: &'a [u8],
) -> Result<(Hash, &'a [u8])> {
    let wrong = || {
        let position = last_entry(span);
        inconsistent(format!(
            "entry {position} of the transcript of {vat} is not what its hash says"
        ))
    };
    let (before, entry) = content.split_first_chunk().ok_or_else(wrong)?;
    let before = Hash(*before);
    let is_bound = Span::next_hash(before, entry) == span.hash;
    let is_first = span.entries() == 1;
    match is_bound && (!is_first || before == Span::first_hash()) {
        true => Ok((before, entry)),
        false => Err(wrong()),
    }
}
