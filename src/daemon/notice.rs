//! Word to people: a line in the log, and a command of theirs, when one of them is needed or a session is about to end.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tracing::{info, warn};

use crate::broker::{Broker, Errand, Need};
use crate::child;
use crate::model::{CommandLine, ProfileName, timestamp};

/// Tells people, as long as it is run, of what waits for them, each thing once; by the log, and by `command`, in whose
/// arguments `{message}` is replaced.
///
/// It looks when a lease that may need a person changes, and when the next session is about to end.
pub(super) async fn tell(broker: Broker, command: Option<CommandLine>) {
    let mut news = broker.people_news();
    let mut told = Told::default();
    let mut notifier = command.map(|command| Notifier { command, failing: false });
    loop {
        news.mark_unchanged();
        for message in told.news(&broker.waiting()) {
            warn!("{message}");
            if let Some(notifier) = &mut notifier {
                notifier.tell(&message).await;
            }
        }
        let now = broker.clock().now();
        let rest = broker.next_warning().map(|at| at.duration_since(now).unwrap_or_default());
        let alarm = async {
            match rest {
                Some(rest) => sleep(rest.max(LEAST_REST)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = alarm => {}
            heard = news.changed() => if heard.is_err() { return },
        }
    }
}

/// What people have been told of and still waits.
#[derive(Debug, Default)]
struct Told(BTreeSet<Event>);

/// What people are told of once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    need: Need,
    /// Two profiles may each want a code of their own of one device.
    first: Option<ProfileName>,
    /// When the session ends that is still held; its end is news of its own.
    expires: Option<SystemTime>,
}

impl Told {
    /// What is new in `waiting`, as people are told it; what waits no longer is forgotten.
    fn news(&mut self, waiting: &[Errand]) -> Vec<String> {
        let event = |errand: &Errand| Event {
            need: errand.need.clone(),
            first: errand.profiles.first().cloned(),
            expires: errand.expires,
        };
        let present = waiting.iter().map(event).collect();
        let before = std::mem::replace(&mut self.0, present);
        let new = waiting.iter().filter(|errand| !before.contains(&event(errand)));
        new.filter_map(message).collect()
    }
}

/// One line for a person: what, for which profiles, and the remedy.
fn message(errand: &Errand) -> Option<String> {
    let first = errand.profiles.first()?;
    let shown: Vec<_> = errand.profiles.iter().take(SHOWN).map(ProfileName::as_str).collect();
    let more = match errand.profiles.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let profiles = format!("{}{more}", shown.join(", "));
    let first = first.in_shell();
    Some(match (&errand.need, errand.expires) {
        (Need::Code(device), Some(expires)) => format!(
            "the session of {} (for {profiles}) ends at {}; run: credbroker login {first}",
            device.serial,
            timestamp(expires)
        ),
        (need, _) => format!("{need} is needed (for {profiles}); run: credbroker login {first}"),
    })
}

/// The command that tells a person.
struct Notifier {
    command: CommandLine,
    /// Whether it failed the last time, which is said once.
    failing: bool,
}

impl Notifier {
    async fn tell(&mut self, message: &str) {
        let arguments = self.command.arguments().iter();
        let arguments: Vec<_> =
            arguments.map(|argument| argument.replace("{message}", message)).collect();
        let told = child::output(self.command.program(), &arguments, DEADLINE, MAX_OUTPUT).await;
        match told {
            Ok(_) if self.failing => {
                self.failing = false;
                info!("the notify command works again");
            }
            Err(fault) if !self.failing => {
                self.failing = true;
                warn!("the notify command {} {fault}", self.command);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// How many profiles a message names.
const SHOWN: usize = 5;

/// So that a clock that is set back makes no spin.
const LEAST_REST: Duration = Duration::from_secs(1);

/// How long the command may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the command may print, in bytes; nobody reads it.
const MAX_OUTPUT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CodeSource, MfaDevice, MfaSerial};

    fn errand(profiles: &[&str], expires: Option<SystemTime>) -> Errand {
        let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
        Errand {
            need: Need::Code(MfaDevice { serial, code: CodeSource::Prompt }),
            profiles: profiles.iter().map(|name| ProfileName::parse(name).unwrap()).collect(),
            since: Some(SystemTime::UNIX_EPOCH),
            expires,
            why: None,
        }
    }

    #[test]
    fn each_thing_is_told_once_and_again_when_it_comes_again() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let mut told = Told::default();
        let ends = "the session of arn:aws:iam::123456789012:mfa/me (for admin, deploy) ends at \
                    2027-01-15T08:00:00Z; run: credbroker login admin";
        let needed = "the MFA code of arn:aws:iam::123456789012:mfa/me is needed (for admin, deploy); \
                      run: credbroker login admin";
        let profiles = ["admin", "deploy"];
        assert_eq!(told.news(&[errand(&profiles, Some(end))]), [ends]);
        assert!(told.news(&[errand(&profiles, Some(end))]).is_empty());
        assert_eq!(told.news(&[errand(&profiles, None)]), [needed]);
        assert!(told.news(&[errand(&profiles, None)]).is_empty());
        assert!(told.news(&[]).is_empty());
        assert_eq!(told.news(&[errand(&profiles, None)]), [needed]);
    }

    #[test]
    fn a_crowd_is_counted() {
        let told = Told::default().news(&[errand(&["a", "b", "c", "d", "e", "f", "g"], None)]);
        assert!(told[0].contains("(for a, b, c, d, e and 2 more)"), "{}", told[0]);
    }

    #[tokio::test]
    async fn the_command_gets_the_message_and_fails_in_peace() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("said");
        let script = format!("printf %s \"$1\" > {}", file.display());
        let words = ["sh", "-c", &script, "sh", "note: {message}"].map(str::to_owned);
        let mut notifier =
            Notifier { command: CommandLine::new(words.to_vec()).unwrap(), failing: false };
        notifier.tell("it's $HOME; `now`").await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "note: it's $HOME; `now`");
        assert!(!notifier.failing);
        notifier.command = CommandLine::new(vec!["/nonexistent".to_owned()]).unwrap();
        notifier.tell("x").await;
        assert!(notifier.failing);
    }
}
