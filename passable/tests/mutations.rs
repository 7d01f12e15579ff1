//! Bodies that were changed at random: what reads them agrees with itself and with another parser of JSON.
//!
//! `CAPSTAN_TEST_SEED` repeats a run. A failure prints the seed.
#![allow(clippy::unwrap_used)]

use capstan_abi::CapData;
use capstan_passable::{
    Parsed, Passable, check, method_name, notation, single_slot, to_smallcaps_json,
};
use capstan_test_random::Random;

/// Mutates texts at random.
struct Mutator(Random);

impl Mutator {
    fn from_env() -> Self {
        Self(Random::seeded(0x5eed_0001))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.index(limit)
    }

    /// Makes one to four small changes.
    fn mutate(&mut self, text: &str) -> Option<String> {
        let likely = b"#\"$&!+-[]{},:.0123456789\\ue aZ";
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = likely[self.below(likely.len())],
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                4 => bytes.insert(at, likely[self.below(likely.len())]),
                _ => {
                    let from = self.below(bytes.len() + 1);
                    let to = from + self.below(bytes.len() - from + 1);
                    let piece = bytes[from..to].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        String::from_utf8(bytes).ok()
    }
}

/// Whatever the scanner accepts or makes, serde_json takes for JSON too. The reverse holds for plain JSON, but for
/// what is refused on purpose. Lone surrogates and numbers beyond a double's are JSON.
#[test]
fn plain_json_agrees_with_serde_json_on_mutations() {
    let seeds = [
        r#"{"a":[1,-2.5e3,"x\n\u00e9",null,true],"b":{"c":"d"}}"#,
        r#"["$0",{"k":"v"},0.1]"#,
        r#"["\ud800","\ud83d\ude00",{"\udfff":"\uDBFF\uDC00"}]"#,
    ];
    let mut random = Mutator::from_env();
    for round in 0..20_000 {
        let Some(text) = random.mutate(seeds[round % seeds.len()]) else { continue };
        if text.starts_with('#') {
            continue;
        }
        let ours = to_smallcaps_json(&text, &[]);
        let array = format!("[{text}]");
        let theirs = capstan_abi::json::elements(array.as_bytes());
        let theirs = theirs.map(Iterator::count).ok().filter(|count| *count == 1);
        match (&ours, &theirs) {
            (Ok(made), _) => {
                let again = to_smallcaps_json(&format!("#{made}"), &[]);
                assert!(theirs.is_some() && again.is_ok(), "{text:?} seed {}", random.0.seed());
            }
            (Err(e), Some(_)) => {
                let on_purpose = e.problem.contains("twice") || e.problem.contains("__proto__");
                assert!(on_purpose, "{text:?}: {e}, seed {}", random.0.seed());
            }
            (Err(_), None) => {}
        }
    }
}

/// No reader panics on any body. What is taken apart and put together again is stable. What the check accepts is
/// decoded, and comes back the same when it is encoded again.
#[test]
fn mutated_bodies_are_read_or_refused_and_what_is_read_is_stable() {
    let good = [
        r##"#["m",[{"a":"$0.Alleged: x","b":[1,-2.5e3,null,true],"c":"&1"},"+12","#undefined"]]"##,
        r##"#{"#error":"no","errorId":"error:v1#1","name":"TypeError"}"##,
        r##"#{"#tag":"copySet","payload":["%s","-3"]}"##,
        r##"#"!$escaped\u00e9\n""##,
        r##"{"@qclass":"slot","index":1}"##,
    ];
    let slots = vec!["ko20".to_owned(), "kp40".to_owned()];
    let mut random = Mutator::from_env();
    let seed = random.0.seed();
    for round in 0..60_000 {
        let Some(body) = random.mutate(good[round % good.len()]) else { continue };
        let whole = CapData { body, slots: slots.clone() };
        let body = &whole.body;
        let (_, _) = (single_slot(&whole), method_name(&whole));
        notation::decode(body, &whole.slots);
        if check(&whole).is_ok() && !body.contains('e') {
            let value =
                Passable::decode(&whole).unwrap_or_else(|e| panic!("{body} {e} seed {seed}"));
            let again = value.encode().unwrap_or_else(|e| panic!("{body} {e} seed {seed}"));
            assert_eq!(Passable::decode(&again), Ok(value), "seed {seed} round {round}: {body}");
        }
        let Some(parsed) = Parsed::new(&whole) else { continue };
        let Some(once) = parsed.reserialize(&parsed.value) else { continue };
        let again = Parsed::new(&once).and_then(|parsed| parsed.reserialize(&parsed.value));
        assert_eq!(again.as_ref(), Some(&once), "seed {seed} round {round}: {body}");
    }
}
