//! Child processes that end with their parent, and signals to them.
//!
//! Linux kills a child when its parent ends, and lists the children of a process. Other systems do neither: there a
//! child outlives a parent that is killed.

mod bound;

pub use bound::spawn_bound;
pub use rustix::process::{Signal, geteuid};

use rustix::process::{Pid, kill_process};

/// Sends a signal to a child that was not waited for, or to a child of such a child.
///
/// A process that has ended gets nothing.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The only errors are that the process has ended or belongs to another user.
        let _ = kill_process(pid, signal);
    }
}

/// Returns the ids of the children of a process. The result is empty if the operating system does not list them.
pub fn children(pid: u32) -> Vec<u32> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}
