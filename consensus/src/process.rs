//! Child processes.

use std::io;

/// To be called between fork and exec: the child is killed when the thread that started it ends, so that nobody is
/// left behind who holds ports and files.
pub fn die_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: no pointers are passed.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends a signal to a child that was not waited for, or to a child of its.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: no pointers are passed. A process that has ended meanwhile gets nothing.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}
