//! The one place of this crate with `unsafe`: a call between `fork` and `exec`.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

/// Starts a child that is killed when the calling thread ends, so that it never keeps ports and files of a dead parent.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn_bound(command: &mut Command) -> io::Result<Child> {
    // SAFETY: `die_with_parent` makes one system call. It allocates nothing and takes no lock, as is required between
    // `fork` and `exec`.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn()
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> io::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    Ok(set_parent_process_death_signal(Some(Signal::Kill))?)
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}
