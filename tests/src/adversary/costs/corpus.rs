//! The dearest inputs that are known, `tests/dearest/*.json`, and their verdicts.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Calibration, Cost, Input, Scales, judge};

/// The known inputs, by the names of their files.
pub fn dearest() -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dearest");
    let files = std::fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| Input::read(&std::fs::read_to_string(path).unwrap())).collect()
}

/// Weighs inputs for so long, and asserts that they keep their bounds.
///
/// # Panics
/// If one exceeds a bound, again and again, or is refused.
pub(super) fn weigh_all(scales: &Scales, inputs: &[Input], time: Duration) {
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let mut calibration = scales.calibrate();
    for (index, input) in inputs.iter().enumerate() {
        if begun.elapsed() > time {
            println!("{} inputs are left out", inputs.len() - index);
            break;
        }
        if index % 8 == 7 {
            calibration = scales.calibrate();
        }
        println!("weighs {}", input.name);
        let cost = scales.weigh(input);
        println!("{}", row(&input.name, &cost, calibration));
        assert!(cost.refused.is_empty(), "{}: {:?}", input.name, cost.refused);
        if !judge(&cost, calibration, scales.params()).is_empty() {
            let confirmed = scales.confirm(input);
            if !confirmed.is_empty() {
                wrong.push(format!("{}: {confirmed:?}", input.name));
            }
        }
    }
    assert!(wrong.is_empty(), "inputs that cost more than their bounds:\n{}", wrong.join("\n"));
}

/// Weighs the known inputs, and tells their costs.
///
/// # Panics
/// If one exceeds a bound, again and again.
pub fn weigh_known() {
    weigh_all(&Scales::new(), &dearest(), Duration::MAX);
}

/// Weighs the inputs of a file, one a line, and tells their costs and excesses.
///
/// # Panics
/// If the file cannot be read, or an input exceeds a bound, again and again.
pub fn weigh_file(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let inputs: Vec<_> = text.lines().filter(|line| !line.is_empty()).map(Input::read).collect();
    weigh_all(&Scales::new(), &inputs, Duration::MAX);
}

/// Weighs the known inputs whose names are `wanted`, once each: the name and the cost.
pub fn weigh_dearest(wanted: &dyn Fn(&str) -> bool) -> Vec<(String, Cost)> {
    let inputs: Vec<Input> = dearest().into_iter().filter(|input| wanted(&input.name)).collect();
    if inputs.is_empty() {
        return Vec::new();
    }
    let scales = Scales::new();
    inputs.into_iter().map(|input| (input.name.clone(), scales.weigh(&input))).collect()
}

/// A line about a cost, for people.
pub(super) fn row(name: &str, cost: &Cost, calibration: Calibration) -> String {
    format!(
        "{name:.44}: {:.1} ms, {} computrons ({:.2} of nominal), worst block {:.1} ms, {} blocks, {} ucap ({:.0} ns each), \
         {} bytes written, {} grown, {} MiB at the peak",
        cost.cpu.as_secs_f64() * 1e3,
        cost.counted,
        cost.ratio(calibration),
        cost.worst_block.as_secs_f64() * 1e3,
        cost.blocks,
        cost.ucap,
        cost.per_ucap(),
        cost.written,
        cost.grown,
        cost.peak >> 20,
    )
}
