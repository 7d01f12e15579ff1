//! `capstan-bench growth`: how costs grow with what a chain has: objects, vats, keys and blocks.
//!
//! Each axis has one state that grows, and is measured at each power of ten. A cost is CPU time of the process, all threads, and the median
//! of several, and counts of the store's work stand beside them. `--full` measures up to sizes that take an hour or so in
//! all. The largest size of an axis is also set by an option of its own. `--only` measures one axis, and `--from` puts such runs
//! together: it reads what they printed with `--json`, and measures nothing.

mod blocks;
mod keys;
pub(crate) mod objects;
mod picture;
mod vats;
mod verdict;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use capstan_store::{Counts, Store};
use serde_json::{Value, json};

use crate::cpu_time;

const USAGE: &str = "\
capstan-bench growth [--only objects|vats|keys|blocks] [--full] [--objects N] [--vats N] [--keys N] [--blocks N] [--json] [--svg FILE]
capstan-bench growth --from FILE [--from FILE]... [--json] [--svg FILE]";

/// Costs that an axis has at one size.
#[derive(Clone)]
pub(crate) struct Point {
    size: u64,
    /// Names of costs, with microseconds.
    costs: Vec<(&'static str, f64)>,
    /// Names of counts, which do not depend on the machine.
    counts: Vec<(&'static str, f64)>,
}

/// Costs along one axis.
#[derive(Clone)]
pub(crate) struct Axis {
    name: &'static str,
    points: Vec<Point>,
}

type Measure = fn(&[u64]) -> Result<Vec<Point>>;

/// Axes, with their smallest size, the largest that is measured by default, and the largest of `--full`.
const AXES: [(&str, u64, u64, u64, Measure); 4] = [
    ("objects", 1_000, 10_000, 1_000_000, objects::measure),
    ("vats", 10, 100, 10_000, vats::measure),
    ("keys", 10_000, 1_000_000, 10_000_000, keys::measure),
    ("blocks", 100, 10_000, 100_000, blocks::measure),
];

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if let [keys::CRASH, rest @ ..] = arguments {
        return keys::crash(rest);
    }
    let Arguments { only, largest, as_json, svg, from } = Arguments::parse(arguments)?;
    let axes = match from.is_empty() {
        true => measured(only, largest)?,
        false => from.into_iter().map(read).collect::<Result<Vec<_>>>()?.concat(),
    };
    if let Some(path) = svg {
        std::fs::write(path, picture::draw(&axes))
            .with_context(|| format!("cannot write {path}"))?;
    }
    match as_json {
        true => println!("{}", Value::Array(axes.iter().map(Axis::to_json).collect())),
        false => axes.iter().for_each(Axis::print),
    }
    Ok(())
}

/// Measures the axes, or one of them, each up to its largest size.
fn measured(only: Option<&str>, largest: [u64; AXES.len()]) -> Result<Vec<Axis>> {
    let mut axes = Vec::new();
    for ((name, smallest, _, _, measure), largest) in AXES.into_iter().zip(largest) {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        ensure!(largest >= smallest, "--{name} {largest}: must be at least {smallest}");
        let sizes: Vec<u64> = std::iter::successors(Some(smallest), |size| size.checked_mul(10))
            .take_while(|size| *size <= largest)
            .collect();
        axes.push(Axis { name, points: measure(&sizes)? });
    }
    Ok(axes)
}

/// Reads the axes that an earlier run printed with `--json`.
fn read(path: &str) -> Result<Vec<Axis>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let wrong = || format!("{path} is not what `growth --json` prints");
    let read: Value = serde_json::from_str(&text).with_context(wrong)?;
    let axes = read.as_array().with_context(wrong)?.iter().map(Axis::from_json);
    axes.collect::<Option<_>>().with_context(wrong)
}

struct Arguments<'a> {
    only: Option<&'a str>,
    largest: [u64; AXES.len()],
    as_json: bool,
    svg: Option<&'a str>,
    from: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Self> {
        let largest = AXES.map(|(_, _, largest, ..)| largest);
        let mut parsed = Self { only: None, largest, as_json: false, svg: None, from: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next().copied().with_context(|| format!("{argument} needs a value: {USAGE}"))
            };
            match *argument {
                "--json" => parsed.as_json = true,
                "--full" => parsed.largest = AXES.map(|(_, _, _, largest, _)| largest),
                "--svg" => parsed.svg = Some(value()?),
                "--from" => parsed.from.push(value()?),
                "--only" => parsed.only = Some(axis(value()?)?.0),
                other => {
                    let name = other.strip_prefix("--").unwrap_or_default();
                    let (_, at) =
                        axis(name).map_err(|_| anyhow!("unknown argument {other}: {USAGE}"))?;
                    let number = value()?;
                    parsed.largest[at] = number
                        .parse()
                        .with_context(|| format!("{argument} {number}: not a number"))?;
                }
            }
        }
        Ok(parsed)
    }
}

/// Finds an axis by its name.
fn axis(name: &str) -> Result<(&'static str, usize)> {
    match AXES.iter().position(|(axis, ..)| *axis == name) {
        Some(at) => Ok((AXES[at].0, at)),
        None => bail!("unknown argument {name}: {USAGE}"),
    }
}

impl Axis {
    fn print(&self) {
        self.table("CPU µs", |point| &point.costs, Self::exceeds);
        self.table("Counts", |point| &point.counts, Self::counts_exceed);
    }

    fn table(
        &self,
        what: &str,
        of: impl Fn(&Point) -> &[(&'static str, f64)],
        exceeds: impl Fn(&Self, usize) -> bool,
    ) {
        let Some(first) = self.points.first().filter(|first| !of(first).is_empty()) else { return };
        print!("\n{:<52}", format!("{what}, by {}", self.name));
        self.points.iter().for_each(|point| print!("{:>12}", point.size));
        println!("  over the logarithm");
        for (at, (name, _)) in of(first).iter().enumerate() {
            print!("{name:<52}");
            let digits = if what == "Counts" { 2 } else { 1 };
            self.points.iter().for_each(|point| print!("{:>12.digits$}", of(point)[at].1));
            println!("  {}", if exceeds(self, at) { "faster" } else { "" });
        }
    }

    /// Returns by what a cost is multiplied from one size to the next, as the geometric mean.
    fn growth(&self, cost: usize) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let decades = self.points.len().checked_sub(1).filter(|decades| *decades > 0)?;
        Some((last.costs[cost].1 / first.costs[cost].1).powf(1.0 / decades as f64))
    }

    /// Returns whether a cost grows faster than the logarithm of the size, beyond what one run scatters.
    fn exceeds(&self, cost: usize) -> bool {
        let costs: Vec<_> = self.points.iter().map(|point| point.costs[cost].1).collect();
        verdict::time_exceeds(&costs)
    }

    /// Returns whether a count grows faster than the logarithm of the size.
    fn counts_exceed(&self, count: usize) -> bool {
        let counts: Vec<_> = self.points.iter().map(|point| point.counts[count].1).collect();
        let name = self.points.first().map_or("", |point| point.counts[count].0);
        verdict::count_exceeds(&counts, name.starts_with("KiB of the journal"))
    }

    fn from_json(json: &Value) -> Option<Self> {
        // Names live as long as the program, which reads them once.
        let named = |json: &Value| -> Option<Vec<(&'static str, f64)>> {
            let named = json.as_object()?.iter();
            named.map(|(name, of)| Some((&*name.clone().leak(), of.as_f64()?))).collect()
        };
        let point = |json: &Value| {
            let counts = json.get("counts").map_or(Some(Vec::new()), named)?;
            Some(Point { size: json["size"].as_u64()?, costs: named(&json["cpu_us"])?, counts })
        };
        let (name, _) = axis(json["axis"].as_str()?).ok()?;
        Some(Self {
            name,
            points: json["points"].as_array()?.iter().map(point).collect::<Option<_>>()?,
        })
    }

    fn to_json(&self) -> Value {
        let named = |named: &[(&'static str, f64)]| {
            Value::Object(named.iter().map(|(name, of)| ((*name).to_owned(), json!(of))).collect())
        };
        let point = |point: &Point| json!({ "size": point.size, "cpu_us": named(&point.costs), "counts": named(&point.counts) });
        let Some(first) = self.points.first() else { return Value::Null };
        let costs = first.costs.iter().enumerate().filter(|(at, _)| self.exceeds(*at));
        let counts = first.counts.iter().enumerate().filter(|(at, _)| self.counts_exceed(*at));
        let faster: Vec<_> = costs.chain(counts).map(|(_, (name, _))| *name).collect();
        json!({
            "axis": self.name,
            "points": self.points.iter().map(point).collect::<Vec<_>>(),
            "faster_than_the_logarithm": faster,
        })
    }
}

/// Returns what a store has done since `before`, for each of some messages.
fn store_work(store: &Store, before: Counts, messages: u64) -> Vec<(&'static str, f64)> {
    let (after, messages) = (store.counts(), messages as f64);
    let per = |of: fn(&Counts) -> u64| (of(&after) - of(&before)) as f64 / messages;
    vec![
        ("nodes of the tree visited, a message", per(|counts| counts.tree.visited)),
        ("records of the tree read, a message", per(|counts| counts.tree.loaded)),
        ("KiB of the journal, a message", per(|counts| counts.journal_bytes) / 1024.0),
    ]
}

/// Returns the median CPU time of `count` calls, in microseconds.
fn median_us(count: usize, mut call: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for round in 0..count {
        times.push(cpu_us(|| call(round))?.0);
    }
    Ok(median(&mut times))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Returns the CPU time of a call in microseconds, and its result.
fn cpu_us<T>(call: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let before = cpu_time();
    let result = call()?;
    Ok((us(cpu_time().saturating_sub(before)), result))
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Tells on standard error how far a state has grown.
fn progress(axis: &str, size: u64, of: u64) {
    eprint!("\r{axis}: {size} of {of}      ");
    if size >= of {
        eprintln!();
    }
}
