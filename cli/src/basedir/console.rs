//! The console of vats, printed as it comes.

use std::fmt;

use capstan_files::printable;
use tracing::{Event, Level, Subscriber, field::Field, field::Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Prints what vats print from now on: to standard output, or if that is for JSON, to standard error. Warnings of
/// this program's own go there too.
pub(crate) fn show(to_stderr: bool) {
    let filter = EnvFilter::new("warn,vat=info");
    let lines = tracing_subscriber::fmt().with_env_filter(filter).event_format(Lines);
    // Only a second subscriber is refused, and there is none before it.
    let _ = match to_stderr {
        true => lines.with_writer(std::io::stderr).try_init(),
        false => lines.with_writer(std::io::stdout).try_init(),
    };
}

/// Formats an event as its message alone. Warnings and errors of the program itself are marked.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let is_vat = event.metadata().target() == "vat";
        let mut message = Message { text: String::new(), is_alone: is_vat };
        event.record(&mut message);
        let text = printable(&message.text);
        match (event.metadata().target(), *event.metadata().level()) {
            ("vat", _) => writeln!(writer, "{text}"),
            (_, Level::ERROR) => writeln!(writer, "error: {text}"),
            _ => writeln!(writer, "warning: {text}"),
        }
    }
}

/// The message of an event, and its other fields unless it stands alone.
struct Message {
    text: String,
    is_alone: bool,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let done = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            _ if self.is_alone => Ok(()),
            name => write!(self.text, " {name}={value:?}"),
        };
        // Writing to a string cannot fail.
        let _ = done;
    }
}
