//! Blocks in the proportions of a recorded kernel workload.

use std::collections::BTreeMap;

use capstan_test_random::Random;

/// The table that `capstan-bench shapes` made.
pub(crate) const TABLE: &str = include_str!("workload.tsv");

/// Vats that share the keys.
const VATS: u64 = 24;

/// The keys that are there, and what blocks do to them.
pub(crate) struct Workload {
    families: Vec<Family>,
    random: Random,
}

/// A change to a key.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Keys of one form.
struct Family {
    form: &'static str,
    value_bytes: usize,
    /// How many of each a block has.
    rates: [Rate; KINDS],
    /// The numbers of the keys that are there: those that were long not written, and those of the last blocks, the last
    /// one's at the end.
    old: Vec<u64>,
    recent: Vec<Vec<u64>>,
    /// The next number.
    next: u64,
}

/// What can happen to a key: it is new; or it is updated or removed, having been written in the block before, in one of
/// the ten before or longer ago.
const KINDS: usize = 7;

/// So many a block, and what is left of one after the last block.
#[derive(Clone, Copy)]
struct Rate {
    mean: f64,
    left: f64,
}

impl Rate {
    fn take(&mut self, scale: f64) -> usize {
        self.left += self.mean * scale;
        let whole = self.left.floor();
        self.left -= whole;
        whole as usize
    }
}

impl Workload {
    pub(crate) fn new(random: Random) -> Self {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
        Self { families: lines.map(Family::parse).collect(), random }
    }

    /// Some `count` entries, in the proportions in which a chain grows.
    pub(crate) fn populate(&mut self, count: u64) -> Vec<Change> {
        let growth = |family: &Family| {
            let [new, _, _, _, removed @ ..] = family.rates.map(|rate| rate.mean);
            // What is only there for a while is there too.
            (new - removed.iter().sum::<f64>()).max(new / 20.0).max(0.01)
        };
        let all: f64 = self.families.iter().map(growth).sum();
        let mut entries = Vec::new();
        for family in &mut self.families {
            let wanted = match family.form.contains(['N', 'H', '*', '#']) {
                true => ((count as f64 * growth(family) / all) as u64).max(1),
                false => 1,
            };
            for number in 0..wanted {
                entries.push((family.key(number), Some(family.value(&mut self.random))));
            }
            family.old = (0..wanted).collect();
            family.next = wanted;
        }
        entries
    }

    /// The changes of a block: `count` of them, about.
    pub(crate) fn block(&mut self, count: u64) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        let scale = count as f64 / PER;
        for family in &mut self.families {
            family.block(scale, &mut self.random, &mut changes);
        }
        changes.into_iter().collect()
    }
}

/// The table's figures are of so many changed keys.
const PER: f64 = 5_000.0;
/// Blocks that are not long ago.
const RECENT: usize = 10;

impl Family {
    fn parse(line: &'static str) -> Self {
        let mut columns = line.split('\t');
        let form = columns.next().expect("a family");
        let numbers: Vec<f64> =
            columns.map(|column| column.parse().expect("a table of numbers")).collect();
        let rates = std::array::from_fn(|kind| Rate { mean: numbers[2 + kind], left: 0.0 });
        let value_bytes = numbers[1] as usize;
        Self { form, value_bytes, rates, old: Vec::new(), recent: Vec::new(), next: 0 }
    }

    fn block(
        &mut self,
        scale: f64,
        random: &mut Random,
        changes: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) {
        let [new, updated_1, updated_10, updated_old, removed_1, removed_10, removed_old] =
            std::array::from_fn(|kind| self.rates[kind].take(scale));
        let mut written = Vec::new();
        let last = self.recent.len().saturating_sub(1);
        for (updated, removed, age) in
            [(updated_1, removed_1, 0), (updated_10, removed_10, 1), (updated_old, removed_old, 2)]
        {
            for change in 0..updated + removed {
                let from = match age {
                    0 => self.recent.last_mut(),
                    1 => self.recent.get_mut(random.number() as usize % last.max(1)),
                    _ => None,
                };
                // In the first blocks all keys are old.
                let from = from.filter(|from| !from.is_empty()).unwrap_or(&mut self.old);
                if from.is_empty() {
                    continue;
                }
                let number = from.swap_remove(random.number() as usize % from.len());
                let value = (change < updated).then(|| {
                    written.push(number);
                    value(self.value_bytes, random)
                });
                changes.insert(self.key(number), value);
            }
        }
        for _ in 0..new {
            written.push(self.next);
            changes.insert(self.key(self.next), Some(self.value(random)));
            self.next += 1;
        }
        self.recent.push(written);
        if self.recent.len() > RECENT {
            self.old.extend(self.recent.remove(0));
        }
    }

    /// The key with this number. The first number of a form is a vat's, the last is its own.
    fn key(&self, number: u64) -> Vec<u8> {
        let (vat, own) = (number % VATS, number / VATS);
        let mut key = Vec::new();
        let mut numbers = self.form.matches('N').count();
        let of_vat = numbers > 1 || self.form.ends_with(['H', '*']);
        let mut is_first = true;
        for sign in self.form.bytes() {
            match sign {
                b'N' => {
                    numbers -= 1;
                    let shown = match (is_first && of_vat, numbers) {
                        (true, _) => vat,
                        (false, 0) if of_vat => own,
                        (false, 0) => number,
                        _ => own % 7,
                    };
                    is_first = false;
                    key.extend(shown.to_string().bytes());
                }
                b'H' => key.extend(format!("{own:016x}").bytes()),
                b'*' => key.extend(format!("{own}.{vat}").bytes()),
                b'#' => {
                    let mut hash = Random::from(number);
                    key.extend((0..4).flat_map(|_| hash.next().to_be_bytes()));
                }
                other => key.push(other),
            }
        }
        key
    }

    fn value(&self, random: &mut Random) -> Vec<u8> {
        value(self.value_bytes, random)
    }
}

/// A value that is not there yet.
fn value(bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend(random.number().to_be_bytes());
    }
    value.truncate(bytes);
    value
}
