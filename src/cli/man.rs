//! `man`: the manual pages, one a command, made from the parser's declaration.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use crate::cli::arguments::Arguments;
use crate::cli::exit::{Complaint, Exit};
use crate::files;

/// Writes `credbroker.1` and `credbroker-COMMAND.1` into `directory`.
pub(super) fn run(directory: &Path) -> Result<Exit, Complaint> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .map_err(|error| {
            Complaint::new(
                Exit::Usage,
                format!(
                    "{} cannot be written: {}; name another directory",
                    directory.display(),
                    files::said(&error)
                ),
            )
        })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path()).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = directory.path().join(format!("credbroker-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_usage_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let complaint = run(&file.path().join("man")).unwrap_err();
        assert_eq!(complaint.exit, Exit::Usage);
        assert!(
            complaint.message.ends_with(": Not a directory; name another directory"),
            "{complaint}"
        );
    }
}
