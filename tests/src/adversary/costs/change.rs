//! Changes of inputs: numbers, repetitions, parts left out, doubled or taken from elsewhere.

use serde_json::Value;

use super::{Input, Message, Vat};
use crate::Random;
use crate::adversary::program::{Sizes, js_steps, wasm_program};

/// Sizes of what is drawn anew.
const SIZES: Sizes = Sizes { usual: 1_048_576, any_one_in: 20 };
/// The most of any number in a program.
const MOST: u64 = 20_000_000;
/// The longest program, in bytes.
const MOST_PROGRAM: usize = 3_000;
/// The most messages of a transaction and of all.
const MOST_MESSAGES: u32 = 64;
/// The most transactions.
const MOST_TXS: usize = 40;

impl Input {
    /// An input drawn at random: two vats that are told what to do.
    pub(super) fn random(random: &mut Random) -> Self {
        let vat = |bundle: &str| Vat { bundle: bundle.to_owned(), options: Default::default() };
        let wasm = !random.one_in(3);
        let vats = if wasm { vec![vat("wasm"), vat("wasm")] } else { vec![vat("js"), vat("wasm")] };
        let message = |random: &mut Random| match wasm {
            true => program(random),
            false => steps(random),
        };
        let before = if random.one_in(2) { vec![vec![message(random)]] } else { vec![] };
        let measured = (0..=random.below(2)).map(|_| vec![message(random)]).collect();
        let name = if wasm { "random wasm" } else { "random JavaScript" };
        Self { name: name.to_owned(), vats, before, measured }
    }

    /// The input with some changes. Parts may come from `other`.
    pub(super) fn changed(&self, other: &Self, random: &mut Random) -> Self {
        let mut changed = self.clone();
        for _ in 0..=random.below(3) {
            changed.change(other, random);
        }
        changed
    }

    fn change(&mut self, other: &Self, random: &mut Random) {
        let stage = match random.one_in(3) && !self.before.is_empty() {
            true => &mut self.before,
            false => &mut self.measured,
        };
        let at = random.index(stage.len());
        match random.below(12) {
            0 if stage.len() < MOST_TXS => stage.push(stage[at].clone()),
            1 if stage.len() > 1 => drop(stage.remove(at)),
            2 => {
                let from = random.index(other.measured.len());
                if let Some(message) = other.measured.get(from).and_then(|tx| tx.first()) {
                    stage[at].push(message.clone());
                }
            }
            3 if stage[at].len() > 1 => {
                let which = random.index(stage[at].len());
                stage[at].remove(which);
            }
            _ => {
                let which = random.index(stage[at].len());
                if let Some(message) = stage[at].get_mut(which) {
                    change_message(message, random);
                }
            }
        }
        let messages = |tx: &[Message]| tx.iter().map(Message::times).sum::<u32>();
        while messages(&stage[at.min(stage.len() - 1)]) > MOST_MESSAGES {
            let tx = &mut stage[at];
            tx.pop();
        }
        stage.retain(|tx| !tx.is_empty());
        if self.measured.is_empty() {
            self.measured = other.measured.clone();
        }
    }
}

fn program(random: &mut Random) -> Message {
    let program = wasm_program(random, SIZES);
    Message::Program { vat: random.index(2), program, slots: slots(random), times: 1 }
}

fn steps(random: &mut Random) -> Message {
    let slots = vec!["vat1".to_owned(), "factory".to_owned(), "timer".to_owned()];
    let text = js_steps(random, SIZES, slots.len(), "@wasm@");
    let steps =
        serde_json::from_str(&text).unwrap_or_else(|_| vec![serde_json::json!(["virtual", 9])]);
    Message::Steps { vat: 0, steps, slots, times: 1 }
}

fn slots(random: &mut Random) -> Vec<String> {
    let all = ["vat0", "vat1", "factory", "timer", "ro+1", "rp+1"];
    (0..random.below(4)).map(|_| random.pick(&all).unwrap_or("vat1").to_owned()).collect()
}

fn change_message(message: &mut Message, random: &mut Random) {
    if random.one_in(4)
        && let Some(times) = message.times_mut()
    {
        *times = [1, 2, 8, *times / 2, *times * 2][random.index(5)].clamp(1, MOST_MESSAGES);
        return;
    }
    match message {
        Message::Program { program, slots: with, .. } => {
            if random.one_in(8) {
                *with = slots(random);
            } else {
                *program = changed_program(program, random);
            }
        }
        Message::Steps { steps, .. } => {
            let at = random.index(steps.len());
            match random.below(6) {
                0 if steps.len() > 1 => drop(steps.remove(at)),
                1 if steps.len() < 8 => steps.push(steps[at].clone()),
                _ => steps.iter_mut().skip(at).take(1).for_each(|step| change_value(step, random)),
            }
        }
        Message::Send { args, .. } => change_value(args, random),
        Message::Create { computrons, .. } => *computrons = number(*computrons, 1 << 42, random),
        Message::Install { functions, instructions } => {
            let field = if random.one_in(2) { functions } else { instructions };
            *field = number((*field).into(), 20_000, random) as u32;
        }
        Message::Upgrade { bundle, .. } => {
            let all = ["wasm", "js", "endless", "endlessly-loaded", "rootless", "silent"];
            *bundle = random.pick(&all).unwrap_or("js").to_owned();
        }
        Message::Terminate { .. } => {}
    }
}

/// Changes one number within a value.
fn change_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Array(all) => {
            let at = random.index(all.len());
            all.iter_mut().skip(at).take(1).for_each(|one| change_value(one, random));
        }
        Value::Number(old) => {
            *value = number(old.as_u64().unwrap_or_default(), MOST, random).into();
        }
        Value::String(text) => *text = changed_text(text, random),
        _ => {}
    }
}

/// A text with another number in it, if it has any. References, `$0`, stay.
fn changed_text(text: &str, random: &mut Random) -> String {
    let digits = |index: usize| text[index..].find(|char: char| !char.is_ascii_digit());
    let begins = |(index, char): (usize, char)| {
        char.is_ascii_digit() && !text[..index].ends_with(|before: char| before.is_ascii_digit())
    };
    let all: Vec<usize> =
        text.char_indices().filter(|at| begins(*at)).map(|(index, _)| index).collect();
    let Some(from) = random.pick(&all).filter(|_| !text.starts_with(['$', '&'])) else {
        return text.to_owned();
    };
    let to = digits(from).map_or(text.len(), |length| from + length);
    let new = number(text[from..to].parse().unwrap_or(0), MOST, random);
    format!("{}{new}{}", &text[..from], &text[to..])
}

fn number(old: u64, most: u64, random: &mut Random) -> u64 {
    let new = match random.below(7) {
        0 => old / 2,
        1 => old.saturating_mul(2),
        2 => old.saturating_mul(10),
        3 => old / 10,
        4 => old.saturating_add(1),
        5 => random.below(24),
        _ => 1 << random.below(24),
    };
    new.min(most)
}

/// A program with an operation that is another, or is there more or less often.
fn changed_program(program: &str, random: &mut Random) -> String {
    let mut operations = operations(program);
    let at = random.index(operations.len());
    match random.below(8) {
        0 if operations.len() > 1 => drop(operations.remove(at)),
        1 if !operations.is_empty() => operations.insert(at, operations[at].clone()),
        2 => {
            let other = self::operations(&wasm_program(random, SIZES));
            let from = random.index(other.len());
            operations.insert(at, other.get(from).cloned().unwrap_or_default());
        }
        3 if !operations.is_empty() => {
            let to = random.index(operations.len());
            operations.swap(at, to);
        }
        _ => operations
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|one| *one = changed_number(one, random)),
    }
    let all = operations.concat();
    if all.len() > MOST_PROGRAM { program.to_owned() } else { all }
}

/// The operations of a program: a letter with its numbers or its text.
fn operations(program: &str) -> Vec<String> {
    let (mut all, mut depth) = (Vec::<String>::new(), 0);
    for char in program.chars() {
        let begins = depth == 0 && !char.is_ascii_digit() && !",<>{}".contains(char);
        match char {
            '<' | '{' => depth += 1,
            '>' | '}' => depth -= 1,
            _ => {}
        }
        match all.last_mut() {
            Some(last) if !begins => last.push(char),
            _ => all.push(char.to_string()),
        }
    }
    all
}

fn changed_number(operation: &str, random: &mut Random) -> String {
    let Some((letter, rest)) = operation.split_at_checked(1) else { return operation.to_owned() };
    if rest.contains(['<', '{']) || rest.is_empty() {
        return operation.to_owned();
    }
    let mut numbers: Vec<u64> = rest.split(',').map(|text| text.parse().unwrap_or(0)).collect();
    let at = random.index(numbers.len());
    numbers[at] = number(numbers[at], MOST, random);
    let texts: Vec<_> = numbers.iter().map(u64::to_string).collect();
    format!("{letter}{}", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_row_of_its_operations() {
        let program = "i{l5y}d1,20f0,1m<run>p<^+5^>us3,7,1";
        let parts = ["i{l5y}", "d1,20", "f0,1", "m<run>", "p<^+5^>", "u", "s3,7,1"];
        assert_eq!(operations(program), parts);
    }

    #[test]
    fn a_changed_input_is_written_and_read_again_and_stays_within_its_bounds() {
        let mut random = Random::from(3);
        let (mut input, other) = (Input::random(&mut random), Input::random(&mut random));
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            input = input.changed(&other, &mut random);
            assert_eq!(Input::read(&input.line()), input);
            assert!(!input.measured.is_empty() && input.measured.len() <= MOST_TXS);
            let all = input.measured.iter().chain(&input.before);
            assert!(all.clone().all(|tx| tx.iter().map(Message::times).sum::<u32>() <= 64));
            names.insert(input.line());
        }
        assert!(names.len() > 1_000, "{} different inputs", names.len());
    }
}
