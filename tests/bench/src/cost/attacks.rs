//! The dearest attacks on a whole chain that the adversary knows, `tests/dearest`.

use capstan_tests::adversary::costs::{Cost, weigh_dearest};

use super::Row;

/// Computrons below which the time of an attack is mostly that of its blocks and transactions.
const LEAST_COMPUTRONS: u64 = 5_000_000;

/// Weighs the attacks whose names are `wanted`, commits and snapshots included.
pub(super) fn rows(wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let is_wanted = |name: &str| wanted(&row_name(name));
    weigh_dearest(&is_wanted).into_iter().map(|(name, cost)| row(&name, &cost)).collect()
}

fn row_name(name: &str) -> String {
    format!("attack: {name}")
}

fn row(name: &str, cost: &Cost) -> Row {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Row {
        least_computrons: LEAST_COMPUTRONS,
        worst_block: Some((ms(cost.worst_block), cost.worst_counted)),
        ..Row::new(row_name(name), true, ms(cost.cpu), cost.counted)
    }
}
