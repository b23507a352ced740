//! What the daemon says of itself: its log, journald's fields under systemd, lines of text or JSON elsewhere; and what it
//! counts, in [`meters`].
//!
//! Libraries are never logged below INFO, whatever is asked for: the SDK and the HTTP library print requests and
//! bodies there.

pub mod meters;

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Journald's native protocol, with fields.
    Journal,
    /// A JSON object a line, on standard error.
    Json,
    /// A line of text, on standard error.
    Text,
}

impl LogFormat {
    /// The form that fits where the process runs: the journal where systemd has connected standard error to it, else
    /// text.
    ///
    /// A service's `JOURNAL_STREAM` is inherited by what it starts, a terminal among it, so the stream that it names is
    /// compared with standard error's (systemd.exec(5)).
    #[must_use]
    pub fn detect() -> Self {
        let named = std::env::var_os("JOURNAL_STREAM");
        let stream = nix::sys::stat::fstat(io::stderr()).ok();
        let stream = stream.map(|it| format!("{}:{}", it.st_dev, it.st_ino));
        Self::of(named.as_deref(), stream.as_deref())
    }

    fn of(named: Option<&OsStr>, stream: Option<&str>) -> Self {
        match (named, stream) {
            (Some(named), Some(stream)) if named == stream => Self::Journal,
            _ => Self::Text,
        }
    }
}

/// Starts the log of this process at `level`; text where the journal does not answer. A second call does nothing.
pub fn start(format: LogFormat, level: LevelFilter) {
    let layer = layer(format).with_filter(targets(level));
    // A subscriber that is there already belongs to a test.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// What is logged at `level`: of this crate everything up to it, of libraries never more than INFO.
#[must_use]
pub fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

fn layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        LogFormat::Journal => match tracing_journald::layer() {
            Ok(layer) => layer
                .with_field_prefix(Some(FIELDS.to_owned()))
                .with_priority_mappings(PRIORITIES)
                .boxed(),
            Err(_) => layer_of_text(),
        },
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(io::stderr).boxed(),
        LogFormat::Text => layer_of_text(),
    }
}

fn layer_of_text<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(io::stderr)
        .boxed()
}

/// What the names of our fields begin with in the journal, so that `code` and `unit` are not taken for its own
/// (systemd.journal-fields(7)).
const FIELDS: &str = "CREDBROKER";

/// Ours at the priorities of the same names (syslog(3)); the library would make INFO a notice.
const PRIORITIES: PriorityMappings = PriorityMappings {
    error: Priority::Error,
    warn: Priority::Warning,
    info: Priority::Informational,
    debug: Priority::Debug,
    trace: Priority::Debug,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_never_logged_below_info() {
        for level in [LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE] {
            let targets = targets(level);
            for library in ["aws_sdk_sts", "aws_smithy_runtime", "hyper", "rustls"] {
                assert!(targets.would_enable(library, &tracing::Level::INFO), "{library}");
                assert!(!targets.would_enable(library, &tracing::Level::DEBUG), "{library}");
            }
        }
        assert!(
            targets(LevelFilter::DEBUG).would_enable("credbroker::audit", &tracing::Level::DEBUG)
        );
        assert!(!targets(LevelFilter::WARN).would_enable("hyper", &tracing::Level::INFO));
    }

    #[test]
    fn the_journal_is_used_where_standard_error_is_connected_to_it() {
        let journal = Some(OsStr::new("8:4711"));
        assert_eq!(LogFormat::of(journal, Some("8:4711")), LogFormat::Journal);
        assert_eq!(LogFormat::of(journal, Some("8:471")), LogFormat::Text);
        assert_eq!(LogFormat::of(journal, None), LogFormat::Text);
        assert_eq!(LogFormat::of(None, Some("8:4711")), LogFormat::Text);
    }
}
