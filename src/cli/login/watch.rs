//! `login --watch`: stays, says what begins to wait, and asks for it where there is a terminal.

use std::time::Duration;

use crate::cli::client::{ClientFault, Daemon};
use crate::cli::exit::{Complaint, Exit, warn};
use crate::cli::login::conversation::{Voice, hold};
use crate::cli::login::{name, rest};
use crate::cli::terminal::Terminal;
use crate::cli::{print, table};
use crate::endpoint::control::wire::{LoginStep, Waiting};
use crate::model::{Clock, ProfileName, timestamp};

/// Runs until Ctrl-C; with a profile, only what serves that counts.
pub(super) fn run(daemon: &Daemon, profile: Option<&ProfileName>) -> Result<Exit, Complaint> {
    // A daemon that is not there from the start is a mistake; one that goes later may come back.
    let mut list = daemon.waiting()?;
    let mut known: Vec<Waiting> = Vec::new();
    let mut away = false;
    loop {
        let concerns = |waiting: &Waiting| match profile {
            None => true,
            Some(profile) => waiting.profiles.iter().any(|name| name == profile.as_str()),
        };
        let present: Vec<_> = list.waiting.into_iter().filter(concerns).collect();
        let new: Vec<_> =
            present.iter().filter(|it| !known.iter().any(|other| is_same(it, other))).collect();
        for waiting in new {
            print::report(&line(waiting))?;
            ask(daemon, profile, waiting)?;
        }
        known = present;
        rest(GLANCE);
        list = loop {
            match daemon.waiting() {
                Ok(list) => break list,
                Err(fault @ (ClientFault::NoDaemon(_) | ClientFault::Silent)) => {
                    if !away {
                        warn(&Complaint::from(fault));
                        away = true;
                    }
                    rest(GLANCE);
                }
                Err(fault) => return Err(fault.into()),
            }
        };
        away = false;
    }
}

/// Has the person answer; who does not want to is asked again when something has changed.
fn ask(daemon: &Daemon, profile: Option<&ProfileName>, waiting: &Waiting) -> Result<(), Complaint> {
    let Some(terminal) = Terminal::of_person() else { return Ok(()) };
    let first = waiting.profiles.first().and_then(|name| ProfileName::parse(name).ok());
    let Some(profile) = profile.cloned().or(first) else { return Ok(()) };
    match hold(daemon, &profile, &mut Voice::Terminal(terminal)) {
        Ok((what, LoginStep::Done { expires })) => {
            let when = table::when(Some(&expires), Clock::system().now());
            print::report(&format!("{}  logged in{what}; the session ends {when}\n", time()))
        }
        Ok(_) => Ok(()),
        Err(complaint) => {
            warn(&complaint);
            Ok(())
        }
    }
}

fn line(waiting: &Waiting) -> String {
    let profiles = waiting.profiles.join(", ");
    let name = name(waiting);
    let now = Clock::system().now();
    match (&waiting.mfa_serial, waiting.expires.as_deref()) {
        (Some(_), Some(expires)) => {
            let when = table::when(Some(expires), now);
            format!("{}  the session of {name} (for {profiles}) ends {when}\n", time())
        }
        (Some(_), None) => format!("{}  {name} waits for a code (for {profiles})\n", time()),
        (None, _) => format!("{}  {name} waits for a login (for {profiles})\n", time()),
    }
}

/// Whether two looks saw the same: what waits, for whom, and whether a session is still held.
fn is_same(one: &Waiting, other: &Waiting) -> bool {
    (&one.mfa_serial, &one.issuer, &one.expires, one.profiles.first())
        == (&other.mfa_serial, &other.issuer, &other.expires, other.profiles.first())
}

fn time() -> String {
    timestamp(Clock::system().now())
}

/// How often the daemon is looked at.
const GLANCE: Duration = Duration::from_secs(3);
