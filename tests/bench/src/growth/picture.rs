//! The curves of all axes as an SVG: one panel for each axis, both scales logarithmic.

use std::fmt::Write as _;

use super::{Axis, Point};

const PANEL_WIDTH: f64 = 460.0;
const PANEL_HEIGHT: f64 = 340.0;
/// Room around a panel's plot: left, right, top, and below, where the legend is.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;
const LEGEND_LINE: f64 = 15.0;
const COLUMNS: usize = 2;
/// Colours that people with any colour vision tell apart (Okabe and Ito, and three of Tol).
const COLOURS: [&str; 10] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
    "#882255", "#117733",
];

/// Draws the axes.
pub(super) fn draw(axes: &[Axis]) -> String {
    let most = axes.iter().map(costs).max().unwrap_or_default();
    let height = PANEL_HEIGHT + LEGEND_LINE * most as f64;
    let rows = axes.len().div_ceil(COLUMNS);
    let (all_width, all_height) = (PANEL_WIDTH * COLUMNS as f64, height * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width} {all_height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, axis) in axes.iter().enumerate() {
        let (x, y) = ((at % COLUMNS) as f64 * PANEL_WIDTH, (at / COLUMNS) as f64 * height);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(&mut svg, axis);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn costs(axis: &Axis) -> usize {
    axis.points.first().map_or(0, |point| point.costs.len())
}

/// The decades that a panel shows, and where it shows a value.
struct Scale {
    first: f64,
    decades: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let first = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let last = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        match first.is_finite() && last.is_finite() {
            true => Self { first, decades: (last - first).max(1.0), from, to },
            false => Self { first: 0.0, decades: 1.0, from, to },
        }
    }

    fn place(&self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log10();
        self.from + (log - self.first) / self.decades * (self.to - self.from)
    }

    /// The powers of ten on the scale, and their places.
    fn marks(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        let (first, count) = (self.first as i32, self.decades as i32);
        (first..=first + count).map(|power| (power, self.place(10f64.powi(power))))
    }
}

fn panel(svg: &mut String, axis: &Axis) {
    let (bottom, right) = (PANEL_HEIGHT - BOTTOM, PANEL_WIDTH - RIGHT);
    let values = |of: fn(&Point) -> Vec<f64>| axis.points.iter().flat_map(of);
    let across = Scale::new(values(|point| vec![point.size as f64]), LEFT, right);
    let up = Scale::new(values(|p| p.costs.iter().map(|(_, us)| *us).collect()), bottom, TOP);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">CPU time by number of {}</text>",
        axis.name
    );
    for (power, x) in across.marks() {
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            count(power),
        );
    }
    for (power, y) in up.marks() {
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            time(power),
        );
    }
    for at in 0..costs(axis) {
        curve(svg, axis, at, (&across, &up));
    }
}

/// Draws one cost, and its line in the legend.
fn curve(svg: &mut String, axis: &Axis, cost: usize, (across, up): (&Scale, &Scale)) {
    let colour = COLOURS[cost % COLOURS.len()];
    let places: Vec<(f64, f64)> = axis
        .points
        .iter()
        .map(|point| (across.place(point.size as f64), up.place(point.costs[cost].1)))
        .collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    let y = PANEL_HEIGHT + LEGEND_LINE * cost as f64 + 4.0;
    let faster = if axis.exceeds(cost) { ", above log n" } else { "" };
    let by = axis.growth(cost);
    let by = by.map_or_else(String::new, |by| format!(" ({by:.2}× a decade{faster})"));
    let name = axis.points.first().map_or("", |point| point.costs[cost].0);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{name}{by}</text>",
        y - 6.0,
        LEFT + 20.0,
    );
}

/// Returns a power of ten as a count.
fn count(power: i32) -> String {
    match power {
        0..=2 => 10u32.pow(power.unsigned_abs()).to_string(),
        3..=5 => format!("{} k", 10u32.pow(power.unsigned_abs() - 3)),
        6..=8 => format!("{} M", 10u32.pow(power.unsigned_abs() - 6)),
        _ => format!("10^{power}"),
    }
}

/// Returns a power of ten of microseconds as a time.
fn time(power: i32) -> String {
    match power {
        -3..=-1 => format!("{} ns", 10u32.pow((power + 3).unsigned_abs())),
        0..=2 => format!("{} µs", 10u32.pow(power.unsigned_abs())),
        3..=5 => format!("{} ms", 10u32.pow(power.unsigned_abs() - 3)),
        6..=8 => format!("{} s", 10u32.pow(power.unsigned_abs() - 6)),
        _ => format!("10^{power} µs"),
    }
}
