//! The arguments of `serve`.

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::cli::arguments::Config;
use crate::telemetry;

/// Arguments of `serve`.
#[derive(Args)]
pub(in crate::cli) struct Serve {
    #[command(flatten)]
    pub(in crate::cli) config: Config,
    /// How to log [default: journal where systemd listens, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// The least of what is logged; of libraries nothing below info, whatever is said here
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

impl Serve {
    /// How the log is written: as it was said, else as it fits where the process runs.
    pub(super) fn log_format(&self) -> telemetry::LogFormat {
        self.log_format.map_or_else(telemetry::LogFormat::detect, Into::into)
    }

    /// The least of what is logged.
    pub(super) fn log_level(&self) -> LevelFilter {
        match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

/// How the daemon logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Journald's own protocol, with fields
    Journal,
    /// One JSON object a line
    Json,
    /// Lines for people
    Text,
}

impl From<LogFormat> for telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Journal => Self::Journal,
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

/// How much the daemon logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    /// What the daemon itself has done wrong
    Error,
    /// What somebody should look at
    Warn,
    /// What happens to profiles
    Info,
    /// Each time that credentials are lent
    Debug,
}
