//! `completions`: a shell's completion script, made from the parser's declaration.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::arguments::Arguments;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::print;

/// Prints the script.
pub(super) fn run(shell: Shell) -> Result<Exit, Complaint> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "credbroker", &mut script);
    print::report(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
