//! Clocks and counters of this process.

use std::{path::Path, time::Instant};

/// Measures small durable writes. Their time is the part of every commit that the disk takes.
pub(crate) fn fsyncs(dir: &Path) -> Vec<Spent> {
    use std::io::Write;
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join("fsync");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut times = Vec::new();
    for _ in 0..50 {
        file.write_all(&[7; 4096]).unwrap();
        let began = Clock::now();
        file.sync_data().unwrap();
        times.push(Clock::now().since(&began));
    }
    std::fs::remove_file(path).unwrap();
    times
}

/// Returns the resident memory of this process in megabytes, or zero where there is no procfs.
pub(crate) fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1e3
}

/// CPU time and written bytes of all threads of this process so far. Other load on the machine does not change them.
pub(crate) struct Process {
    pub(crate) cpu_ms: f64,
    pub(crate) written_mb: f64,
}

impl Process {
    pub(crate) fn now() -> Self {
        // Zero where there is no procfs.
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        let written = line.and_then(|line| line.parse::<f64>().ok()).unwrap_or(0.0);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // User and system time, fields 14 and 15 of `proc_pid_stat(5)`, in ticks of 10 ms, counted from behind the name.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum();
        Self { cpu_ms: ticks * 10.0, written_mb: written / 1e6 }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms - earlier.cpu_ms,
            written_mb: self.written_mb - earlier.written_mb,
        }
    }
}

/// A point in time, with this thread's CPU time up to it.
pub(crate) struct Clock {
    wall: Instant,
    pub(crate) cpu_ms: f64,
}

/// Elapsed time, and the CPU time of this thread within it. The rest is time of the disk or of other programs.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall_ms: f64,
    pub(crate) cpu_ms: f64,
}

impl Clock {
    pub(crate) fn now() -> Self {
        // Zero where there is no procfs.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds =
            text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
        Self { wall: Instant::now(), cpu_ms: nanoseconds.unwrap_or(0.0) / 1e6 }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        Spent {
            wall_ms: (self.wall - earlier.wall).as_secs_f64() * 1e3,
            cpu_ms: self.cpu_ms - earlier.cpu_ms,
        }
    }
}

/// Returns the seconds since a point in time.
pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
