//! `capstan-bench growth`: how costs grow with what a chain has: objects, vats, keys and blocks.
//!
//! Each axis has one state that grows, and is measured at each power of ten. A cost is CPU time of the process, all threads, and the median
//! of several. `--full` measures up to sizes that take an hour or so in
//! all. The largest size of an axis is also set by an option of its own.

mod blocks;
mod keys;
pub(crate) mod objects;
mod picture;
mod vats;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::cpu_time;

const USAGE: &str = "\
capstan-bench growth [--only objects|vats|keys|blocks] [--full] [--objects N] [--vats N] [--keys N] [--blocks N] [--json] [--svg FILE]";

/// Costs that an axis has at one size.
pub(crate) struct Point {
    size: u64,
    /// Names of costs, with microseconds.
    costs: Vec<(&'static str, f64)>,
}

/// Costs along one axis.
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
    let Arguments { only, largest, as_json, svg } = Arguments::parse(arguments)?;
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

struct Arguments<'a> {
    only: Option<&'a str>,
    largest: [u64; AXES.len()],
    as_json: bool,
    svg: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Self> {
        let largest = AXES.map(|(_, _, largest, ..)| largest);
        let mut parsed = Self { only: None, largest, as_json: false, svg: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next().copied().with_context(|| format!("{argument} needs a value: {USAGE}"))
            };
            match *argument {
                "--json" => parsed.as_json = true,
                "--full" => parsed.largest = AXES.map(|(_, _, _, largest, _)| largest),
                "--svg" => parsed.svg = Some(value()?),
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
        let Some(first) = self.points.first() else { return };
        print!("\n{:<44}", format!("CPU µs, by {}", self.name));
        self.points.iter().for_each(|point| print!("{:>12}", point.size));
        println!("{:>10}  over the logarithm", "a decade");
        for (at, (cost, _)) in first.costs.iter().enumerate() {
            print!("{cost:<44}");
            self.points.iter().for_each(|point| print!("{:>12.1}", point.costs[at].1));
            print!("{:>10}", self.growth(at).map_or_else(String::new, |by| format!("{by:.2}×")));
            println!("  {}", if self.exceeds(at) { "faster" } else { "" });
        }
    }

    /// Returns by what a cost is multiplied from one size to the next, as the geometric mean.
    fn growth(&self, cost: usize) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let decades = self.points.len().checked_sub(1).filter(|decades| *decades > 0)?;
        Some((last.costs[cost].1 / first.costs[cost].1).powf(1.0 / decades as f64))
    }

    /// Returns whether a cost grows faster than the logarithm of the size, beyond what one run scatters.
    ///
    /// It does if it grows by more than [`SCATTER`] times the logarithm over all sizes, and over the last decade. The second
    /// leaves out costs that grow up to a bound: a batch that touches all of a small state touches a part of a large one.
    fn exceeds(&self, cost: usize) -> bool {
        let last_two = self.points.len().saturating_sub(2);
        let exceeds = |points: &[Point]| match points {
            [first, .., last] => {
                let logarithm = (last.size as f64).ln() / (first.size as f64).ln();
                last.costs[cost].1 / first.costs[cost].1 > SCATTER * logarithm
            }
            _ => false,
        };
        exceeds(&self.points) && exceeds(&self.points[last_two..])
    }

    fn to_json(&self) -> Value {
        let point = |point: &Point| {
            let costs = point.costs.iter().map(|(name, us)| ((*name).to_owned(), json!(us)));
            json!({ "size": point.size, "cpu_us": Value::Object(costs.collect()) })
        };
        let costs = self.points.first().map_or(&[][..], |point| &point.costs);
        let faster: Vec<_> =
            (0..costs.len()).filter(|at| self.exceeds(*at)).map(|at| costs[at].0).collect();
        json!({
            "axis": self.name,
            "points": self.points.iter().map(point).collect::<Vec<_>>(),
            "faster_than_the_logarithm": faster,
        })
    }
}

/// Factor by which a cost may grow beyond the logarithm before it counts as faster. CPU times of one run differ by as much
/// beside other work. A linear cost grows by ten over a decade, and a root by three.
const SCATTER: f64 = 1.8;

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
