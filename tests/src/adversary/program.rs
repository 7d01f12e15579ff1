//! Random programs for the adversary's vats, which aim at the edges of what is allowed.

use crate::Random;

/// Sizes and counts at which something begins or ends: powers of two, and every limit that the code names.
const EDGES: [u64; 42] = [
    0, 1, 2, 3, 7, 16, 63, 64, 65, 99, 100, 101, 127, 128, 129, 199, 200, 201, 255, 256, 257, 999,
    1_000, 1_001, 1_024, 1_025, 4_095, 4_096, 4_097, 9_999, 10_000, 10_001, 65_500, 65_529, 65_535,
    65_536, 65_537, 262_144, 1_048_576, 9_999_999, 10_000_000, 10_000_001,
];

/// Methods of the system's objects, and some that nobody has.
pub(super) const METHODS: [&str; 29] = [
    "createVat",
    "launchSubcluster",
    "upgradeVat",
    "publish",
    "unpublish",
    "lookup",
    "terminateWithFailure",
    "upgrade",
    "done",
    "changeOptions",
    "get",
    "setWakeup",
    "wakeAt",
    "delay",
    "makeRepeater",
    "repeatAfter",
    "makeNotifier",
    "getUpdateSince",
    "cancel",
    "getClock",
    "schedule",
    "startVat",
    "provision",
    "read",
    "write",
    "run",
    "__proto__",
    "then",
    "nobody",
];

/// Upper bounds of the sizes in one chain.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The most that is usual.
    pub usual: u64,
    /// One size in so many may be as large as any.
    pub any_one_in: u64,
}

impl Sizes {
    /// A size or a count: mostly an edge.
    pub(super) fn pick(self, random: &mut Random) -> u64 {
        let most = if random.one_in(self.any_one_in) { u64::MAX } else { self.usual };
        self.at_most(random, most)
    }

    /// A count of things that each cost a syscall.
    pub(super) fn count(self, random: &mut Random) -> u64 {
        let most = [3, 3, 70, 70, 1_100, 10_100][random.below(6) as usize];
        self.at_most(random, most.min(self.usual))
    }

    fn at_most(self, random: &mut Random, most: u64) -> u64 {
        let edges: Vec<u64> = EDGES.into_iter().filter(|edge| *edge <= most).collect();
        match random.below(5) {
            0 => random.below(most.min(20_000_000) + 1),
            1 => random.pick(&edges).unwrap_or(0).saturating_sub(random.below(12)),
            _ => random.pick(&edges).unwrap_or(0),
        }
    }
}

/// A program for `adversary.c`.
pub(super) fn wasm_program(random: &mut Random, sizes: Sizes) -> String {
    let mut program = String::new();
    for _ in 0..=random.below(4) {
        program += &shape(random, sizes);
        program += &operation(random, sizes);
    }
    if random.one_in(12) {
        let text = format!("{}{}", shape(random, sizes), operation(random, sizes));
        program = format!("i{{{text}}}{program}");
    }
    program
}

/// The messages that are sent from now on.
fn shape(random: &mut Random, sizes: Sizes) -> String {
    let kind = random.below(24);
    let mut text = format!("d{kind},{}", sizes.pick(random));
    text += &match random.below(4) {
        0 => format!("f{},{}", random.below(10), sizes.count(random)),
        1 => format!("f{},{}", random.below(10), random.below(4)),
        _ => "f0,1".to_owned(),
    };
    text += match random.below(8) {
        0 => "w1",
        1 => "w2",
        _ => "w0",
    };
    match random.below(6) {
        0 => text + "u",
        1 => text + "p<^+5^,^$0^,>",
        2 => text + "p<>",
        _ => text + &format!("m<{}>", random.pick(&METHODS).unwrap_or("x")),
    }
}

fn target(random: &mut Random) -> u64 {
    match random.below(10) {
        0 => 200,
        1 => [199, 201][random.below(2) as usize],
        2 if random.one_in(4) => 202 + random.below(8),
        _ => random.below(12),
    }
}

fn operation(random: &mut Random, sizes: Sizes) -> String {
    let (t, n, s) = (target(random), sizes.count(random), sizes.pick(random));
    let length =
        random.pick(&[1, 9, 200, 254, 255, 65_500, 65_529, 65_535, 65_536, s]).unwrap_or(1);
    match random.below(64) {
        0..14 => format!("s{t},{n},{}", random.below(3)),
        14..20 => format!("r{n},{},{}", random.below(2), random.below(2)),
        20..22 => format!("c{t},{}", random.below(4)),
        22..24 => format!("b{t},{n}"),
        24..34 => format!("k{length},{},{n}", if random.one_in(3) { s } else { 1 }),
        34..40 => format!("K{length},0,{n}"),
        40..42 => format!("g{length},0,{n}"),
        42..44 => format!("q{length},{},{n}", s.min(1_000)),
        44..46 => format!("n{n}"),
        46..49 => format!("j{t},{n},{}", random.below(4)),
        49 if random.one_in(3) => format!("x{}", random.below(2)),
        50..53 => format!("a{}", random.below(4)),
        53 if random.one_in(3) => format!("e{s}"),
        54 if random.one_in(3) => format!("v{},{},{s}", random.below(9), random.below(256)),
        55..57 => format!("l{}", s * 10),
        57 => format!("h{}", n.min(5_000)),
        58..60 => format!("o{n},{}", s.min(100_000)),
        60 if random.one_in(3) => format!("z{},{s}", random.below(16)),
        61 => "y".to_owned(),
        _ => format!("s{t},{},2r2,0,0", n.min(64)),
    }
}

/// Smallcaps data of a random kind. `slots` of the message may be referred to.
pub(super) fn data(random: &mut Random, size: u64, slots: usize) -> String {
    let n = usize::try_from(size).unwrap_or(0);
    let list = |of: &str| format!("[{}]", vec![of; n].join(","));
    match random.below(21) {
        0 => "[]".to_owned(),
        1 => format!("\"{}\"", "x".repeat(n)),
        2 => "[".repeat(n) + &"]".repeat(n),
        3 => list("[]"),
        4 => list("{}"),
        5 => list("[{}]"),
        6 => format!("\"{}\"", "\\ud800".repeat(n)),
        7 => format!("\"+{}\"", "9".repeat(n.max(1))),
        8 => list("{\"#error\":\"\",\"name\":\"Error\"}"),
        9 => format!("{{\"#error\":\"{}\",\"name\":\"TypeError\"}}", "e".repeat(n)),
        10 => list("{\"#tag\":\"t\",\"payload\":0}"),
        11 => "{\"a\":".repeat(n) + "0" + &"}".repeat(n),
        12 => {
            let fields = (0..n).map(|i| format!("\"k{i}\":[]")).collect::<Vec<_>>().join(",");
            format!("{{{fields}}}")
        }
        13 => "{\"computrons\":\"+0\",\"reapInterval\":1}".to_owned(),
        14 => format!("{{\"name\":\"{}\",\"computrons\":\"+{size}\"}}", "n".repeat(n.min(300))),
        15 => list("\"#undefined\""),
        16 => format!("\"{}\"", "\\u0000\u{2028}\u{1f600}".repeat(n)),
        17 => "\"#NaN\"".to_owned(),
        18 if slots > 0 => format!("\"$0.Alleged: {}\"", "i".repeat(n)),
        18 => "\"$7\"".to_owned(),
        19 if slots > 0 => {
            let all = (0..slots).map(|i| format!("\"${i}\"")).collect::<Vec<_>>().join(",");
            format!("[{all}]")
        }
        _ => format!("-{size}"),
    }
}

/// The steps of a call of `run` of `adversary.js`: a smallcaps array without `#`. The first slots are objects.
pub(super) fn js_steps(random: &mut Random, sizes: Sizes, slots: usize, bundle: &str) -> String {
    let rows: Vec<_> =
        (0..=random.below(3)).map(|_| js_step(random, sizes, slots, bundle)).collect();
    format!("[{}]", rows.join(","))
}

fn js_step(random: &mut Random, sizes: Sizes, slots: usize, bundle: &str) -> String {
    let to = match slots {
        0 => "null".to_owned(),
        some => format!("\"${}\"", random.below(some as u64)),
    };
    let (n, s) = (sizes.count(random).min(300), sizes.pick(random));
    let (kind, method) = (random.below(20), random.pick(&METHODS).unwrap_or("x"));
    let timer = ["setWakeup", "wakeAt", "delay", "repeatAfter", "cancel", "makeNotifier"];
    let timed = random.pick(&timer).unwrap_or("delay");
    match random.below(60) {
        0..10 => format!("[\"send\",{to},{},\"{method}\",{kind},{s}]", n.min(40)),
        10..14 => format!("[\"knock\",{to},{}]", n.min(40)),
        14..17 => format!("[\"spread\",{to},\"{method}\",{},{}]", kind % 5, s.min(5_000)),
        17..20 => format!("[\"pipeline\",{to},{n}]"),
        20..24 => format!("[\"promise\",{to},{kind},{s}]"),
        24..27 => format!("[\"keep\",{to}]"),
        27 => "[\"drop\"]".to_owned(),
        28 => format!("[\"again\",{to},[\"answer\",{kind},{s}]]"),
        29 if random.one_in(6) => format!("[\"forever\",{to},{}]", s.min(1_000)),
        30..32 => {
            let options = data(random, s.min(500), slots);
            format!("[\"create\",{to},\"{bundle}\",{},{options}]", n.min(3))
        }
        32 => format!("[\"oddOption\",{to},\"{bundle}\"]"),
        33..35 => format!("[\"publish\",{to},\"{}\"]", "n".repeat(n as usize)),
        35..40 => format!("[\"timer\",{to},\"{timed}\",{},{n}]", 1_767_225_600 + random.below(600)),
        40..42 => format!("[\"cancelling\",{to},{},{n}]", 1_900_000_000),
        42..46 => {
            format!("[\"store\",\"s{}\",{},{kind},{}]", random.below(3), n.min(60), s.min(20_000))
        }
        46 => format!("[\"oddKey\",{}]", n.min(70)),
        47 => format!("[\"longKey\",{s}]"),
        48 => format!("[\"clear\",\"s{}\"]", random.below(3)),
        49 => format!("[\"virtual\",{n}]"),
        50..52 => format!("[\"log\",{},{kind},{s}]", n.min(20)),
        52..54 => format!("[\"throw\",{kind},{s}]"),
        54 if random.one_in(3) => format!("[\"exit\",{kind},{s}]"),
        55 if random.one_in(3) => format!("[\"exitWithFailure\",{kind},{s}]"),
        56 if random.one_in(4) => {
            let end = ["spin", "recurse", "allocate"];
            format!("[\"{}\"]", random.pick(&end).unwrap_or("spin"))
        }
        57 => "[\"evaluate\",\"/(a+)+$/.test('a'.repeat(60)+'!')\"]".to_owned(),
        _ => format!("[\"answer\",{kind},{s}]"),
    }
}
