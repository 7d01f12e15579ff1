//! `capstan run` and `capstan shell`: what SwingSet's first README promised of a base directory, and more.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::{Done, PATIENCE, Place, checkout, done};
use serde_json::{Value, json};

fn basedir(name: &str) -> String {
    checkout().join("cli/tests/basedirs").join(name).display().to_string()
}

fn example() -> String {
    checkout().join("examples/encouragement-bot").display().to_string()
}

/// `capstan shell` with these lines as its standard input.
fn shell(place: &Place, args: &[&str], script: &str) -> Done {
    let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
    // The shell may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
    done(child.wait_with_output().unwrap())
}

#[test]
fn the_encouragement_bot_runs_and_prints_as_it_goes() {
    let place = Place::new();
    let done = place.run(&["run", &example(), "--", "Ada"]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "introducing Ada",
            "an encourager for Ada",
            "Ada hears: Ada, you are doing well",
            "Ada hears: Ada, that was the hard part",
            "bootstrap fulfilled: 2",
        ]
    );
}

/// The README's `setup` with `makeLiveSlots`, `buildRootObject(E)`, argv, vats by name, the order of a
/// wavy dot's effects, a rejected promise, and pipelining. Its text is in `basedirs/first-years`.
#[test]
fn sources_of_the_first_years_run_as_they_did() {
    let place = Place::new();
    let args = ["run", &basedir("first-years"), "--json", "--", "x1", "x2", "x3"];
    let done = place.run(&args);
    let expected = json!({
        "status": "fulfilled",
        "value": [3, "bar", "rejected bad", "db/7", "bar"],
    });
    assert_eq!(done.json()["bootstrap"], expected, "{done:?}");
    let said = &done.stderr;
    assert!(said.contains("argv x1 x2 x3; vats left right"), "{said}");
    assert!(said.contains("left.callRight 1\n") && said.contains("right.bar 2\n"), "{said}");
    assert!(said.contains("left.then 2 ~.half(2) -1 x~.y\n"), "{said}");
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text} is not in {said}"));
    assert!(at("wavy dot called") < at("foo called"), "{said}");
}

/// The bundler warns of uses of any others.
#[test]
fn the_globals_that_the_bundler_knows_are_those_of_a_vat() {
    let place = Place::new();
    let dir = place.path().join("globals");
    std::fs::create_dir(&dir).unwrap();
    let source = "import { Far } from '@endo/far';\n\
                  const names = () => harden(Object.getOwnPropertyNames(globalThis).sort());\n\
                  export const buildRootObject = () => Far('root', { bootstrap: names });\n";
    std::fs::write(dir.join("bootstrap.js"), source).unwrap();
    let done = place.run(&["run", &dir.display().to_string(), "--json"]);
    let tool = checkout().join("vat/js/tools/vat-globals.mjs");
    let script = format!(
        "import {{ VAT_GLOBALS }} from 'file://{}'; console.log(JSON.stringify([...VAT_GLOBALS].sort()))",
        tool.display()
    );
    let node = Command::new("node").args(["--input-type=module", "-e", &script]).output().unwrap();
    let known: Value = serde_json::from_slice(&node.stdout).unwrap();
    assert_eq!(done.json()["bootstrap"]["value"], known, "{done:?}");
}

#[test]
fn a_rejected_bootstrap_and_a_vat_that_fails_are_failures_with_reasons() {
    let place = Place::new();
    let done = place.run(&["run", &basedir("rejects"), "--", "way"]);
    done.assert_failed(1, "bootstrap was rejected: TypeError: no way");
    place.run(&["run", &basedir("fails")]).assert_failed(1, "(weak) failed: ");
}

#[test]
fn a_home_keeps_the_state_and_belongs_to_its_sources() {
    let place = Place::new();
    let home = place.path().join("kept").display().to_string();
    let sources = place.path().join("sources");
    copy(&checkout().join("examples/encouragement-bot"), &sources);
    let sources_text = sources.display().to_string();
    let args = ["run", &sources_text, "--home", &home, "--json", "--", "Ada"];
    let first = place.run(&args).json();
    assert_eq!(first["bootstrap"]["value"], json!(2));
    assert!(first["cranks"].as_u64().unwrap() > 10, "{first}");
    // Nothing is left to do, and bootstrap is not called again.
    let second = place.run(&args);
    assert_eq!(second.json()["bootstrap"], first["bootstrap"]);
    assert_eq!(second.json()["cranks"], json!(0));
    assert!(!second.stderr.contains("introducing"), "{second:?}");
    let other = ["run", &sources_text, "--home", &home, "--", "Grace"];
    place.run(&other).assert_failed(1, "bootstrap was called already");
    place.run(&["shell", &sources_text, "--home", &home]).assert_failed(1, "made by capstan run");
    std::fs::write(sources.join("vat-user.js"), "export const buildRootObject = () => {};")
        .unwrap();
    place.run(&args).assert_failed(1, "other sources of vat user");
}

#[test]
fn what_is_no_base_directory_is_refused_with_what_is_wrong() {
    let place = Place::new();
    let dir = place.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    let dir_text = dir.display().to_string();
    let run = || place.run(&["run", &dir_text]);
    place.run(&["run", "nowhere"]).assert_failed(1, "there is no directory nowhere");
    run().assert_failed(1, "has no bootstrap.js");
    let sound = "export const buildRootObject = () => {};";
    for (file, source, problem) in [
        ("bootstrap.js", "export const x = 1;", "exports neither buildRootObject nor"),
        (
            "bootstrap.js",
            "export const = 1;",
            "bootstrap.js:1:14: Unexpected token\n  1 | export const = 1;\n",
        ),
        ("bootstrap.js", sound, ""),
        ("vat-vatAdmin.js", sound, "the name vatAdmin is the system's"),
        ("vat-a b.js", sound, "a vat's name is"),
        ("vat-a.js", "x~.y = 3", "vat-a.js:1:"),
    ] {
        std::fs::write(dir.join(file), source).unwrap();
        if !problem.is_empty() {
            run().assert_failed(1, problem);
            std::fs::remove_file(dir.join(file)).unwrap();
        }
    }
}

#[test]
fn a_shell_steps_through_the_kernel_and_keeps_what_is_declared() {
    let place = Place::new();
    let script = "\
        dump()\n\
        step(2)\n\
        run()\n\
        const bob = E(bot).encouragerFor('Bob')\n\
        let { length } = await bob~.encourage(), twice = n => 2 * n\n\
        [length, twice(21), 7n, bob, vats.user, 'a~.b']\n\
        function f() {\n\
          return { n: Far('thing', { m() {} }), e: Error('no') }\n\
        }\n\
        f()\n\
        await new Promise((resolve, reject) => reject(7)).catch(why => why + 1)\n\
        undefined\n\
        E(bob).encourage().then(x => console.log(x)); 'sent'\n\
        dump()\n\
        run()\n\
        await E(bob).count()\n";
    let done = shell(&place, &["shell", &example(), "--", "Ada"], script);
    assert_eq!(done.code, 0, "{done:?}");
    let said = &done.stdout;
    for expected in [
        "startVat",
        r#"bootstrap(["Ada"]"#,
        "2 cranks; more is to be done",
        "Ada hears: Ada, that was the hard part",
        "nothing is left to do",
        "[ 23, 42, 7n, [Promise], [Alleged: root], \"a~.b\" ]",
        "{ n: [Alleged: thing], e: [Error: no] }",
        "\n8\n\"sent\"\n",
        "encourage()",
        "Bob, that was the hard part",
    ] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    assert!(said.ends_with("\n2\n"), "{said}");
    assert!(!said.lines().any(|line| line == "undefined"), "{said}");
}

#[test]
fn a_line_that_fails_ends_a_script_and_says_which_it_was() {
    let place = Place::new();
    let args = ["shell", &example()];
    for (script, problem) in [
        ("1\nnull.x\n2\n", "line 2: TypeError: "),
        ("foo bar\n", "line 1: SyntaxError: Missing semicolon"),
        ("run()\nE(bot).nothing()\n", "line 2: TypeError: target has no method \"nothing\""),
        ("run()\nnew Promise(() => {})\n", "nobody has settled"),
        ("const x = {\n", "the last line is not complete"),
        ("1 + step()\n", "line 1: Error: step() is a command"),
        ("const right = 1\nrigth + 1\n", "line 2: ReferenceError: rigth is not defined"),
        ("const x = nothing.y\n", "line 1: ReferenceError: nothing is not defined"),
        ("lost = 1\n", "line 1: ReferenceError: lost is not defined"),
    ] {
        let done = shell(&place, &args, script);
        done.assert_failed(1, problem);
        assert!(!done.stdout.contains("2\n"), "{done:?}");
    }
}

#[test]
fn names_exist_once_they_are_declared() {
    let place = Place::new();
    let script = "\
        typeof later\n\
        const f = () => later\n\
        (() => { try { return f() } catch (error) { return String(error) } })()\n\
        typeof later\n\
        let later = 5\n\
        f() + later\n\
        later = 6; later\n\
        await (async () => { const { a, b: [c] } = { a: 1, b: [2] }; return a + c })()\n";
    let done = shell(&place, &["shell", &example(), "--json"], script);
    let expected = [
        "\"undefined\"",
        "undefined",
        "\"ReferenceError: later is not defined\"",
        "\"undefined\"",
        "undefined",
        "10",
        "6",
        "3",
    ];
    assert_eq!(values(&done), expected.map(|text| json!(text)));
}

#[test]
fn help_lists_each_name_with_a_line() {
    let place = Place::new();
    let done = shell(&place, &["shell", &example()], "const mine = 1\nhelp\n");
    assert_eq!(done.code, 0, "{done:?}");
    for (name, about) in [
        ("E ", "sends a message"),
        ("bot ", "the root of vat bot"),
        ("mine ", "declared here"),
        ("run() ", "executes cranks"),
        ("upgrade ", "gives a vat the code"),
    ] {
        let line = done.stdout.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.contains(about)), "{name}: {done:?}");
    }
    let json = shell(&place, &["shell", &example(), "--json"], "help()\n").json();
    assert!(json["help"].as_array().unwrap().iter().any(|one| one["name"] == "bot"), "{json}");
}

/// A shell on a terminal.
#[cfg(target_os = "linux")]
struct Terminal {
    child: Child,
    shown: Receiver<Vec<u8>>,
    said: String,
}

#[cfg(target_os = "linux")]
impl Terminal {
    fn new(place: &Place) -> Self {
        let program = env!("CARGO_BIN_EXE_capstan");
        let shell = format!("'{program}' shell '{}' --home kept", example());
        let mut script = Command::new("script");
        script.args(["-qec", &shell, "/dev/null"]).current_dir(place.path()).env("TERM", "xterm");
        script.env("CAPSTAN_CACHE", common::cache()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                drop(sender.send(bytes[..count].to_vec()));
            }
        });
        Self { child, shown, said: String::new() }
    }

    /// Types, once the terminal has shown these texts in this order.
    fn type_after(&mut self, texts: &[&str], typed: &str) {
        let has_shown = |said: &str| {
            let after = |rest: Option<usize>, text: &&str| {
                let from = rest?;
                said[from..].find(*text).map(|at| from + at + text.len())
            };
            texts.iter().fold(Some(0), after).is_some()
        };
        while !has_shown(&self.said) {
            let bytes =
                self.shown.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{}", self.said));
            self.said.push_str(&String::from_utf8_lossy(&bytes));
        }
        self.child.stdin.as_mut().unwrap().write_all(typed.as_bytes()).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_keeps_every_line_that_is_pasted() {
    // Without and with the marks that terminals put around a paste.
    let lines = "const f = x => {\rreturn x + 1\r}\rf(1000)\rrun()\rf(2000)\r";
    let marked = format!("\x1b[200~{}\x1b[201~\r", lines.trim_end());
    for text in [lines, &marked] {
        let place = Place::new();
        let mut terminal = Terminal::new(&place);
        terminal.type_after(&["capstan> "], &format!("{text}f(3000)\r"));
        let shown = ["1001", "nothing is left to do", "2001", "3001", "capstan> "];
        // Ctrl-C drops a statement that is not complete.
        terminal.type_after(&shown, "{ 1 +\r\x03");
        terminal.type_after(&[&shown[..], &["...", "capstan> "]].concat(), "4000 + 1\r");
        terminal.type_after(&[&shown[..], &["4001", "capstan> "]].concat(), "\x04");
        assert!(terminal.child.wait().unwrap().success(), "{}", terminal.said);
        let history = std::fs::read_to_string(place.path().join("kept/shell-history")).unwrap();
        let expected = "const f = x => {\nreturn x + 1\n}\nf(1000)\nrun()\nf(2000)\nf(3000)\n{ 1 +\n4000 + 1\n";
        assert_eq!(history, expected);
    }
}

#[test]
fn a_shell_goes_on_in_its_home() {
    let place = Place::new();
    let home = place.path().join("kept").display().to_string();
    let args = ["shell", &example(), "--home", &home, "--json"];
    let first = shell(
        &place,
        &args,
        "run()\nconst x = await E(bot).encouragerFor('Bob')\nx~.encourage()\n",
    );
    assert_eq!(values(&first).last(), Some(&json!("\"Bob, you are doing well\"")), "{first:?}");
    let second = shell(&place, &args, "x~.encourage()\n");
    assert_eq!(values(&second), [json!("\"Bob, that was the hard part\"")], "{second:?}");
}

/// The values that a shell printed as JSON.
fn values(done: &Done) -> Vec<Value> {
    assert_eq!(done.code, 0, "{done:?}");
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"].clone();
    done.stdout.lines().map(parse).collect()
}

fn copy(from: &std::path::Path, to: &PathBuf) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
