//! A difference that a replay found, for people and for programs.

use capstan_abi::json::{delivery_to_json, syscall_result_to_json, syscall_to_json};
use capstan_abi::{DeliveryResult, Syscall, SyscallResult};
use capstan_kernel::replay::{Difference, Outcome, Step};
use capstan_kernel::transcript::Entry;
use serde_json::{Value, json};

/// Number of syscalls that are shown before the difference.
const SYSCALLS_BEFORE: usize = 5;

/// Builds the JSON `{position, entry, delivery, kind, number, expected, found}` of a [`Step`].
pub(super) fn to_json(step: &Step) -> Value {
    let (kind, number, expected, found) = parts(&step.outcome);
    let (entry, delivery) = told(&step.entry);
    json!({
        "position": step.position,
        "entry": entry,
        "delivery": delivery,
        "kind": kind,
        "number": number,
        "expected": expected,
        "found": found,
    })
}

/// Renders a [`Step`]: the position, the delivery, the last syscalls that agreed, and both sides.
pub(super) fn to_text(step: &Step) -> String {
    let (kind, number, expected, found) = parts(&step.outcome);
    let (entry, delivery) = told(&step.entry);
    let mut lines = vec![match delivery {
        Some(delivery) => format!("Position {}, {entry}: {delivery}", step.position),
        None => format!("Position {}, {entry}", step.position),
    }];
    if let (Entry::Delivery { syscalls, .. }, Some(number)) = (&step.entry, number) {
        lines.extend(agreed(syscalls, number));
    }
    match number {
        Some(number) => lines.push(format!("  {kind} {number} differs:")),
        None => lines.push(format!("  the {kind} differs:")),
    }
    lines.extend(sides(&expected, &found));
    lines.join("\n")
}

/// The part that differs: its name, the number of the syscall, and both sides, `null` where there is none.
fn parts(outcome: &Outcome) -> (&'static str, Option<usize>, Value, Value) {
    let difference = match outcome {
        Outcome::Same => return ("nothing", None, Value::Null, Value::Null),
        Outcome::NotStarted(problem) => return ("start", None, json!("a worker"), json!(problem)),
        Outcome::Differs(difference) => difference,
    };
    let syscall = |syscall: &Option<Syscall>| syscall.as_ref().map(syscall_to_json).into();
    match difference {
        Difference::Syscall { number, expected, found } => {
            ("syscall", Some(*number), syscall(expected), syscall(found))
        }
        Difference::Malformed { number, problem } => {
            ("syscall", Some(*number), Value::Null, json!(format!("malformed: {problem}")))
        }
        Difference::Result { expected, found } => ("result", None, ended(expected), ended(found)),
        Difference::Computrons { expected, found } => {
            let [expected, found] = [expected, found].map(|spent| json!(spent.map(|c| c.0)));
            ("computrons", None, expected, found)
        }
        Difference::Heap { expected, found } => {
            ("heap", None, json!(expected.to_string()), json!(found.to_string()))
        }
        Difference::Transcript { expected, found } => {
            ("transcript", None, json!(expected.to_string()), json!(found.to_string()))
        }
    }
}

fn told(entry: &Entry) -> (&'static str, Option<Value>) {
    match entry {
        Entry::Delivery { delivery, .. } => ("delivery", Some(delivery_to_json(delivery))),
        Entry::InitializeWorker { .. } => ("start of a worker", None),
        Entry::LoadSnapshot { .. } => ("load of a snapshot", None),
        Entry::SaveSnapshot { .. } => ("snapshot", None),
        Entry::ShutdownWorker => ("end of a worker", None),
    }
}

fn ended(result: &DeliveryResult) -> Value {
    match result {
        DeliveryResult::Ok => json!("ok"),
        DeliveryResult::Error(text) => json!({ "error": text.legible() }),
    }
}

/// The syscalls just before the one of that number, with their results.
fn agreed(syscalls: &[(Syscall, SyscallResult)], number: usize) -> Vec<String> {
    let first = number.saturating_sub(SYSCALLS_BEFORE);
    let before = syscalls.iter().enumerate().take(number).skip(first);
    let line = |(number, (syscall, result)): (usize, &(Syscall, SyscallResult))| {
        let (syscall, result) = (syscall_to_json(syscall), syscall_result_to_json(result));
        format!("  syscall {number}: {syscall} → {result}")
    };
    let lines = before.map(line);
    let left_out = (first > 0).then(|| format!("  … {first} syscalls before"));
    left_out.into_iter().chain(lines).collect()
}

/// Renders both sides as pretty JSON. Lines that only one of them has are marked, `-` expected, `+` found.
fn sides(expected: &Value, found: &Value) -> Vec<String> {
    let lines = |value: &Value, none: &str| match value {
        Value::Null => vec![none.to_owned()],
        value => format!("{value:#}").lines().map(str::to_owned).collect(),
    };
    let (expected, found) = (lines(expected, "(none)"), lines(found, "(none)"));
    let common =
        |a: &mut dyn Iterator<Item = (&String, &String)>| a.take_while(|(a, b)| a == b).count();
    let head = common(&mut expected.iter().zip(&found));
    let tail = common(&mut expected[head..].iter().rev().zip(found[head..].iter().rev()));
    let (end, found_end) = (expected.len() - tail, found.len() - tail);
    let mut shown: Vec<String> = Vec::new();
    shown.extend(expected[..head].iter().map(|line| format!("      {line}")));
    shown.extend(expected[head..end].iter().map(|line| format!("    - {line}")));
    shown.extend(found[head..found_end].iter().map(|line| format!("    + {line}")));
    shown.extend(expected[end..].iter().map(|line| format!("      {line}")));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_sides_have_is_shown_once() {
        let shown = sides(&json!(["vatstoreSet", "k", "a"]), &json!(["vatstoreSet", "k", "b"]));
        let expected = ["[", "  \"vatstoreSet\",", "  \"k\",", "  \"a\"", "  \"b\"", "]"];
        let marks = [' ', ' ', ' ', '-', '+', ' '];
        let expected: Vec<String> =
            expected.iter().zip(marks).map(|(line, mark)| format!("    {mark} {line}")).collect();
        assert_eq!(shown, expected);
        assert_eq!(sides(&Value::Null, &json!(3)), ["    - (none)", "    + 3"]);
        assert_eq!(sides(&json!(7), &json!(3)), ["    - 7", "    + 3"]);
    }

    #[test]
    fn the_difference_is_told_with_what_came_before() {
        let get = |key: &str| Syscall::VatstoreGet { key: key.into() };
        let syscalls: Vec<_> = (0..8)
            .map(|n| (get(&format!("k{n}")), SyscallResult::Ok(capstan_abi::SyscallData::Null)))
            .collect();
        let difference =
            Difference::Syscall { number: 7, expected: Some(get("k7")), found: Some(get("k8")) };
        let step = Step {
            position: 12,
            entry: Entry::Delivery {
                delivery: capstan_abi::Delivery::BringOutYourDead,
                syscalls,
                result: DeliveryResult::Ok,
                computrons: None,
            },
            outcome: Outcome::Differs(difference),
        };
        let text = to_text(&step);
        for part in [
            "Position 12, delivery: [\"bringOutYourDead\"]",
            "… 2 syscalls before",
            "syscall 2: [\"vatstoreGet\",\"k2\"] → [\"ok\",null]",
            "syscall 7 differs:",
            "    -   \"k7\"",
            "    +   \"k8\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("\"k1\""), "{text}");
        assert_eq!(to_json(&step)["expected"], json!(["vatstoreGet", "k7"]));
    }
}
