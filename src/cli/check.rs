//! `check`: what the daemon would serve, or every fault of its configuration.

use std::path::PathBuf;

use crate::cli::exit::{Complaint, Exit};

/// Replaced when the command is merged.
pub(super) fn run(config: Option<PathBuf>, as_user: Option<&str>) -> Result<Exit, Complaint> {
    let _ = (config, as_user);
    Err(Complaint::new(Exit::Internal, "this build has no check"))
}
