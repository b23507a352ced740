//! `man`: the manual pages, one a command, made from the parser's declaration.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use crate::cli::arguments::Arguments;
use crate::cli::exit::{Complaint, Exit};

/// Writes `credbroker.1` and `credbroker-COMMAND.1` into `directory`.
pub(super) fn run(directory: &Path) -> Result<Exit, Complaint> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .map_err(|error| {
            Complaint::new(
                Exit::Internal,
                format!("{} cannot be written: {error}; name another", directory.display()),
            )
        })?;
    Ok(Exit::Success)
}
