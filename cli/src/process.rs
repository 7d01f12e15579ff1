//! Logs, addresses and signals, for commands that run until they are stopped.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::exit;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use capstan_files::{RotatingFile, Rotation, one_line};
use capstan_node::config::{Config, Log, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::failure::usage;

/// Time for which a signal waits for a node that is starting. Nothing is lost if the process ends without it.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Exit code of a process that a signal ended before its work was done, as shells have it for SIGINT.
pub(crate) const INTERRUPTED: i32 = 130;

/// Sets up the log of the node in `home`, on standard error or in a file. `filter` comes from [`log_filter`].
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn init_logs(filter: EnvFilter, home: &Path, log: &Log) -> anyhow::Result<()> {
    let to = match log.file.as_str() {
        "" => BoxMakeWriter::new(std::io::stderr),
        name => {
            let path = home.join(name);
            let rotation = Rotation {
                max_bytes: log.file_max_mib.saturating_mul(1 << 20),
                keep: log.file_keep,
            };
            let file = RotatingFile::append(&path, rotation)
                .with_context(|| format!("cannot write the log {} (log.file)", path.display()))?;
            BoxMakeWriter::new(Mutex::new(LogFile(file)))
        }
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(to);
    match log.format {
        // A vat's line may not look like lines of the node. The fields of an event are where strangers' texts are.
        LogFormat::Text => logs.with_ansi(false).fmt_fields(debug_fn(field).delimited(" ")).init(),
        LogFormat::Json => logs.with_ansi(false).json().init(),
    }
    Ok(())
}

/// The file of a log. The log writes each event at once, so none is cut by a rotation.
struct LogFile(RotatingFile);

impl Write for LogFile {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write(event)?;
        self.0.flush()?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a field of an event to a text log.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(writer, "{}", one_line(&value)),
        name => write!(writer, "{name}={}", one_line(&value)),
    }
}

/// Filters before those of the operator. The libraries of the servers warn of what clients do wrong, a line each time. The
/// operator's filters for the same libraries replace these.
const QUIET: &str = "h2=error,hyper=error,axum=off";

/// Reads what is logged: the value of `--log` if it is given, else that of `log.level` in config.toml. What clients of
/// the servers do wrong is left out unless it names the libraries `h2`, `hyper` or `axum`.
///
/// # Errors
/// Wrong usage, which names the flag or the option.
pub(crate) fn log_filter(given: Option<&str>, config: &Config) -> anyhow::Result<EnvFilter> {
    let (name, level) = match given {
        Some(level) => ("--log", level),
        None => ("log.level", config.log.level.as_str()),
    };
    let wrong = |error| usage(format!("{name} {level:?}: {error}; try warn, info or debug"));
    // An error names the operator's text alone.
    EnvFilter::try_new(level).map_err(wrong)?;
    EnvFilter::try_new(format!("{QUIET},{level}")).map_err(wrong)
}

/// Reads an address to listen on, the value of the flag or option `name`.
///
/// # Errors
/// Wrong usage, which names the flag or the option.
pub(crate) fn listen_addr(name: &str, text: &str) -> anyhow::Result<SocketAddr> {
    let addr = text.trim_start_matches("tcp://").trim_start_matches("http://");
    addr.parse().map_err(|_| {
        usage(format!("{name} {text:?} is no address; write IP:PORT, as in 127.0.0.1:26657"))
    })
}

/// The part of a signal's work that is known only once a node has started.
pub(crate) type Stop = Box<dyn FnOnce() + Send>;

/// Ends a node at the first signal, also one that is still starting: a signal then waits a moment for the [`Stop`] that is
/// sent once there is something to stop. A process that does not get so far ends by itself, which loses nothing.
pub(crate) fn on_signal_from_now() -> anyhow::Result<mpsc::Sender<Stop>> {
    let (tell, told) = mpsc::channel::<Stop>();
    on_signal(move || match told.recv_timeout(START_PATIENCE) {
        Ok(stop) => stop(),
        Err(_) => exit(INTERRUPTED),
    })?;
    Ok(tell)
}

/// Calls `stop` at the first signal to end. A second signal ends the process at once, which is safe too.
pub(crate) fn on_signal(stop: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut next = || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            })
        };
        next();
        stop();
        next();
        exit(INTERRUPTED);
    })?;
    Ok(())
}
