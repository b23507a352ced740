//! `login`: what waits for a person is shown, and answered.

mod conversation;
mod watch;

use std::time::Duration;

use crate::cli::arguments::Login;
use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::terminal::Terminal;
use crate::cli::{print, table};
use crate::endpoint::control::wire::{LoginStep, Waiting, WaitingList};
use crate::model::{Clock, ProfileName};

pub(super) use conversation::{Voice, supply};

/// Shows what waits; with a profile, does what is to be done for it.
pub(super) fn run(daemon: &Daemon, wish: &Login) -> Result<Exit, Complaint> {
    match &wish.profile {
        profile if wish.watch => watch::run(daemon, profile.as_ref()),
        None => {
            let list = daemon.waiting()?;
            print::report(&if wish.json { print::json(&list) } else { render(&list) })?;
            Ok(Exit::Success)
        }
        Some(profile) => {
            let voice = match wish.code.as_deref() {
                None => Terminal::open().map_or(Voice::Nobody, Voice::Terminal),
                Some("-") => Voice::Pipe,
                Some(_) => {
                    let message = "a code is not written on the command line, where others see it; \
                                   pipe it in, with: --code -";
                    return Err(Complaint::new(Exit::Usage, message));
                }
            };
            log_in(daemon, profile, voice)
        }
    }
}

fn log_in(daemon: &Daemon, profile: &ProfileName, mut voice: Voice) -> Result<Exit, Complaint> {
    let (what, step) = conversation::hold(daemon, profile, &mut voice)?;
    let text = match step {
        LoginStep::Done { expires } => {
            let when = table::when(Some(&expires), Clock::system().now());
            format!("{profile}: logged in{what}; the session ends {when} ({expires})\n")
        }
        LoginStep::Authorize { .. } | LoginStep::Code(_) | LoginStep::Nothing => {
            format!("{profile}: nothing to do, no person is needed for it\n")
        }
    };
    print::report(&text)?;
    Ok(Exit::Success)
}

fn render(list: &WaitingList) -> String {
    if list.waiting.is_empty() {
        return "nothing waits for you; to begin a session early: credbroker login PROFILE\n"
            .to_owned();
    }
    let now = Clock::system().now();
    let rows = list.waiting.iter().map(|waiting| {
        vec![
            name(waiting).to_owned(),
            waiting.profiles.join(", "),
            table::when(waiting.since.as_deref(), now),
            table::when(waiting.expires.as_deref(), now),
        ]
    });
    let table = table::columns(&["WAITS FOR", "PROFILES", "SINCE", "SESSION ENDS"], rows);
    let first = list.waiting.iter().find_map(|waiting| waiting.profiles.first());
    let first = first.and_then(|first| ProfileName::parse(first).ok());
    let remedy = first.map(|first| format!("\nrun: credbroker login {}\n", first.in_shell()));
    table + &remedy.unwrap_or_default()
}

/// The device, or the provider, that a person has to do with.
fn name(waiting: &Waiting) -> &str {
    waiting.mfa_serial.as_deref().or(waiting.issuer.as_deref()).unwrap_or("-")
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "a client command has no runtime, and this is its one thread"
)]
pub(super) fn rest(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::timestamp;

    #[test]
    fn what_waits_is_a_table_with_the_remedy_below() {
        let now = Clock::system().now();
        let waiting = vec![
            Waiting {
                mfa_serial: Some("arn:aws:iam::123456789012:mfa/me".into()),
                issuer: None,
                profiles: vec!["admin".into(), "deploy".into()],
                since: Some(timestamp(now - Duration::from_secs(30 * 60 + 30))),
                expires: None,
                why: None,
            },
            Waiting {
                mfa_serial: None,
                issuer: Some("https://sso/realms/demo".into()),
                profiles: vec!["workload".into()],
                since: Some(timestamp(now - Duration::from_secs(5 * 60 + 30))),
                expires: Some(timestamp(now + Duration::from_secs(9 * 60 + 30))),
                why: None,
            },
        ];
        assert_eq!(
            render(&WaitingList { waiting }),
            "\
WAITS FOR                         PROFILES       SINCE       SESSION ENDS
arn:aws:iam::123456789012:mfa/me  admin, deploy  30 min ago  -
https://sso/realms/demo           workload       5 min ago   in 9 min

run: credbroker login admin
"
        );
        assert!(render(&WaitingList { waiting: Vec::new() }).starts_with("nothing waits"));
    }
}
