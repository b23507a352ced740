//! `forget`: lets a profile's credentials go.

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, status};
use crate::model::ProfileName;

/// Drops the lease and says how the profile stands then: one that is kept is taken anew at once.
pub(super) fn run(daemon: &Daemon, profile: &ProfileName) -> Result<Exit, Complaint> {
    let left = daemon.forget(profile)?;
    print::report(&format!("{}: forgotten, now {}\n", left.profile, status::word(left.state)))?;
    Ok(Exit::Success)
}
