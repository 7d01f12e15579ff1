//! Blocks in the proportions of a recorded kernel workload.

use std::collections::BTreeMap;

use capstan_test_random::Random;

/// The table of key families, made by `capstan-bench shapes`.
pub(crate) const TABLE: &str = include_str!("workload.tsv");

/// Number of vats that share the keys.
const VATS: u64 = 24;

/// The existing keys, and a generator of changes to them.
pub(crate) struct Workload {
    families: Vec<Family>,
    random: Random,
}

/// A key and its new value, or `None` for a removal.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The keys of one form.
struct Family {
    form: &'static str,
    value_bytes: usize,
    /// The number of changes of each kind in a block.
    rates: [Rate; KINDS],
    /// The numbers of the existing keys: those written long ago, and those of each recent block, the last one at the end.
    old: Vec<u64>,
    recent: Vec<Vec<u64>>,
    /// The number of the next new key.
    next: u64,
}

/// Number of kinds of changes. A key is new, or it is updated or removed. In the latter cases it was written in the last
/// block, in one of the last ten, or longer ago.
const KINDS: usize = 7;

/// A mean number of changes a block, and the fraction that is carried over to the next block.
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

    /// Returns about `count` entries, in the proportions in which a chain grows.
    pub(crate) fn populate(&mut self, count: u64) -> Vec<Change> {
        let growth = |family: &Family| {
            let [new, _, _, _, removed @ ..] = family.rates.map(|rate| rate.mean);
            // Short-lived keys exist too.
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

    /// Returns the changes of a block, about `count` of them.
    pub(crate) fn block(&mut self, count: u64) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        let scale = count as f64 / PER;
        for family in &mut self.families {
            family.block(scale, &mut self.random, &mut changes);
        }
        changes.into_iter().collect()
    }
}

/// Number of changed keys to which the table's figures refer.
const PER: f64 = 5_000.0;
/// Number of blocks that count as recent.
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
                // In the first blocks no keys are recent.
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

    /// Returns the key with this number. The first number in a form is a vat's, the last one is the key's own.
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
                    key.extend((0..4).flat_map(|_| hash.number().to_be_bytes()));
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

/// Returns a new random value.
fn value(bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend(random.number().to_be_bytes());
    }
    value.truncate(bytes);
    value
}
