//! Tests in processes of their own: what is tested may end the process, and others should not end with it.

use std::process::Command;

/// Tells a process which test it is there for.
const TEST: &str = "CAPSTAN_TEST_ALONE";

/// Runs the body of the test of that name in a process of its own.
///
/// # Panics
/// If the body fails or the process ends otherwise: with what it printed.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(TEST).is_ok_and(|name| name == test) {
        return body();
    }
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(TEST, test)
        .output()
        .unwrap();
    let (out, errors) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{}\n{out}\n{errors}", done.status);
}
