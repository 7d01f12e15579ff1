//! The measurements, and their printing.

use crate::measure::Spent;

/// The measurements of one run.
#[derive(Default)]
pub(crate) struct Report {
    distributions: Vec<Distribution>,
    /// Name, unit, figure.
    figures: Vec<(String, &'static str, f64)>,
}

struct Distribution {
    name: String,
    p50_ms: f64,
    p99_ms: f64,
    cpu_p50_ms: f64,
}

impl Report {
    /// Adds the distribution of some times.
    pub(crate) fn line(&mut self, name: &str, times: &[Spent]) {
        let at = |part: fn(&Spent) -> f64, share: usize| {
            let mut sorted: Vec<f64> = times.iter().map(part).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
        };
        self.distributions.push(Distribution {
            name: name.to_owned(),
            p50_ms: at(|spent| spent.wall_ms, 50),
            p99_ms: at(|spent| spent.wall_ms, 99),
            cpu_p50_ms: at(|spent| spent.cpu_ms, 50),
        });
    }

    /// Adds a single figure.
    pub(crate) fn figure(&mut self, name: &str, unit: &'static str, figure: f64) {
        self.figures.push((name.to_owned(), unit, figure));
    }

    /// Prints a table, or JSON.
    pub(crate) fn print(&self, json: bool) {
        if json {
            return self.print_json();
        }
        println!("{:<40} {:>10} {:>10} {:>10}", "milliseconds", "p50", "p99", "CPU p50");
        for Distribution { name, p50_ms, p99_ms, cpu_p50_ms } in &self.distributions {
            println!("{name:<40} {p50_ms:>10.2} {p99_ms:>10.2} {cpu_p50_ms:>10.2}");
        }
        println!();
        for (name, unit, figure) in &self.figures {
            println!("{name:<40} {figure:>10.2} {unit}");
        }
    }

    /// Prints JSON. No name has a character that JSON would escape.
    fn print_json(&self) {
        let distributions = self.distributions.iter().map(|line| {
            let Distribution { name, p50_ms, p99_ms, cpu_p50_ms } = line;
            format!(
                r#"{{"name":"{name}","unit":"ms","p50":{p50_ms:.3},"p99":{p99_ms:.3},"cpu_p50":{cpu_p50_ms:.3}}}"#
            )
        });
        let figures = self.figures.iter().map(|(name, unit, figure)| {
            format!(r#"{{"name":"{name}","unit":"{unit}","value":{figure:.3}}}"#)
        });
        let all: Vec<String> = distributions.chain(figures).collect();
        println!("[{}]", all.join(",\n "));
    }
}
