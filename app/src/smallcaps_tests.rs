//! The scanner of smallcaps against another parser of JSON.

use crate::smallcaps::to_smallcaps_json;

/// Whatever the scanner accepts or makes, serde_json takes for JSON too, and the other way round for
/// plain JSON but for what is refused on purpose. Lone surrogates and numbers beyond a double's are JSON.
#[test]
fn plain_json_agrees_with_serde_json_on_mutations() {
    let seeds = [
        r#"{"a":[1,-2.5e3,"x\n\u00e9",null,true],"b":{"c":"d"}}"#,
        r#"["$0",{"k":"v"},0.1]"#,
        r#"["\ud800","\ud83d\ude00",{"\udfff":"\uDBFF\uDC00"}]"#,
    ];
    let mut random = crate::testing::Random::from_env();
    for round in 0..20_000 {
        let text = random.mutate(seeds[round % seeds.len()].as_bytes());
        let Ok(text) = String::from_utf8(text) else { continue };
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
                assert!(theirs.is_some() && again.is_ok(), "{text:?} seed {}", random.seed);
            }
            (Err(e), Some(_)) => {
                let on_purpose = e.problem.contains("twice") || e.problem.contains("__proto__");
                assert!(on_purpose, "{text:?}: {e}, seed {}", random.seed);
            }
            (Err(_), None) => {}
        }
    }
}
