//! The program that runs an account's object under Node, as hostile callers meet it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const OBJECT: &str = "\
export const makeObject = ({ E }) => ({
  ask: target => E(target).go(),
  take: (...all) => all.length,
  wait: ({ promise }) => promise.then(() => 'fulfilled', error => `rejected: ${error.message}`),
});
";

struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
    _dir: tempfile::TempDir,
}

impl Program {
    /// Starts the program with so many megabytes of heap.
    fn new(heap: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("object.mjs");
        std::fs::write(&file, OBJECT).unwrap();
        let mut child = Command::new("node")
            .arg(script())
            .arg(&file)
            .args(["ro+1", "2", "[]"])
            .env("NODE_OPTIONS", format!("--max-old-space-size={heap}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, lines, _dir: dir };
        assert_eq!(program.next()["t"], "ready");
        program
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the program goes on")
    }

    fn entry(&mut self, entry: u64, delivery: Value) {
        self.tell(&json!({"t": "entry", "entry": entry, "delivery": delivery}));
    }

    fn call(&mut self, entry: u64, body: &str, slots: &[String]) {
        let methargs = json!({"body": body, "slots": slots});
        let message = json!({"methargs": methargs, "result": format!("rp-{entry}")});
        self.entry(entry, json!(["message", "ro+1", message]));
        self.tell(&json!({"t": "start", "entry": entry}));
    }

    fn tell(&mut self, line: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vat/js/tools/serve.mjs")
}

#[test]
fn a_syntax_error_is_shown_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.js");
    std::fs::write(&file, "const ok = 1;\nexport const makeObject = () => ({ a b });\n").unwrap();
    let args = ["ro+1", "2", "[]"];
    let done = Command::new("node").arg(script()).arg(&file).args(args).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    for part in ["broken.js:2\n", "({ a b })", "SyntaxError: Unexpected identifier"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // One in a module that it imports is none of this file.
    std::fs::write(dir.path().join("other.mjs"), "export const other = ;").unwrap();
    std::fs::write(&file, "import { other } from './other.mjs';\n").unwrap();
    let done = Command::new("node").arg(script()).arg(&file).args(args).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("SyntaxError") && !done.status.success(), "{said}");
}

#[test]
fn a_result_that_is_told_before_its_message_is_in_a_block_is_not_lost() {
    let mut program = Program::new(64);
    program.call(1, "#[\"ask\",[\"$0.Alleged: x\"]]", &["ro-50".to_owned()]);
    let send = program.next();
    assert_eq!((&send["t"], &send["target"]), (&json!("send"), &json!("ro-50")));
    let resolution = json!(["rp-9", false, {"body": "#7", "slots": []}]);
    program.entry(2, json!(["notify", [resolution]]));
    let sent = json!({"t": "sent", "id": send["id"], "promise": "rp-9"});
    writeln!(program.child.stdin.as_mut().unwrap(), "{sent}").unwrap();
    let answer = program.next();
    assert_eq!((&answer["t"], &answer["body"]), (&json!("answer"), &json!("#7")));
}

#[test]
fn objects_that_callers_pass_do_not_stay_in_memory() {
    const EACH: usize = 2_000;
    let mut program = Program::new(48);
    let args: Vec<String> = (0..EACH).map(|n| format!("\"${n}.Alleged: x\"")).collect();
    let body = format!("#[\"take\",[{}]]", args.join(","));
    for call in 0..60 {
        let first = 50 + call as usize * EACH;
        let slots: Vec<String> = (first..first + EACH).map(|n| format!("ro-{n}")).collect();
        program.call(call, &body, &slots);
        assert_eq!(program.next()["body"], format!("#{EACH}"));
    }
}

#[test]
fn a_promise_may_be_settled_right_after_the_call_that_brings_it() {
    let mut program = Program::new(200);
    program.call(1, "#[\"wait\",[{\"promise\":\"&0\"}]]", &["rp-77".to_owned()]);
    let data = json!({"body": "#7", "slots": []});
    program.entry(2, json!(["notify", [["rp-77", false, data]]]));
    assert_eq!(program.next()["body"], "#\"fulfilled\"");
}

#[test]
fn a_call_that_cannot_be_read_is_rejected() {
    let mut program = Program::new(200);
    program.call(1, "#[", &[]);
    assert_eq!(program.next()["rejected"], true);
}

#[test]
fn a_promise_that_is_settled_with_garbage_is_rejected() {
    let mut program = Program::new(200);
    program.call(1, "#[\"wait\",[{\"promise\":\"&0\"}]]", &["rp-77".to_owned()]);
    let garbage = json!({"body": "#[", "slots": []});
    program.entry(2, json!(["notify", [["rp-77", false, garbage]]]));
    let body = program.next()["body"].to_string();
    assert!(body.contains("settled with what cannot be read"), "{body}");
}

#[test]
fn a_call_runs_when_it_is_told_to_and_reads_its_arguments_before() {
    let mut program = Program::new(200);
    let methargs = json!({"body": "#[\"wait\",[{\"promise\":\"&0\"}]]", "slots": ["rp-77"]});
    let message = json!({"methargs": methargs, "result": "rp-1"});
    program.entry(1, json!(["message", "ro+1", message]));
    let data = json!({"body": "#7", "slots": []});
    program.entry(2, json!(["notify", [["rp-77", false, data]]]));
    // What is told later is answered first: the call has not begun.
    program.call(3, "#[\"nothing\",[]]", &[]);
    assert_eq!(program.next()["entry"], 3);
    program.tell(&json!({"t": "start", "entry": 1}));
    let answer = program.next();
    assert_eq!((&answer["entry"], &answer["body"]), (&json!(1), &json!("#\"fulfilled\"")));
}
