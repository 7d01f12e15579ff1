//! Tests of numbers where QuickJS-ng deviated from ECMA-262 (`build/faults.rs`): comparisons of
//! BigInts with numbers, the shortest digits of powers of two, and the domains of the functions of
//! `Math`. `CAPSTAN_TEST_SEED=N` takes other random numbers.

#![allow(clippy::unwrap_used)] // tests

mod common;

use std::cmp::Ordering;

use capstan_test_random::Random;
use common::Engine;

/// Draws numbers that are hard for an engine.
struct Numbers(Random);

impl Numbers {
    fn new() -> (Self, u64) {
        let random = Random::seeded(1);
        let seed = random.seed();
        (Self(random), seed)
    }

    fn bits(&mut self) -> u64 {
        self.0.number()
    }

    /// A number of any exponent, or near zero, or an integer or a fraction.
    fn number(&mut self) -> f64 {
        let bits = self.bits();
        match bits % 4 {
            0 => f64::from_bits(self.bits()),
            1 => (self.bits() as i64 >> (bits >> 8 & 63)) as f64,
            2 => (self.bits() as i32) as f64 / 8.0,
            _ => f64::from_bits(self.bits() & !(0x7ff << 52) | (1023 + bits % 128) << 52),
        }
    }

    /// An integer of up to 120 bits.
    fn integer(&mut self) -> i128 {
        let wide = (self.bits() as i128) << 64 | self.bits() as i128;
        wide >> (8 + self.bits() % 120)
    }
}

/// Compares an integer with a number. Returns `None` for NaN.
fn compare(integer: i128, number: f64) -> Option<Ordering> {
    const LIMIT: f64 = (1_u128 << 127) as f64;
    if number.is_nan() {
        return None;
    }
    if number >= LIMIT {
        return Some(Ordering::Less);
    }
    if number < -LIMIT {
        return Some(Ordering::Greater);
    }
    let fraction = number - number.trunc();
    let whole = integer.cmp(&(number.trunc() as i128));
    Some(whole.then(0.0.partial_cmp(&fraction).unwrap()))
}

/// The digits that `expected` has for `a < n`, `a <= n`, `a > n`, `a >= n`, `a == n` and the same with `n` before `a`.
fn answers(order: Option<Ordering>) -> String {
    let Some(order) = order else { return "0".repeat(10) };
    let both = [order, order.reverse()];
    let answers = both.iter().flat_map(|order| {
        [order.is_lt(), order.is_le(), order.is_gt(), order.is_ge(), order.is_eq()]
    });
    answers.map(|is_so| if is_so { '1' } else { '0' }).collect()
}

fn odd_numbers() -> Vec<f64> {
    let mut numbers = vec![0.0, 5e-324, f64::MIN_POSITIVE, 0.5, 1.0, 1.5, 2.5, 10.5, 1e10, 3e9];
    for exponent in [31, 32, 33, 52, 53, 54, 62, 63, 64, 65, 96, 100, 119, 126, 127, 128, 1023] {
        let power = 2_f64.powi(exponent);
        numbers.extend([power, power.next_down(), power.next_up(), power - 1.0, power + 0.5]);
    }
    numbers.extend([f64::MAX, f64::INFINITY]);
    let negative: Vec<f64> = numbers.iter().map(|number| -number).collect();
    numbers.extend(negative);
    numbers.push(f64::NAN);
    numbers
}

fn odd_integers() -> Vec<i128> {
    let mut integers = vec![0, 1, 2, 5, 7, 10, 11, 3_000_000_000];
    for exponent in [31, 32, 33, 52, 53, 54, 62, 63, 64, 65, 95, 96, 97, 100, 119] {
        integers.extend([(1 << exponent) - 1, 1 << exponent, (1 << exponent) + 1]);
    }
    let negative: Vec<i128> = integers.iter().map(|integer| -integer).collect();
    integers.extend(negative);
    integers
}

/// The source of an array of BigInts, and one of numbers, given by their bits.
fn sources(integers: &[i128], numbers: &[f64]) -> [String; 2] {
    let integers: Vec<String> = integers.iter().map(|integer| format!("{integer}n")).collect();
    let bits: Vec<String> = numbers.iter().map(|number| format!("{}n", number.to_bits())).collect();
    let numbers = format!("[...new Float64Array(new BigUint64Array([{}]).buffer)]", bits.join(","));
    [format!("[{}]", integers.join(",")), numbers]
}

const COMPARE_ALL: &str = "(() => { const lines = []; \
    for (const a of INTEGERS) for (const n of NUMBERS) lines.push([a < n, a <= n, a > n, a >= n, a == n, \
    n < a, n <= a, n > a, n >= a, n == a].map(Number).join('')); return lines.join(); })()";

#[test]
fn bigints_compare_with_numbers_by_value() {
    let (mut random, seed) = Numbers::new();
    let mut engine = Engine::with_shims();
    let random_integers: Vec<i128> = (0..60).map(|_| random.integer()).collect();
    let random_numbers: Vec<f64> = (0..60).map(|_| random.number()).collect();
    for (integers, numbers) in [(odd_integers(), odd_numbers()), (random_integers, random_numbers)]
    {
        let [integer_source, number_source] = sources(&integers, &numbers);
        let program =
            COMPARE_ALL.replace("INTEGERS", &integer_source).replace("NUMBERS", &number_source);
        let found = engine.eval(&program);
        let pairs = integers.iter().flat_map(|a| numbers.iter().map(move |n| (*a, *n)));
        let mut count = 0;
        for ((a, n), found) in pairs.zip(found.split(',')) {
            assert_eq!(found, answers(compare(a, n)), "{a}n and {n:?}, CAPSTAN_TEST_SEED={seed}");
            count += 1;
        }
        assert_eq!(count, integers.len() * numbers.len());
    }
}

#[test]
fn a_mixed_array_is_sorted_by_value() {
    let (mut random, seed) = Numbers::new();
    let mut engine = Engine::with_shims();
    let mut integers = odd_integers();
    integers.extend((0..100).map(|_| random.integer()));
    let mut numbers: Vec<f64> = odd_numbers();
    numbers.extend((0..100).map(|_| random.number()));
    numbers.retain(|number| !number.is_nan());
    let [integer_source, number_source] = sources(&integers, &numbers);
    let found = engine.eval(&format!(
        "const all = [...{integer_source}, ...{number_source}]; const at = all.map((_, i) => i); \
         at.sort((i, j) => (all[i] < all[j] ? -1 : all[i] > all[j] ? 1 : 0)); at.join()"
    ));
    let order =
        |i: usize, j: usize| match (i.checked_sub(integers.len()), j.checked_sub(integers.len())) {
            (None, None) => integers[i].cmp(&integers[j]),
            (None, Some(j)) => compare(integers[i], numbers[j]).unwrap(),
            (Some(i), None) => compare(integers[j], numbers[i]).unwrap().reverse(),
            (Some(i), Some(j)) => numbers[i].partial_cmp(&numbers[j]).unwrap(),
        };
    let mut expected: Vec<usize> = (0..integers.len() + numbers.len()).collect();
    expected.sort_by(|&i, &j| order(i, j));
    let expected: Vec<String> = expected.iter().map(usize::to_string).collect();
    assert_eq!(found, expected.join(","), "CAPSTAN_TEST_SEED={seed}");
}

/// The digits that Rust found, but for a number that lies in the middle between two texts that both give it back: of those
/// ECMA-262 takes the even one, Rust the larger.
fn shortest_even(number: f64, digits: String) -> String {
    let exact = format!("{number:.800e}");
    let (exact, exponent) = exact.split_once('e').unwrap();
    let exact = exact.replace('.', "");
    let (head, tail) = exact.split_at(digits.len());
    let gives_back = format!("{}.{}e{exponent}", &head[..1], &head[1..]).parse() == Ok(number);
    let is_middle = tail.trim_end_matches('0') == "5";
    let is_even = head.ends_with(['0', '2', '4', '6', '8']);
    if is_middle && is_even && gives_back { head.to_string() } else { digits }
}

/// Number::toString for radix 10, from the shortest digits that Rust finds.
fn to_text(number: f64) -> String {
    if number < 0.0 {
        return format!("-{}", to_text(-number));
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    let digits = shortest_even(number, mantissa.replace('.', ""));
    let (k, n) = (digits.len() as i32, exponent.parse::<i32>().unwrap() + 1);
    if k <= n && n <= 21 {
        return format!("{digits}{}", "0".repeat((n - k) as usize));
    }
    if 0 < n && n <= 21 {
        return format!("{}.{}", &digits[..n as usize], &digits[n as usize..]);
    }
    if -6 < n && n <= 0 {
        return format!("0.{}{digits}", "0".repeat(-n as usize));
    }
    let point = if k == 1 { "" } else { "." };
    let sign = if n > 0 { "+" } else { "" };
    format!("{}{point}{}e{sign}{}", &digits[..1], &digits[1..], n - 1)
}

#[test]
fn powers_of_two_and_their_neighbours_have_the_fewest_digits() {
    let (mut random, seed) = Numbers::new();
    let mut numbers = Vec::new();
    for exponent in -1074..=1023 {
        // 2 ** exponent, also where it is below the smallest normal number.
        let power = match exponent {
            ..-1022 => f64::from_bits(1 << (exponent + 1074)),
            _ => f64::from_bits(((exponent + 1023) as u64) << 52),
        };
        let mut neighbours =
            vec![power, power.next_up(), power.next_up().next_up(), power.next_down()];
        neighbours.retain(|number| *number != 0.0 && number.is_finite());
        numbers.extend(neighbours.iter().flat_map(|&number| [number, -number]));
    }
    numbers.extend((0..3000).map(|_| random.number()).filter(|n| n.is_finite() && *n != 0.0));
    let mut engine = Engine::with_shims();
    let mut count = 0;
    for numbers in numbers.chunks(1000) {
        let [_, source] = sources(&[], numbers);
        let found =
            engine.eval(&format!("{source}.map(x => `${{x}} ${{JSON.stringify(x)}}`).join()"));
        for (number, found) in numbers.iter().zip(found.split(',')) {
            let text = to_text(*number);
            assert_eq!(found, format!("{text} {text}"), "CAPSTAN_TEST_SEED={seed}");
            assert_eq!(found.split(' ').next().unwrap().parse::<f64>().unwrap(), *number);
            count += 1;
        }
    }
    assert!(count > 4 * 2098 * 2 - 8 + 2500, "{count}");
}

#[test]
fn functions_of_math_are_defined_where_the_standard_says() {
    let (mut random, seed) = Numbers::new();
    let mut engine = Engine::with_shims();
    let mut numbers = odd_numbers();
    numbers.extend((0..2000).map(|_| random.number()));
    numbers.extend([-2.0, -1e5, -5931.64, -5e7, -1e300, 1_f64.next_down(), 1_f64.next_up()]);
    let [_, source] = sources(&[], &numbers);
    type Domain = fn(f64) -> bool;
    let domains: [(&str, Domain); 22] = [
        ("acosh", |x| x >= 1.0),
        ("acos", |x| (-1.0..=1.0).contains(&x)),
        ("asin", |x| (-1.0..=1.0).contains(&x)),
        ("atanh", |x| (-1.0..=1.0).contains(&x)),
        ("log", |x| x >= 0.0),
        ("log2", |x| x >= 0.0),
        ("log10", |x| x >= 0.0),
        ("log1p", |x| x >= -1.0),
        ("sqrt", |x| x >= 0.0),
        ("sin", f64::is_finite),
        ("cos", f64::is_finite),
        ("tan", f64::is_finite),
        ("asinh", |x| !x.is_nan()),
        ("atan", |x| !x.is_nan()),
        ("cbrt", |x| !x.is_nan()),
        ("cosh", |x| !x.is_nan()),
        ("sinh", |x| !x.is_nan()),
        ("tanh", |x| !x.is_nan()),
        ("exp", |x| !x.is_nan()),
        ("expm1", |x| !x.is_nan()),
        ("fround", |x| !x.is_nan()),
        ("round", |x| !x.is_nan()),
    ];
    for (name, is_defined) in domains {
        let found = engine.eval(&format!("{source}.map(x => +!isNaN(Math.{name}(x))).join('')"));
        for (number, found) in numbers.iter().zip(found.chars()) {
            let says = format!("Math.{name}({number:?}), CAPSTAN_TEST_SEED={seed}");
            assert_eq!(found == '1', is_defined(*number), "{says}");
        }
    }
}

/// Special values of the functions of `Math`.
const SPECIAL_VALUES: &[(&str, &str)] = &[
    ("Math.acosh(1)", "0"),
    ("Math.acosh(Infinity)", "Infinity"),
    ("Math.acosh(-Infinity)", "NaN"),
    ("Math.asinh(-0)", "-0"),
    ("Math.asinh(-Infinity)", "-Infinity"),
    ("Math.atanh(-0)", "-0"),
    ("Math.atanh(1)", "Infinity"),
    ("Math.atanh(-1)", "-Infinity"),
    ("Math.asin(-0)", "-0"),
    ("Math.acos(1)", "0"),
    ("Math.atan(-0)", "-0"),
    ("Math.atan2(-0, 0)", "-0"),
    ("Math.atan2(0, -0)", "3.141592653589793"),
    ("Math.atan2(Infinity, -Infinity)", "2.356194490192345"),
    ("Math.log(-0)", "-Infinity"),
    ("Math.log1p(-1)", "-Infinity"),
    ("Math.log1p(-0)", "-0"),
    ("Math.log2(1024)", "10"),
    ("Math.log10(1e22)", "22"),
    ("Math.expm1(-Infinity)", "-1"),
    ("Math.expm1(-0)", "-0"),
    ("Math.exp(-Infinity)", "0"),
    ("Math.cbrt(-0)", "-0"),
    ("Math.cbrt(-27)", "-3"),
    ("Math.sqrt(-0)", "-0"),
    ("Math.sinh(-0)", "-0"),
    ("Math.tanh(-Infinity)", "-1"),
    ("Math.cosh(-Infinity)", "Infinity"),
    ("Math.round(-0.5)", "-0"),
    ("Math.round(0.49999999999999994)", "0"),
    ("Math.round(-4503599627370495.5)", "-4503599627370495"),
    ("Math.sign(-0)", "-0"),
    ("Math.max()", "-Infinity"),
    ("Math.max(-0, 0)", "0"),
    ("Math.min(0, -0)", "-0"),
    ("Math.max(NaN, Infinity)", "NaN"),
    ("Math.hypot()", "0"),
    ("Math.hypot(-0)", "0"),
    ("Math.hypot(NaN, -Infinity)", "Infinity"),
    ("Math.hypot(NaN, 1, Infinity)", "Infinity"),
    ("Math.hypot(1, NaN)", "NaN"),
    ("Math.hypot(1e200, -1e200) > 1.4e200", "true"),
    ("Math.pow(NaN, 0)", "1"),
    ("Math.pow(1, Infinity)", "NaN"),
    ("Math.pow(-1, -Infinity)", "NaN"),
    ("Math.pow(1, NaN)", "NaN"),
    ("Math.pow(-0, -3)", "-Infinity"),
    ("Math.pow(-0, -2)", "Infinity"),
    ("Math.pow(-8, 1 / 3)", "NaN"),
    ("Math.pow(-Infinity, 3)", "-Infinity"),
    ("Math.pow(0.5, -Infinity)", "Infinity"),
    ("Math.fround(1e39)", "Infinity"),
    ("Math.fround(-1e-60)", "-0"),
    ("Math.f16round(65520)", "Infinity"),
    ("Math.f16round(65519)", "65504"),
    ("Math.clz32(-0)", "32"),
    ("Math.imul(0xffffffff, 5)", "-5"),
];

#[test]
fn functions_of_math_have_the_special_values_of_the_standard() {
    let mut engine = Engine::with_shims();
    for (expression, value) in SPECIAL_VALUES {
        let shown = format!("const x = {expression}; Object.is(x, -0) ? '-0' : String(x)");
        assert_eq!(
            engine
                .eval(&format!("(() => {{ {} }})()", shown.replace("; Object", "; return Object"))),
            *value,
            "{expression}"
        );
    }
}
