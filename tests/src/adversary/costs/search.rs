//! The search for the dearest inputs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::corpus::{row, weigh_all};
use super::{Calibration, Cost, Input, Scales, dearest, judge};
use crate::Random;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    TimePerComputron,
    TimePerCoin,
    DiskPerCoin,
    Memory,
}

const MEASURES: [Measure; 4] =
    [Measure::TimePerComputron, Measure::TimePerCoin, Measure::DiskPerCoin, Measure::Memory];

/// Less CPU time is not looked at: nobody is hurt by it, and it is mostly what else the machine does.
const LEAST: Duration = Duration::from_millis(15);
/// Inputs of one kind that are told at the end.
const TOLD: usize = 10;
/// Inputs from one calibration to the next.
const CALIBRATION_EVERY: u64 = 12;

/// The dearest of each name, by measure.
#[derive(Default)]
struct Kept(BTreeMap<(Measure, String), (f64, Input, Cost)>);

/// Weighs the known inputs for half of the time at most, and random and changed ones for the rest. Tells the dearest at
/// the end. `folder` is where they are written, one a
/// line, and where inputs of an earlier search are read from.
///
/// The seed decides which inputs are drawn. Which are kept depends on the measurement.
///
/// # Panics
/// If an input exceeds a bound, again and again. The message has the input.
pub fn search(seed: u64, time: Duration, folder: &Path) {
    let (scales, begun) = (Scales::new(), Instant::now());
    let mut random = Random::from(seed);
    let mut kept = Kept::default();
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let mut known = dearest();
    let first = seed as usize % known.len();
    known.rotate_left(first);
    weigh_all(&scales, &known, time / 2);
    known.extend(found_before(folder));
    let mut calibration = scales.calibrate();
    let mut number = 0;
    while begun.elapsed() < time {
        number += 1;
        if number % CALIBRATION_EVERY == 0 {
            calibration = scales.calibrate();
        }
        let input = next(&known, &kept, &mut random);
        // Told before it is done: it may be the last.
        println!("weighs {}", input.line());
        let cost = scales.weigh(&input);
        println!("  {}", row(&input.name, &cost, calibration));
        kept.keep(&input, &cost, calibration);
        let verdict = judge(&cost, calibration, scales.params());
        if !verdict.is_empty() && !wrong.contains_key(&format!("{} {:?}", input.name, verdict[0].0))
        {
            println!("  suspected: {verdict:?}");
            if let Some((what, ratio)) = scales.confirm(&input).first() {
                println!("  CONFIRMED: {what:?} {ratio:.2} times its bound");
                wrong.insert(
                    format!("{} {what:?}", input.name),
                    format!("{ratio:.2} {}", input.line()),
                );
            }
        }
    }
    println!("ADVERSARY_SEED={seed}: {number} inputs were weighed");
    kept.tell(calibration);
    kept.write(folder, seed);
    let wrong: Vec<_> = wrong.iter().map(|(what, input)| format!("{what}: {input}")).collect();
    assert!(wrong.is_empty(), "inputs that cost more than their bounds:\n{}", wrong.join("\n"));
}

/// A new input, or a changed one.
fn next(known: &[Input], kept: &Kept, random: &mut Random) -> Input {
    if random.one_in(5) {
        return Input::random(random);
    }
    let best: Vec<&Input> = kept.0.values().map(|(_, input, _)| input).collect();
    let one = |random: &mut Random| match random.one_in(3) || best.is_empty() {
        true => known.get(random.index(known.len())),
        false => best.get(random.index(best.len())).copied(),
    };
    match (one(random), one(random)) {
        (Some(input), Some(other)) => input.changed(other, random),
        _ => Input::random(random),
    }
}

impl Kept {
    fn keep(&mut self, input: &Input, cost: &Cost, calibration: Calibration) {
        if !cost.refused.is_empty() {
            return;
        }
        for measure in MEASURES {
            let slow = cost.cpu >= LEAST;
            let value = match measure {
                Measure::TimePerComputron if slow => cost.ratio(calibration),
                Measure::TimePerCoin if slow => cost.per_ucap(),
                Measure::DiskPerCoin => cost.bytes_per_ucap(),
                Measure::Memory => cost.peak as f64 / f64::from(1 << 20),
                _ => continue,
            };
            let key = (measure, input.name.clone());
            if self.0.get(&key).is_none_or(|(best, ..)| value > *best) {
                self.0.insert(key, (value, input.clone(), cost.clone()));
            }
        }
    }

    fn best(&self, measure: Measure) -> Vec<&(f64, Input, Cost)> {
        let of = self.0.iter().filter(|((other, _), _)| *other == measure);
        let mut all: Vec<_> = of.map(|(_, best)| best).collect();
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        all.truncate(TOLD);
        all
    }

    fn tell(&self, calibration: Calibration) {
        for measure in MEASURES {
            println!("\nthe dearest by {measure:?}");
            for (value, input, cost) in self.best(measure) {
                println!("{value:>12.2}  {}", row(&input.name, cost, calibration));
                println!("              {}", input.line());
            }
        }
    }

    fn write(&self, folder: &Path, seed: u64) {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join(format!("dearest-{seed}.jsonl"));
        let mut file = std::fs::File::create(&path).unwrap();
        for (_, input, _) in MEASURES.iter().flat_map(|measure| self.best(*measure)) {
            writeln!(file, "{}", input.line()).unwrap();
        }
        println!("\nwritten to {}", path.display());
    }
}

/// The inputs that searches before this one have found.
fn found_before(folder: &Path) -> Vec<Input> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    // Those of an older form are left out.
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}
