//! Nobody can end a vat of the system: not by the size or shape of what it is told, nor by how a vat ends.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::Bundle;
use capstan_tests::adversary::{Yard, js_vat, wasm_vat};
use capstan_tests::alone;

const SYSTEM: [&str; 3] = ["vatAdmin", "provisioner", "timer"];

/// Asserts that the system lives and makes vats for others.
fn assert_unharmed(yard: &mut Yard, after: &str) {
    for name in SYSTEM {
        let vat = yard.named(name);
        assert_eq!(vat["status"], "running", "{name} after {after}: {vat}");
    }
    let found = yard.send(3, "factory", "lookup", "#[\"chain/timer\"]", &[]);
    assert_eq!(found["status"], "fulfilled", "after {after}: {found}");
}

/// True if an answer was rejected because a vat has ended.
fn tells_of_an_end(body: &str) -> bool {
    let codes = ["VAT_TERMINATED", "ENDPOINT_UNREACHABLE", "OBJECT_DELETED"];
    body.contains("vat terminated")
        || codes.iter().any(|code| body.contains(&format!("[KERNEL:{code}]")))
}

fn wasm() -> Bundle {
    Bundle::from_wasm(wasm_vat().to_vec())
}

fn list(of: &str, count: usize) -> String {
    format!("[{}]", vec![of; count].join(","))
}

/// Arguments that just fit a transaction.
fn shapes() -> Vec<(&'static str, String)> {
    const ROOM: usize = 262_144 - 300;
    vec![
        ("records", list("{}", ROOM / 3)),
        ("arrays", list("[]", ROOM / 3)),
        ("both", list("[{}],{}", ROOM / 8)),
        ("errors", list("{\"#error\":\"\",\"name\":\"Error\"}", ROOM / 29)),
        ("tagged", list("{\"#tag\":\"a\",\"payload\":0}", ROOM / 25)),
        ("holes", list("\"#undefined\"", ROOM / 13)),
        ("numbers", list("0", ROOM / 2)),
        ("a bigint", format!("\"+{}\"", "9".repeat(ROOM - 10))),
        ("a text", format!("\"{}\"", "x".repeat(ROOM - 10))),
        ("surrogates", format!("\"{}\"", "\\ud800".repeat(ROOM / 6 - 10))),
        ("nested", format!("{}{}", "[".repeat(90), "]".repeat(90))),
    ]
}

#[test]
fn arguments_of_transactions() {
    alone(module_path!(), "arguments_of_transactions", || {
        let mut yard = Yard::whole();
        let (_, admin) = yard.vat(0, &wasm());
        let timer = yard.send(0, "factory", "lookup", "#[\"chain/timer\"]", &[]);
        let timer = timer["value"]["slots"][0].as_str().unwrap().to_owned();
        let calls = [
            ("factory", "lookup", "[%]"),
            ("factory", "createVat", "[\"x\",{\"vatParameters\":%}]"),
            ("factory", "launchSubcluster", "[{\"name\":\"x\",\"vats\":%}]"),
            ("factory", "publish", "[%,{}]"),
            (&admin, "done", "[%]"),
            (&admin, "changeOptions", "[{\"reapInterval\":%}]"),
            (&timer, "setWakeup", "[%,0]"),
            (&timer, "cancel", "[%]"),
        ];
        for (what, shape) in shapes() {
            for (target, method, args) in calls {
                let args = format!("#{}", args.replace('%', &shape));
                let answer = yard.send(0, target, method, &args, &[]);
                let name = format!("{method} of {what}");
                // `done` may be answered later, whatever it is asked with.
                assert!(method == "done" || answer["status"] != "pending", "{name}: {answer}");
                for vat in SYSTEM {
                    assert_eq!(yard.named(vat)["status"], "running", "{vat} after {name}");
                }
            }
        }
        assert_unharmed(&mut yard, "all of them");
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn arguments_of_vats() {
    alone(module_path!(), "arguments_of_vats", || {
        let mut yard = Yard::whole();
        let (root, admin) = yard.vat(0, &wasm());
        let timer = yard.send(0, "factory", "lookup", "#[\"chain/timer\"]", &[]);
        let timer = timer["value"]["slots"][0].as_str().unwrap().to_owned();
        let factory = yard.send(0, "factory", "lookup", "#[\"none\"]", &[]);
        assert_eq!(factory["status"], "rejected", "{factory}");
        for (to, method) in [(&admin, "done"), (&timer, "setWakeup"), (&admin, "changeOptions")] {
            for shape in [
                "d2,60000f0,0",
                "d2,2000000f0,0",
                "d3,3000000f0,0",
                "d4,1000000f0,0",
                "d5,900000f0,0",
                "d13,1000000f0,0",
                "d11,9900000f0,0",
                "d8,9900000f0,0",
                "d7,1000000f0,0",
                "d14,0f1,9999",
                "d14,0f2,9999",
                "d20,500000f0,0",
                "d22,100f0,0",
                "d17,4000000f0,0",
                "w1d3,3000000f0,0",
                "w2d1,100f0,0",
            ] {
                yard.run(0, &root, &format!("w0p<>m<{method}>{shape}s199,1,2"), &[to]);
                assert_unharmed(&mut yard, &format!("{method} with {shape}"));
            }
            yard.run(0, &root, "w0p<>ud0,0f0,0s199,1,2", &[to]);
            assert_unharmed(&mut yard, "a lone surrogate for a method");
        }
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn promises_that_settle_to_anything() {
    alone(module_path!(), "promises_that_settle_to_anything", || {
        let mut yard = Yard::whole();
        let (root, admin) = yard.vat(0, &wasm());
        for shape in ["d2,60000", "d3,3000000", "d4,1000000", "d7,1000000", "d11,9900000", "d22,9"]
        {
            for rejected in [0, 1] {
                // The admin object is sent the promise, and messages to the promise come back to whoever it settles to.
                let give = "w0p<>f2,1d14,1m<terminateWithFailure>s199,1,2";
                let program = format!("{give}f0,0{shape}r1,{rejected},0");
                yard.run(0, &root, &program, &[&admin]);
                assert_unharmed(&mut yard, &format!("{program}, {rejected}"));
            }
        }
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn how_vats_end() {
    alone(module_path!(), "how_vats_end", || {
        let mut yard = Yard::whole();
        for end in [
            "e40000000",
            "e10000001",
            "e65537",
            "e0",
            "f0,0d3,3000000x0",
            "f0,0d3,3000000x1",
            "f0,0d2,2000000x1",
            "f0,0d11,9000000x1",
            "f0,0d7,1500000x1",
            "f0,0d22,9x1",
            "f0,0d6,9x0",
            "f2,9999d14,0x1",
            "v0",
            "v1",
            "v2",
            "v3",
            "v5",
            "v6",
            "v7",
            "v8,255,100",
            "z99,10",
            "s202,1,0",
            "s203,1,2",
        ] {
            let (root, admin) = yard.vat(0, &wasm());
            yard.run(0, &root, end, &[]);
            let told = yard.send(0, &admin, "done", "#[]", &[]);
            assert_unharmed(&mut yard, end);
            // Whoever asks is told why, in a few kilobytes.
            assert_ne!(told["status"], "pending", "{end}");
            let body = told["value"]["body"].as_str().unwrap_or_default().len();
            assert!(body < 100_000, "{end}: {body} bytes tell why");
        }
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn texts_with_lone_surrogates() {
    alone(module_path!(), "texts_with_lone_surrogates", || {
        let mut yard = Yard::whole();
        let (root, admin) = yard.vat(0, &js_vat());
        for (steps, slots, fulfilled) in [
            ("[\"throw\",11,1]", &[][..], false),
            ("[\"throw\",4,1]", &[], false),
            ("[\"log\",1,4,1]", &[], true),
            ("[\"answer\",4,1]", &[], true),
            ("[\"answer\",5,1]", &[], true),
            ("[\"answer\",8,3]", &[], true),
            ("[\"knock\",\"$0\",0]", &[admin.as_str()], false),
            ("[\"knock\",\"$0\",0]", &[root.as_str()], false),
            ("[\"store\",\"m\",1,4,2]", &[], true),
        ] {
            let answer = yard.send(0, &root, "run", &format!("#[{steps}]"), slots);
            let expected = if fulfilled { "fulfilled" } else { "rejected" };
            assert_eq!(answer["status"], expected, "{steps}: {answer}");
            let body = answer["value"]["body"].as_str().unwrap_or_default();
            assert!(!tells_of_an_end(body), "{steps}: {body}");
            assert_unharmed(&mut yard, steps);
        }
        // It lives.
        let alive = yard.send(0, &root, "run", "#[[\"answer\",0,0]]", &[]);
        assert_eq!(alive["status"], "fulfilled", "{alive}");
        // A key of such a text, and long ones: no end of the vat that the caller cannot foresee.
        for steps in ["[\"oddKey\",1]", "[\"longKey\",70000]", "[\"longKey\",60000]"] {
            yard.send(0, &root, "run", &format!("#[{steps}]"), &[]);
            assert_unharmed(&mut yard, steps);
        }
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn a_token_that_is_given_for_a_thousand_wakeups_and_cancelled() {
    alone(module_path!(), "a_token_that_is_given_for_a_thousand_wakeups_and_cancelled", || {
        let mut yard = Yard::whole();
        let (root, _) = yard.vat(0, &js_vat());
        let timer = yard.send(0, "factory", "lookup", "#[\"chain/timer\"]", &[]);
        let timer = timer["value"]["slots"][0].as_str().unwrap().to_owned();
        let steps = "[\"cancelling\",\"$0\",1900000000,1000]";
        let answer = yard.send(0, &root, "run", &format!("#[{steps}]"), &[&timer]);
        assert_eq!(answer["status"], "fulfilled", "{answer}");
        // Others are woken as ever.
        yard.twins.time += 5;
        let asked = yard.send(2, "factory", "lookup", "#[\"chain/timer\"]", &[]);
        let timer = asked["value"]["slots"][0].as_str().unwrap().to_owned();
        let woken = yard.send(2, &timer, "wakeAt", "#[\"+5\"]", &[]);
        assert_eq!(woken["status"], "fulfilled", "{woken}");
        assert_unharmed(&mut yard, steps);
        yard.assert_unharmed(&SYSTEM);
    });
}

#[test]
fn odd_options_from_a_vat_that_was_given_the_factory() {
    alone(module_path!(), "odd_options_from_a_vat_that_was_given_the_factory", || {
        let mut yard = Yard::whole();
        let (root, _) = yard.vat(0, &js_vat());
        let id = js_vat().id;
        let rows = yard.twins.json(&format!("clists/{}", yard.address(0))).unwrap();
        let rows = rows["entries"].as_array().unwrap();
        // The account's first import is its factory.
        let factory = rows
            .iter()
            .filter_map(|row| row["eref"].as_str())
            .find(|eref| *eref == "ro-50")
            .unwrap();
        let steps = format!("[\"oddOption\",\"$0\",\"{id}\"]");
        let answer = yard.send(0, &root, "run", &format!("#[{steps}]"), &[factory]);
        assert_eq!(answer["status"], "rejected", "{answer}");
        let body = answer["value"]["body"].as_str().unwrap();
        assert!(!tells_of_an_end(body), "{body}");
        for kind in 0..20 {
            let steps = format!("[\"send\",\"$0\",2,\"createVat\",{kind},3000]");
            yard.send(0, &root, "run", &format!("#[{steps}]"), &[factory]);
            assert_unharmed(&mut yard, &steps);
        }
        yard.assert_unharmed(&SYSTEM);
    });
}
