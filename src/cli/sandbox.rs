//! `sandbox`: the strict STS alone.

use std::path::PathBuf;

use crate::cli::exit::{Complaint, Exit};

/// Replaced when the command is merged.
pub(super) fn run(
    config: Option<PathBuf>,
    address: std::net::SocketAddr,
) -> Result<Exit, Complaint> {
    let _ = (config, address);
    Err(Complaint::new(Exit::Internal, "this build has no sandbox"))
}
