//! The report over all rows: whether the goals hold, and which row says that they do not.

use serde_json::{Value, json};

use super::Row;

/// Largest goal for the dearest computron over the cheapest.
const GOAL_SPREAD: f64 = 4.0;
/// Largest goal for the time of a block over the nominal time.
const GOAL_NOMINAL: f64 = 3.0;

/// Everything that was measured.
pub(super) struct Report {
    /// All work: of ordinary programs, of hostile ones, and of attacks on a whole chain.
    pub(super) rows: Vec<Row>,
    /// Nanoseconds that a computron takes nominally.
    pub(super) nominal: f64,
    /// A block full of the dearest program's work, if one was measured.
    pub(super) block: Option<Row>,
    /// Computrons that a block may count.
    pub(super) budget: u64,
}

impl Report {
    /// Returns the cheapest computron of an ordinary program in nanoseconds. Hostile work that is cheap harms nobody.
    fn cheapest(&self) -> f64 {
        let honest = self.rows.iter().filter(|row| !row.is_hostile);
        honest.map(Row::nanoseconds).fold(f64::INFINITY, f64::min)
    }

    /// Returns the row whose computron is the dearest, among those with enough computrons to tell.
    pub(super) fn dearest(&self) -> Option<&Row> {
        let telling = self.rows.iter().filter(|row| row.is_telling());
        telling.max_by(|a, b| a.nanoseconds().total_cmp(&b.nanoseconds()))
    }

    fn spread(&self) -> f64 {
        self.dearest().map_or(0.0, Row::nanoseconds) / self.cheapest()
    }

    /// Returns the time over the nominal time of the slowest block that keeps its budget: one full of the dearest row, or the
    /// worst of an attack.
    fn block_over_nominal(&self) -> f64 {
        let full = self.dearest().into_iter().chain(&self.block).map(Row::nanoseconds);
        let worst = self.rows.iter().filter_map(|row| {
            let (cpu_ms, computrons) = row.worst_block?;
            Some(cpu_ms * 1e6 / computrons.max(self.budget) as f64)
        });
        full.chain(worst).fold(0.0, f64::max) / self.nominal
    }

    pub(super) fn holds(&self) -> bool {
        self.spread() <= GOAL_SPREAD && self.block_over_nominal() <= GOAL_NOMINAL
    }

    pub(super) fn to_json(&self) -> Value {
        let row = |row: &Row| row.to_json(self.nominal);
        json!({
            "kinds": self.rows.iter().map(row).collect::<Vec<_>>(),
            "nominal_ns_per_computron": self.nominal,
            "dearest_over_cheapest": self.spread(),
            "dearest": self.dearest().map(row),
            "block": self.block.as_ref().map(row),
            "block_over_nominal": self.block_over_nominal(),
            "goals_hold": self.holds(),
        })
    }

    pub(super) fn print(&self) {
        let cheapest = self.cheapest();
        println!(
            "{:<72} {:>9} {:>11} {:>8} {:>9} {:>8}",
            "", "CPU ms", "computrons", "ns each", "/cheapest", "/nominal"
        );
        for row in self.rows.iter().chain(&self.block) {
            let ns = row.nanoseconds();
            let note = if row.is_telling() { "" } else { " (too little to tell)" };
            println!(
                "{:<72.72} {:>9.1} {:>11} {:>8.2} {:>9.2} {:>8.2}{note}",
                row.name,
                row.cpu_ms,
                row.computrons,
                ns,
                ns / cheapest,
                ns / self.nominal
            );
        }
        println!("nominal time of a computron: {:.2} ns", self.nominal);
        println!("dearest row: {}", self.dearest().map_or("none", |row| row.name.as_str()));
        println!(
            "the dearest over the cheapest ordinary row: {:.2} (goal: {GOAL_SPREAD})",
            self.spread()
        );
        println!(
            "the slowest block over its nominal time: {:.2} (goal: {GOAL_NOMINAL})",
            self.block_over_nominal()
        );
        println!("the goals {}", if self.holds() { "hold" } else { "do not hold" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, is_hostile: bool, ns: f64) -> Row {
        let computrons = 100_000_000;
        Row::new(name, is_hostile, ns * computrons as f64 / 1e6, computrons)
    }

    fn attack(ns: f64, computrons: u64, worst_block: (f64, u64)) -> Row {
        let mut row = Row::new("attack", true, ns * computrons as f64 / 1e6, computrons);
        row.least_computrons = 5_000_000;
        row.worst_block = Some(worst_block);
        row
    }

    /// Ordinary rows of 4 and 6 ns, a hostile one, and an attack that keeps the goals.
    fn report() -> Report {
        let rows = vec![
            row("cheap", false, 4.0),
            row("usual", false, 6.0),
            row("hostile", true, 14.0),
            attack(15.0, 50_000_000, (750.0, 50_000_000)),
        ];
        Report { rows, nominal: 5.5, block: None, budget: 100_000_000 }
    }

    #[test]
    fn the_goals_hold_if_every_row_keeps_them() {
        assert!(report().holds());
        assert_eq!(report().dearest().unwrap().name, "attack");
    }

    #[test]
    fn one_row_that_is_too_dear_breaks_the_goals_whatever_its_kind() {
        for place in 1..4 {
            let mut report = report();
            report.rows[place].cpu_ms *= 17.0 / report.rows[place].nanoseconds();
            assert!(!report.holds(), "{}", report.rows[place].name);
            assert_eq!(report.dearest().unwrap().name, report.rows[place].name);
        }
    }

    #[test]
    fn one_cheap_ordinary_row_breaks_the_first_goal_and_a_cheap_hostile_one_does_not() {
        let mut report = report();
        report.rows.push(row("free", true, 0.1));
        assert!(report.holds());
        report.rows.push(row("cheapest", false, 3.0));
        assert!(!report.holds());
    }

    #[test]
    fn a_block_that_takes_too_long_breaks_the_second_goal() {
        let mut slow = report();
        slow.block = Some(row("full", true, 17.0));
        assert!(!slow.holds());
        // A block that counts less than its budget may take as long as a full one.
        let mut report = report();
        report.rows.push(attack(150.0, 1_000_000, (1_600.0, 1_000_000)));
        assert!(report.holds());
        report.rows.push(attack(150.0, 1_000_000, (1_700.0, 1_000_000)));
        assert!(!report.holds());
    }
}
