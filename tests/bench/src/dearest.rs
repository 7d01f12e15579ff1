//! The dearest inputs that the adversary knows, as rows of `capstan-bench cost`.

use capstan_tests::adversary::costs::dearest_rows;
use serde_json::Value;

/// Times that each is weighed: the least counts.
const ROUNDS: usize = 1;
/// Computrons below which the time of an input is mostly that of its blocks.
const LEAST_COMPUTRONS: f64 = 5_000_000.0;

/// Weighs them, each with what else it costs a node.
pub(crate) fn rows() -> Vec<Value> {
    dearest_rows(ROUNDS)
}

/// Returns the nanoseconds for a computron of the dearest that has enough computrons to tell.
pub(crate) fn most_nanoseconds(rows: &[Value]) -> f64 {
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or_default();
    let telling = rows.iter().filter(|row| number(row, "computrons") >= LEAST_COMPUTRONS);
    telling.map(|row| number(row, "cpu_ms_per_million")).fold(0.0, f64::max)
}

/// Prints them below the honest rows.
pub(crate) fn print(rows: &[Value]) {
    println!(
        "\n{:<64} {:>9} {:>14} {:>10} {:>12} {:>14}",
        "the dearest that the adversary knows",
        "CPU ms",
        "computrons",
        "ucap",
        "grown bytes",
        "ms per million"
    );
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        println!(
            "{:<64} {:>9.0} {:>14.0} {:>10.0} {:>12.0} {:>14.2}",
            row["name"].as_str().unwrap_or_default(),
            number("cpu_ms"),
            number("computrons"),
            number("ucap"),
            number("grown_bytes"),
            number("cpu_ms_per_million"),
        );
    }
}
