//! The options of a benchmark whose values are numbers, and its table of figures.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Figures by their names, in the order in which they are shown.
pub(crate) type Figures = Vec<(String, f64)>;

/// Reads options such as `--vats 10` into the numbers of `known`, and prints the figures that `measure` makes then.
///
/// # Errors
/// An argument is none of `known` and not `--json`, or its value is no number. The errors of `measure`.
pub(crate) fn run<const N: usize>(
    command: &str,
    arguments: &[&str],
    known: [(&str, u64); N],
    measure: impl FnOnce([u64; N]) -> Result<Figures>,
) -> Result<()> {
    let (numbers, as_json) = parse(command, arguments, known)?;
    let figures = measure(numbers)?;
    if as_json {
        let figures = figures.into_iter().map(|(name, value)| (name, json!(value)));
        println!("{}", Value::Object(figures.collect()));
    } else {
        figures.iter().for_each(|(name, value)| println!("{name:<64} {value:>10.1}"));
    }
    Ok(())
}

fn parse<const N: usize>(
    command: &str,
    arguments: &[&str],
    known: [(&str, u64); N],
) -> Result<([u64; N], bool)> {
    let (mut numbers, mut as_json) = (known.map(|(_, default)| default), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if *argument == "--json" {
            as_json = true;
            continue;
        }
        let Some(at) = known.iter().position(|(name, _)| name == argument) else {
            let usage: String = known.iter().map(|(name, _)| format!("[{name} N] ")).collect();
            bail!("unknown argument {argument}: capstan-bench {command} {usage}[--json]");
        };
        let value = rest.next().with_context(|| format!("{argument} needs a number"))?;
        numbers[at] = value.parse().with_context(|| format!("{argument} {value}: not a number"))?;
    }
    Ok((numbers, as_json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_numbers_and_others_are_named() {
        let known = [("--vats", 5), ("--kib", 7)];
        let read = |arguments: &[&str]| parse("sync", arguments, known);
        assert_eq!(read(&[]).unwrap(), ([5, 7], false));
        assert_eq!(read(&["--kib", "1", "--json", "--vats", "2"]).unwrap(), ([2, 1], true));
        for (arguments, part) in [
            (
                &["--vat", "1"][..],
                "unknown argument --vat: capstan-bench sync [--vats N] [--kib N]",
            ),
            (&["--vats"], "--vats needs a number"),
            (&["--vats", "-1"], "--vats -1: not a number"),
        ] {
            let error = read(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
