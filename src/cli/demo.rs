//! `demo`: a sandbox and a daemon in a throw-away directory.

use std::path::PathBuf;

use crate::cli::exit::{Complaint, Exit};

/// Replaced when the command is merged.
pub(super) fn run(directory: Option<PathBuf>) -> Result<Exit, Complaint> {
    drop(directory);
    Err(Complaint::new(Exit::Internal, "this build has no demo"))
}
