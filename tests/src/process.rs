//! Tests in processes of their own, for what may end the process: other tests must not end with it.

use std::process::Command;

/// Environment variable that names the one test for which a process was started.
const TEST: &str = "CAPSTAN_TEST_ALONE";

/// Runs the body of a test in a process of its own. `module` is the caller's `module_path!()`, and `test` the name of
/// its test function.
///
/// # Panics
/// If the body fails, if the process ends otherwise, or if it has no such test. The message has what it printed.
pub fn alone(module: &str, test: &str, body: impl FnOnce()) {
    // The harness names a test by its path within the test program.
    let test = match module.split_once("::") {
        Some((_, path)) => format!("{path}::{test}"),
        None => test.to_owned(),
    };
    if std::env::var(TEST).is_ok_and(|name| name == test) {
        return body();
    }
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(TEST, &test)
        .output()
        .unwrap();
    let (out, errors) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let ran = done.status.success() && out.contains("test result: ok. 1 passed");
    assert!(ran, "{test}: {}\n{out}\n{errors}", done.status);
}
