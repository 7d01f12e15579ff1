//! `capstan logs`: prints what the vats of a node printed, and how they failed and ended.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use capstan_app::{VatLevel, VatLine, own_frames};
use capstan_files::one_line;
use capstan_node::config::Config;
use serde_json::json;
use tendermint::Time;

use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::Output;

/// Interval at which the file is looked at for more.
const EVERY: Duration = Duration::from_millis(200);

/// Arguments of `capstan logs`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan logs -f tally\n\n\
    Each line has the time, the block's height and the crank, the vat's id and name, the level and the text. An error\n\
    is followed by its frames: function, module of the bundle, line and column. Those of Endo's and Agoric's packages\n\
    are only counted, unless --all-frames is given. The node writes this log to its home (log.vats in config.toml), also\n\
    while it is not shown. With --json each line is an object: its text is exact, and time_ms is in milliseconds since\n\
    1970, by the node's clock.")]
pub(crate) struct Logs {
    /// Go on with what is printed from now on, until Ctrl-C.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Number of lines that are printed from the end.
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
    lines: usize,
    /// Print the frames of Endo's and Agoric's packages too.
    #[arg(long)]
    all_frames: bool,
    /// Least level that is printed.
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "info")]
    level: Level,
    /// Id or name of the vat whose lines are printed. Without it, those of all vats.
    #[arg(value_name = "VAT")]
    vat: Option<String>,
}

/// Levels by their names.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Level> for VatLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}

impl Logs {
    pub(crate) fn run(&self, common: &Common, output: Output) -> anyhow::Result<()> {
        let home = home::path(common)?;
        let log = Config::load(&home)?.log;
        if log.vats.is_empty() {
            return Err(usage(format!(
                "the node of {} keeps no log of vats: log.vats in its config.toml is empty",
                home.display()
            )));
        }
        let path = home.join(&log.vats);
        let mut newest = Tail::open(&path).with_context(|| {
            format!(
                "there is no log of vats at {}: a node writes it into its home, which --home names",
                path.display()
            )
        })?;
        let (mut last, mut named) = (VecDeque::new(), Named::default());
        let mut keep = |line: VatLine| {
            named.note(&line, self.vat.as_deref());
            if self.lines > 0 && self.shows(&line) {
                if last.len() >= self.lines {
                    last.pop_front();
                }
                last.push_back(line);
            }
            Ok(())
        };
        for number in (1..=log.vats_keep).rev() {
            let rotated = PathBuf::from(format!("{}.{number}", path.display()));
            if let Ok(mut file) = Tail::open(&rotated) {
                file.read(&mut keep)?;
            }
        }
        newest.read(&mut keep)?;
        for line in last {
            match self.show(output, &line) {
                // Nobody reads on, as with `head`.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                shown => shown?,
            }
        }
        match (&self.vat, named.is_met) {
            (Some(vat), false) if self.follow => output.note("waiting", &named.missing(vat)),
            (Some(vat), false) => return Err(usage(named.missing(vat))),
            _ => {}
        }
        if self.follow { self.follow(output, &path, newest) } else { Ok(()) }
    }

    fn follow(&self, output: Output, path: &Path, mut file: Tail) -> anyhow::Result<()> {
        let mut print = |line: VatLine| match self.shows(&line) {
            true => self.show(output, &line),
            false => Ok(()),
        };
        loop {
            std::thread::sleep(EVERY);
            // The file is looked at before it is read: what was put aside gets no more lines.
            let is_aside = !file.is_at(path);
            file.read(&mut print)?;
            if is_aside && let Ok(next) = Tail::open(path) {
                file = next;
            }
        }
    }

    fn shows(&self, line: &VatLine) -> bool {
        line.level <= self.level.into() && self.vat.as_ref().is_none_or(|vat| is_about(line, vat))
    }

    fn show(&self, output: Output, line: &VatLine) -> io::Result<()> {
        output.stream(&json!(line), || for_people(line, self.all_frames))
    }
}

/// Returns whether a line is about the vat with this id or name.
fn is_about(line: &VatLine, vat: &str) -> bool {
    line.vat == vat || line.name == vat
}

/// The vats that a log is about.
#[derive(Default)]
struct Named {
    vats: BTreeSet<(String, String)>,
    /// Whether a line was about the vat that is asked for.
    is_met: bool,
}

impl Named {
    fn note(&mut self, line: &VatLine, asked: Option<&str>) {
        self.is_met |= asked.is_some_and(|vat| is_about(line, vat));
        if self.vats.len() < MAX_NAMED {
            self.vats.insert((line.vat.clone(), line.name.clone()));
        }
    }

    /// Returns the text that says that no line is about a vat, and whom the log is about.
    fn missing(&self, vat: &str) -> String {
        let vats: Vec<String> =
            self.vats.iter().map(|(id, name)| format!("{id} {name}").trim().to_owned()).collect();
        let (more, there) = match (self.vats.len() >= MAX_NAMED, vats.is_empty()) {
            (_, true) => ("", "no line yet".to_owned()),
            (true, _) => (" and others", vats.join(", ")),
            (false, _) => ("", vats.join(", ")),
        };
        format!("the log has no line of a vat {vat:?}; it has {there}{more}")
    }
}

/// Number of vats that an error names at most.
const MAX_NAMED: usize = 50;

/// A file that is read to its end again and again.
struct Tail {
    file: BufReader<File>,
    number: u64,
    /// A line whose end was not written yet.
    begun: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let number = file.metadata()?.ino();
        Ok(Self { file: BufReader::new(file), number, begun: Vec::new() })
    }

    /// Returns whether the path still names this file.
    fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.ino() == self.number)
    }

    /// Hands over the lines that have come since. What is no line was cut by the end of a process.
    fn read(&mut self, each: &mut dyn FnMut(VatLine) -> io::Result<()>) -> io::Result<()> {
        while self.file.read_until(b'\n', &mut self.begun)? > 0 {
            if self.begun.last() != Some(&b'\n') {
                continue;
            }
            if let Ok(line) = serde_json::from_slice(&self.begun) {
                each(line)?;
            }
            self.begun.clear();
        }
        Ok(())
    }
}

/// Returns a line of text. Nothing in it can look like another line.
fn for_people(line: &VatLine, all_frames: bool) -> String {
    let VatLine { height, crank, vat, level, .. } = line;
    let name = if line.name.is_empty() { "-" } else { &line.name };
    let time = shown_time(line.time_ms);
    let message = line.message();
    let message = if all_frames { message } else { own_frames(&message) };
    format!("{time} {height}/{crank} {vat} {} {level:5} {}", one_line(name), one_line(&message))
}

/// Returns a time as in RFC 3339, always with milliseconds.
fn shown_time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).ok();
    match seconds.and_then(|seconds| Time::from_unix_timestamp(seconds, 0).ok()) {
        Some(time) => {
            format!("{}.{:03}Z", time.to_rfc3339().trim_end_matches('Z'), millis % 1000)
        }
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, text: &str) -> VatLine {
        VatLine {
            time_ms: 1_700_000_000_250,
            height: 9,
            crank: 41,
            vat: "v3".to_owned(),
            name: name.to_owned(),
            level: VatLevel::Warn,
            source: "vat".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_line_stays_one_line_whatever_was_printed() {
        let shown = for_people(&line("tally", "two\nlines\u{1b}[2J"), false);
        assert_eq!(shown, r"2023-11-14T22:13:20.250Z 9/41 v3 tally warn  two\nlines\u{1b}[2J");
        let liveslots = VatLine { source: "liveslots".to_owned(), ..line("", "x") };
        assert_eq!(
            for_people(&liveslots, false),
            "2023-11-14T22:13:20.250Z 9/41 v3 - warn  liveslots: x"
        );
        assert_eq!(shown_time(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
    }

    #[test]
    fn a_vat_that_is_not_there_is_told_with_those_that_are() {
        let mut named = Named::default();
        assert!(named.missing("x").ends_with("it has no line yet"));
        named.note(&line("tally", "x"), Some("x"));
        assert!(!named.is_met && named.missing("x").ends_with("it has v3 tally"));
        named.note(&line("tally", "x"), Some("v3"));
        assert!(named.is_met);
    }

    #[test]
    fn lines_are_chosen_by_vat_and_level() {
        let logs = |vat: Option<&str>, level| Logs {
            follow: false,
            all_frames: false,
            lines: 1,
            level,
            vat: vat.map(str::to_owned),
        };
        let warning = line("tally", "x");
        for (vat, level, shown) in [
            (None, Level::Info, true),
            (None, Level::Error, false),
            (Some("v3"), Level::Warn, true),
            (Some("tally"), Level::Debug, true),
            (Some("v33"), Level::Debug, false),
        ] {
            assert_eq!(logs(vat, level).shows(&warning), shown);
        }
    }

    #[test]
    fn a_file_is_read_in_whole_lines_and_known_after_it_was_put_aside() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vats.jsonl");
        let text = serde_json::to_string(&line("tally", "one")).unwrap();
        let mut out = File::create(&path).unwrap();
        write!(out, "{text}\nnot json\n{}", &text[..10]).unwrap();
        let mut file = Tail::open(&path).unwrap();
        let read = |file: &mut Tail| {
            let mut count = 0;
            let mut each = |_| {
                count += 1;
                Ok(())
            };
            file.read(&mut each).unwrap();
            count
        };
        assert_eq!(read(&mut file), 1);
        writeln!(out, "{}", &text[10..]).unwrap();
        assert_eq!((read(&mut file), read(&mut file)), (1, 0));
        assert!(file.is_at(&path));
        std::fs::rename(&path, dir.path().join("vats.jsonl.1")).unwrap();
        File::create(&path).unwrap();
        assert!(!file.is_at(&path));
        writeln!(out, "{text}").unwrap();
        assert_eq!(read(&mut file), 1);
    }
}
