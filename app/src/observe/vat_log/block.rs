use std::collections::{BTreeMap, VecDeque};

use super::line::{VatLevel, VatLine};

/// Upper bound of the lines that a block writes, in bytes.
const MAX_BLOCK_BYTES: usize = 1 << 20;
/// Upper bound of the lines of one vat among them, in bytes.
const MAX_VAT_BYTES: usize = 256 << 10;

/// The lines of the block in progress.
#[derive(Debug, Default)]
pub(super) struct BlockLines {
    height: u64,
    written: VecDeque<VatLine>,
    bytes: usize,
    bytes_by_vat: BTreeMap<String, usize>,
    /// Lines of an earlier execution of this block that were not told again yet.
    expected: VecDeque<VatLine>,
}

impl BlockLines {
    /// Returns the lines of a block that was executed before and not committed.
    pub(super) fn executed(height: u64, written: VecDeque<VatLine>) -> Self {
        Self { height, written, ..Self::default() }
    }

    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// Begins a block, or begins it again.
    pub(super) fn begin(&mut self, height: u64) {
        let expected = match height == self.height {
            true => std::mem::take(&mut self.written),
            false => VecDeque::new(),
        };
        *self = Self { height, expected, ..Self::default() };
    }

    /// Returns what has to be written for a line: nothing if it was written before or the block has no room for it.
    pub(super) fn admit(&mut self, line: VatLine) -> Vec<VatLine> {
        let bytes = line.bytes();
        let by_vat = self.bytes_by_vat.entry(line.vat.clone()).or_default();
        let had_room = *by_vat <= MAX_VAT_BYTES && self.bytes <= MAX_BLOCK_BYTES;
        *by_vat = by_vat.saturating_add(bytes);
        // What is about the vat's end is little, and matters most.
        let has_room = *by_vat <= MAX_VAT_BYTES && self.bytes + bytes <= MAX_BLOCK_BYTES;
        let line = match (has_room || line.source == super::KERNEL, had_room) {
            (true, _) => line,
            (false, true) => left_out(line),
            (false, false) => return Vec::new(),
        };
        self.bytes += bytes;
        let is_again = self.expected.front().is_some_and(|expected| line.is_again(expected));
        match is_again {
            true => drop(self.expected.pop_front()),
            // Another override or version executes the block differently.
            false => self.expected.clear(),
        }
        self.written.push_back(line.clone());
        if is_again { Vec::new() } else { vec![line] }
    }
}

/// Returns the line that stands for all further lines of a vat in a block.
fn left_out(line: VatLine) -> VatLine {
    let text = "what the vat prints from here on in this block is left out".to_owned();
    VatLine { level: VatLevel::Warn, source: super::KERNEL.to_owned(), text, ..line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(vat: &str, time_ms: u64, text: &str) -> VatLine {
        VatLine {
            time_ms,
            height: 7,
            crank: 3,
            vat: vat.to_owned(),
            name: "tally".to_owned(),
            level: VatLevel::Info,
            source: "vat".to_owned(),
            text: text.to_owned(),
        }
    }

    fn told(lines: &mut BlockLines, time_ms: u64, texts: &[&str]) -> Vec<String> {
        let admitted = texts.iter().flat_map(|text| lines.admit(line("v3", time_ms, text)));
        admitted.map(|line| line.text).collect()
    }

    #[test]
    fn a_block_that_is_executed_again_tells_only_what_is_new() {
        let mut lines = BlockLines::default();
        lines.begin(7);
        assert_eq!(told(&mut lines, 1, &["a", "a", "b"]), ["a", "a", "b"]);
        lines.begin(7);
        assert_eq!(told(&mut lines, 2, &["a", "a", "b", "c"]), ["c"]);
        lines.begin(7);
        assert_eq!(told(&mut lines, 3, &["a", "x", "b"]), ["x", "b"]);
        lines.begin(8);
        assert_eq!(told(&mut lines, 4, &["a"]), ["a"]);
        let mut lines = BlockLines::executed(9, [line("v3", 1, "a")].into());
        lines.begin(9);
        assert_eq!(told(&mut lines, 5, &["a", "b"]), ["b"]);
        let mut lines = BlockLines::executed(9, [line("v3", 1, "a")].into());
        lines.begin(10);
        assert_eq!(told(&mut lines, 5, &["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn a_vat_that_floods_leaves_room_for_others_and_for_its_end() {
        let mut lines = BlockLines::default();
        lines.begin(7);
        let long = "x".repeat(4_000);
        let admitted: Vec<VatLine> =
            (0..1_000).flat_map(|_| lines.admit(line("v3", 1, &long))).collect();
        let bytes: usize = admitted.iter().map(VatLine::bytes).sum();
        assert!((MAX_VAT_BYTES - 5_000..=MAX_VAT_BYTES + 5_000).contains(&bytes), "{bytes}");
        assert!(admitted.last().unwrap().text.contains("left out"));
        assert_eq!(admitted.iter().filter(|line| line.text.contains("left out")).count(), 1);
        assert_eq!(lines.admit(line("v4", 1, "still there")).len(), 1);
        let end = VatLine { source: super::super::KERNEL.to_owned(), ..line("v3", 1, "ended") };
        assert_eq!(lines.admit(end).len(), 1);
        let all: usize = (5..2_000)
            .flat_map(|vat| lines.admit(line(&format!("v{vat}"), 1, &long)))
            .map(|line| line.text.len())
            .sum();
        assert!(all <= MAX_BLOCK_BYTES + 1_000_000, "{all}");
    }
}
