//! Sieges and searches in processes of their own: however one ends, its seed, its last block and that block's transactions,
//! or its last input, are told.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Profile, Siege, costs};

/// Environment variable that tells a process which siege to run: seed, profile and number of blocks.
const ORDER: &str = "CAPSTAN_ADVERSARY_SIEGE";
/// The lines of a siege that are told if it fails.
const LAST_LINES: usize = 60;

/// Lets one seed search for dear inputs for so many seconds, in a process of its own, whose output is shown. `test` is as of
/// [`watch`].
///
/// # Panics
/// If an input exceeds a bound, or ends the process.
pub fn watch_search(test: &str, seed: u64, seconds: u64, folder: &Path) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(ORDER, format!("{seed} Search {seconds} {}", folder.display()))
        .status()
        .unwrap();
    assert!(status.success(), "a search ended with {status}: ADVERSARY_SEED={seed}");
}

/// Lets one seed attack a chain for some blocks, in a process of its own. `test` is the name of the test that calls
/// [`besieged`], in the program of the caller.
///
/// # Panics
/// If the chain does not hold. The message has the seed.
pub fn watch(test: &str, seed: u64, profile: Profile, blocks: u64) {
    let order = format!("{seed} {profile:?} {blocks}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(ORDER, &order)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let mut last = VecDeque::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.unwrap());
    }
    let status = child.wait().unwrap();
    let errors = errors.join().unwrap().unwrap();
    assert!(
        status.success(),
        "the chain did not hold ({status}): ADVERSARY_SEED={seed}, {profile:?}\n{}\n{errors}",
        Vec::from(last).join("\n"),
    );
}

/// Runs the siege that this process was started for: the body of an ignored test.
pub fn besieged() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.splitn(4, ' ').collect();
    if words[1] == "Search" {
        let seconds = Duration::from_secs(words[2].parse().unwrap());
        return costs::search(words[0].parse().unwrap(), seconds, Path::new(words[3]));
    }
    let profile = if words[1] == "Usual" { Profile::Usual } else { Profile::Small };
    let mut siege = Siege::begin(words[0].parse().unwrap(), profile);
    for _ in 0..words[2].parse().unwrap() {
        siege.block();
    }
    siege.end();
}
