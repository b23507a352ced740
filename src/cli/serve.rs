//! `serve`: the daemon.

use std::path::PathBuf;

use crate::cli::exit::{Complaint, Exit};
use crate::telemetry::LogFormat;

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: Option<PathBuf>, log_format: LogFormat) -> Result<Exit, Complaint> {
    let _ = (config, log_format);
    Err(Complaint::new(Exit::Internal, "this build has no daemon"))
}
