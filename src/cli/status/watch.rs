//! `status --watch`: stays, and shows what changes, until the daemon ends.
//!
//! At a terminal the whole picture is drawn anew; elsewhere there is a line for each profile that has changed, or with
//! `--json` a document for each change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;

use crate::cli::client::{ClientFault, Daemon};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::login::rest;
use crate::cli::status::picture::{Picture, look};
use crate::cli::status::word;
use crate::cli::{print, table};
use crate::endpoint::control::wire::ProfileStatus;
use crate::model::{Clock, ProfileName, timestamp};

/// Shows all profiles, or one, until the daemon ends, which is a failure, or until Ctrl-C.
pub(in crate::cli) fn run(
    daemon: &Daemon,
    profile: Option<&ProfileName>,
    json: bool,
) -> Result<Exit, Complaint> {
    let mut view = match (json, io::stdout().is_terminal()) {
        (true, _) => View::Documents(Value::Null),
        (false, true) => View::Screen,
        (false, false) => View::Lines(BTreeMap::new()),
    };
    // A daemon that is not there from the start is a mistake; one that goes later has ended.
    let mut news = daemon.changes(None)?;
    loop {
        let picture = look(daemon, profile).map_err(ended)?;
        print::report(&view.of(&picture))?;
        rest(LEAST_REST);
        news = daemon.changes(Some(news.change)).map_err(ended)?;
        if news.ending {
            return Err(has_ended());
        }
    }
}

/// How changes are shown, and what was shown last.
enum View {
    Documents(Value),
    Lines(BTreeMap<String, Value>),
    Screen,
}

impl View {
    /// What is to be printed; nothing where nothing has changed.
    fn of(&mut self, picture: &Picture) -> String {
        let now = Clock::system().now();
        match self {
            Self::Documents(shown) => {
                let new = steady(serde_json::to_value(picture).unwrap_or_default());
                if new == *shown {
                    return String::new();
                }
                *shown = new;
                format!("{}\n", serde_json::to_string(picture).unwrap_or_default())
            }
            Self::Lines(shown) => {
                let mut text = String::new();
                let mut new = BTreeMap::new();
                for profile in picture.profiles() {
                    let fact = steady(serde_json::to_value(profile).unwrap_or_default());
                    if shown.get(&profile.profile) != Some(&fact) {
                        let _ = writeln!(text, "{}  {}", timestamp(now), line(profile));
                    }
                    new.insert(profile.profile.clone(), fact);
                }
                for name in shown.keys().filter(|name| !new.contains_key(*name)) {
                    let _ = writeln!(text, "{}  {name}: gone", timestamp(now));
                }
                *shown = new;
                text
            }
            Self::Screen => format!("{CLEAR}{}", picture.text(now)),
        }
    }
}

/// One profile, in a line.
fn line(profile: &ProfileStatus) -> String {
    let mut text = format!("{}: {}", profile.profile, word(profile.state));
    if let (Some(key), Some(expires)) = (&profile.access_key_id, &profile.expires) {
        let when = table::when(Some(expires), Clock::system().now());
        let _ = write!(text, ", {key}, expires {when}");
    }
    if let Some(trouble) = &profile.trouble {
        let _ = write!(text, "; {} ({})", trouble.message, trouble.code);
    }
    text
}

/// The same without what changes by the mere passing of time.
fn steady(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.remove("remaining_seconds");
            members.values_mut().for_each(|member| *member = steady(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = steady(item.take())),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
    value
}

/// What a fault means to who has had an answer already.
fn ended(fault: ClientFault) -> Complaint {
    match fault {
        ClientFault::Garbled(_) | ClientFault::NoDaemon(_) | ClientFault::Silent => has_ended(),
        ClientFault::Circle
        | ClientFault::Closed(_)
        | ClientFault::No(_)
        | ClientFault::Stranger { .. } => fault.into(),
    }
}

fn has_ended() -> Complaint {
    Complaint::new(Exit::NoDaemon, "the daemon has ended; start it, and run this again")
}

/// Puts the cursor at the top and clears what is below; what scrolled by before stays.
const CLEAR: &str = "\x1b[H\x1b[J";

/// The shortest time between two looks, however much happens.
const LEAST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_alone_is_no_change() {
        let one = serde_json::json!({"profiles": [{"profile": "a", "remaining_seconds": 9}]});
        let other = serde_json::json!({"profiles": [{"profile": "a", "remaining_seconds": 8}]});
        assert_eq!(steady(one), steady(other));
    }
}
