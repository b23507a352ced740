//! The log: journald's fields under systemd, lines of text or JSON elsewhere.
//!
//! Libraries are never logged below INFO, whatever is asked for: the SDK and the HTTP library print requests and
//! bodies there.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
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
    /// The form that fits where the process runs: the journal where systemd has connected standard error to it
    /// (`JOURNAL_STREAM`, systemd.exec(5)), else text.
    #[must_use]
    pub fn detect() -> Self {
        if std::env::var_os("JOURNAL_STREAM").is_some() { Self::Journal } else { Self::Text }
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
            Ok(layer) => layer.with_field_prefix(None).boxed(),
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
