//! What this process uses: CPU time and memory.

use std::time::Duration;

/// The CPU time of this process so far, of all its threads.
pub(super) fn cpu_time() -> Duration {
    // SAFETY: `time` is a plain record that the call fills in.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
        time
    };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Starts the measurement of [`peak_bytes`] anew.
pub(super) fn forget_peak() {
    // Where the kernel does not allow it, the peak is that of the whole process, which is worse than the truth.
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

/// The most memory that this process had since [`forget_peak`].
pub(super) fn peak_bytes() -> u64 {
    status("VmHWM:")
}

/// The memory that this process has.
pub(super) fn resident_bytes() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kb: u64 =
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kb << 10
}
