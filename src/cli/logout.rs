//! `logout`: ends the sessions that people have begun.

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, status};
use crate::model::ProfileName;

/// Ends the sessions behind a profile; without one, those behind all, and every ticket.
pub(super) fn run(daemon: &Daemon, profile: Option<&ProfileName>) -> Result<Exit, Complaint> {
    let text = if let Some(profile) = profile {
        let left = daemon.log_out(profile)?;
        format!(
            "{profile}: logged out, now {}; tickets live on, and end with: credbroker logout --all\n",
            status::word(left.state)
        )
    } else {
        let ended = daemon.log_out_of_all()?;
        let tickets = if ended.tickets_ended {
            "every ticket has ended"
        } else {
            "tickets live on, for you do not manage every profile"
        };
        format!("logged out of {}; {tickets}\n", ended.profiles.join(", "))
    };
    print::report(&text)?;
    Ok(Exit::Success)
}
