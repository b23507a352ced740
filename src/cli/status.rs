//! `status`: what the daemon holds, and how it stands with each profile.

mod confinement;
mod picture;
mod watch;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::status::picture::{Picture, look};
use crate::cli::{print, table};
use crate::endpoint::control::wire::{
    ConfigurationStatus, ProfileState, ProfileStatus, Status, StoreStatus, StsStatus,
};
use crate::model::{Clock, ProfileName, Skew};

pub(super) use watch::run as watch;

/// Prints the state of all profiles, or of one, by which it then exits.
pub(super) fn run(
    daemon: &Daemon,
    profile: Option<&ProfileName>,
    json: bool,
) -> Result<Exit, Complaint> {
    let picture = look(daemon, profile)?;
    let now = Clock::system().now();
    print::report(&if json { print::json(&picture) } else { picture.text(now) })?;
    Ok(match picture {
        Picture::All(_) => Exit::Success,
        Picture::One(profile) => profile.state.into(),
    })
}

/// The state's word, as people say it.
pub(super) fn word(state: ProfileState) -> &'static str {
    match state {
        ProfileState::Asking => "asking",
        ProfileState::Held => "held",
        ProfileState::Idle => "idle",
        ProfileState::Misconfigured => "misconfigured",
        ProfileState::PersonNeeded => "person needed",
        ProfileState::Refused => "refused",
        ProfileState::Unreachable => "unreachable",
    }
}

fn render(status: &Status, now: SystemTime) -> String {
    let mut text = format!(
        "credbroker {}, process {}, started {}\n",
        status.version,
        status.pid,
        table::when(Some(&status.started), now)
    );
    text.push_str(&render_store(&status.store));
    if let Some(trouble) = &status.audit_trouble {
        let _ = writeln!(text, "audit: {trouble}");
    }
    if let Some(configuration) = &status.configuration {
        text.push_str(&render_configuration(configuration, now));
    }
    text.extend(status.confinement.as_ref().map(confinement::render));
    let endpoints = status.endpoints.iter().map(|endpoint| {
        vec![endpoint.kind.clone(), endpoint.name.clone(), endpoint.address.clone()]
    });
    if !status.endpoints.is_empty() {
        text.push('\n');
        text.push_str(&table::columns(&["ENDPOINT", "NAME", "ADDRESS"], endpoints));
    }
    if !status.profiles.is_empty() {
        text.push('\n');
        text.push_str(&render_profiles(&status.profiles, now));
    }
    let sessions: BTreeSet<_> = status.profiles.iter().filter_map(|it| it.mfa.as_ref()).collect();
    if !sessions.is_empty() {
        text.push('\n');
        let rows = sessions.into_iter().map(|session| {
            let ends = table::when(session.expires.as_deref(), now);
            vec![session.serial.clone(), word(session.state).to_owned(), ends]
        });
        text.push_str(&table::columns(&["MFA SESSION", "STATE", "ENDS"], rows));
    }
    let odd: Vec<_> = status.sts.iter().flat_map(oddities).collect();
    if !odd.is_empty() {
        text.push('\n');
        for line in odd {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn render_store(store: &StoreStatus) -> String {
    let mut text = match &store.key {
        Some(key) => format!("sessions are sealed on disk, with the key in {key}\n"),
        None => "sessions are kept in memory alone\n".to_owned(),
    };
    if let Some(trouble) = &store.trouble {
        let _ = writeln!(text, "sessions: {trouble}");
    }
    if store.set_aside > 0 {
        let _ = writeln!(text, "sessions: {} set aside (*.bad), the log says why", store.set_aside);
    }
    text
}

fn render_configuration(configuration: &ConfigurationStatus, now: SystemTime) -> String {
    let file = configuration.file.as_deref().unwrap_or("the AWS shared files");
    let mut text =
        format!("configuration: {file}, read {}\n", table::when(Some(&configuration.read), now));
    if !configuration.faults.is_empty() {
        let since = table::when(configuration.faulty_since.as_deref(), now);
        let _ =
            writeln!(text, "\nChanged {since}, and not good, so that the old one stays in force:");
    }
    for fault in &configuration.faults {
        let _ = writeln!(text, "  {fault}");
    }
    if !configuration.pending.is_empty() {
        text.push_str("\nNot in force yet:\n");
    }
    for what in &configuration.pending {
        let _ = writeln!(text, "  {what}");
    }
    text
}

/// What is not as usual with an STS, a line each.
fn oddities(it: &StsStatus) -> impl Iterator<Item = String> {
    let name = &it.sts;
    let clock = it.clock_ahead_seconds.map(|seconds| {
        let skew = Skew::of_seconds(seconds);
        format!("this machine's clock is {skew} that of {name}: set it (timedatectl)")
    });
    let pace = it.slowed_to.map(|rate| {
        let waiting = it.waiting;
        format!("{name} throttles or did not answer: asked {rate:.0} times a second at most, {waiting} wait")
    });
    clock.into_iter().chain(pace)
}

fn render_profiles(profiles: &[ProfileStatus], now: SystemTime) -> String {
    let header = ["PROFILE", "STATE", "KEY", "EXPIRES", "NEXT CALL", "SESSIONS"];
    let rows = profiles.iter().map(|profile| {
        vec![
            profile.profile.clone(),
            word(profile.state).to_owned(),
            profile.access_key_id.clone().unwrap_or_else(|| "-".to_owned()),
            table::when(profile.expires.as_deref(), now),
            next_call(profile.next_attempt.as_deref(), now),
            profile.issuances.to_string(),
        ]
    });
    let mut text = table::columns(&header, rows);
    for profile in profiles {
        if let Some(trouble) = &profile.trouble {
            let since = table::when(Some(&trouble.at), now);
            let (name, code, message) = (&profile.profile, &trouble.code, &trouble.message);
            let _ = write!(text, "\n{name}: {message} ({code}, {since})");
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn render_profile(profile: &ProfileStatus, now: SystemTime) -> String {
    let mut lines =
        vec![("profile", profile.profile.clone()), ("state", word(profile.state).to_owned())];
    lines.extend(profile.role_arn.clone().map(|role| ("role", role)));
    lines.extend(profile.session_of.clone().map(|what| ("session of", what)));
    lines.extend(profile.access_key_id.clone().map(|key| ("key", key)));
    let mut time = |label, at: Option<&str>, words: String| {
        lines.extend(at.map(|at| (label, format!("{words} ({at})"))));
    };
    time("issued", profile.issued.as_deref(), table::when(profile.issued.as_deref(), now));
    time("expires", profile.expires.as_deref(), table::when(profile.expires.as_deref(), now));
    time(
        "next call",
        profile.next_attempt.as_deref(),
        next_call(profile.next_attempt.as_deref(), now),
    );
    lines.push(("sessions", profile.issuances.to_string()));
    if let Some(mfa) = &profile.mfa {
        let ends = match mfa.expires.as_deref() {
            Some(at) => format!(", ends {} ({at})", table::when(Some(at), now)),
            None => String::new(),
        };
        lines.push(("mfa", format!("{}, {}{ends}", mfa.serial, word(mfa.state))));
    }
    if let Some(trouble) = &profile.trouble {
        let since = table::when(Some(&trouble.at), now);
        lines.push(("trouble", format!("{} ({}, {since})", trouble.message, trouble.code)));
    }
    table::facts(lines)
}

/// When the STS is called next; a time that has just passed is being kept.
fn next_call(at: Option<&str>, now: SystemTime) -> String {
    let words = table::when(at, now);
    if words.ends_with(" ago") { "now".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::wire::{EndpointStatus, MfaSession, Trouble};
    use crate::model::parse_timestamp;

    fn reader() -> ProfileStatus {
        ProfileStatus {
            profile: "reader".into(),
            role_arn: Some("arn:aws:iam::123456789012:role/Reader".into()),
            session_of: None,
            state: ProfileState::Held,
            access_key_id: Some("ASIAEXAMPLE".into()),
            issued: Some("2026-01-02T02:41:00Z".into()),
            expires: Some("2026-01-02T03:41:00Z".into()),
            remaining_seconds: Some(2460),
            next_attempt: Some("2026-01-02T03:11:30Z".into()),
            issuances: 3,
            trouble: None,
            mfa: None,
        }
    }

    fn store() -> StoreStatus {
        let key = Some("the file /var/lib/credbroker/store.key".into());
        StoreStatus { kind: "sealed".into(), key, trouble: None, set_aside: 0 }
    }

    fn ahead_and_slow() -> StsStatus {
        StsStatus {
            sts: "http://sts".into(),
            clock_ahead_seconds: Some(7200),
            slowed_to: Some(3.1),
            waiting: 7,
        }
    }

    fn refused() -> ProfileStatus {
        ProfileStatus {
            profile: "team/prod admin".into(),
            state: ProfileState::Refused,
            access_key_id: None,
            issued: None,
            expires: None,
            remaining_seconds: None,
            next_attempt: None,
            issuances: 0,
            trouble: Some(Trouble {
                code: "AccessDenied".into(),
                message: "the role does not trust you; ask its owner".into(),
                at: "2026-01-02T02:59:00Z".into(),
            }),
            ..reader()
        }
    }

    #[test]
    fn the_table_lines_up_and_trouble_stands_below() {
        let status = Status {
            version: "0.1.0".into(),
            pid: 42,
            started: "2026-01-01T22:00:00Z".into(),
            configuration: Some(ConfigurationStatus {
                file: Some("/etc/credbroker/config.toml".into()),
                read: "2026-01-02T02:00:00Z".into(),
                faults: vec![
                    "/etc/credbroker/config.toml:7:1: unknown key `x`; take it out".into(),
                ],
                faulty_since: Some("2026-01-02T02:57:00Z".into()),
                pending: vec!["state_dir takes effect with the next start".into()],
            }),
            confinement: None,
            endpoints: vec![EndpointStatus {
                name: "local".into(),
                kind: "container".into(),
                address: "127.0.0.1:9911".into(),
            }],
            audit_trouble: None,
            store: store(),
            profiles: vec![reader(), refused()],
            sts: Vec::new(),
        };
        let now = parse_timestamp("2026-01-02T03:00:00Z").unwrap();
        assert_eq!(
            render(&status, now),
            "\
credbroker 0.1.0, process 42, started 5 h ago
sessions are sealed on disk, with the key in the file /var/lib/credbroker/store.key
configuration: /etc/credbroker/config.toml, read 60 min ago

Changed 3 min ago, and not good, so that the old one stays in force:
  /etc/credbroker/config.toml:7:1: unknown key `x`; take it out

Not in force yet:
  state_dir takes effect with the next start

ENDPOINT   NAME   ADDRESS
container  local  127.0.0.1:9911

PROFILE          STATE    KEY          EXPIRES    NEXT CALL  SESSIONS
reader           held     ASIAEXAMPLE  in 41 min  in 11 min  3
team/prod admin  refused  -            -          -          0

team/prod admin: the role does not trust you; ask its owner (AccessDenied, 60 s ago)
"
        );
    }

    #[test]
    fn what_is_in_the_way_of_the_store_is_told() {
        let trouble = Some("the keyring is locked; sign in to the desktop".into());
        let waiting = StoreStatus { kind: "memory".into(), key: None, trouble, set_aside: 2 };
        assert_eq!(
            render_store(&waiting),
            "sessions are kept in memory alone\n\
             sessions: the keyring is locked; sign in to the desktop\n\
             sessions: 2 set aside (*.bad), the log says why\n"
        );
    }

    #[test]
    fn a_call_that_is_due_is_made_now() {
        let now = parse_timestamp("2026-01-02T03:11:31Z").unwrap();
        assert!(render_profile(&reader(), now).contains("next call   now (2026-01-02T03:11:30Z)"));
    }

    #[test]
    fn one_profile_is_told_in_full() {
        let now = parse_timestamp("2026-01-02T03:00:00Z").unwrap();
        assert_eq!(
            render_profile(&reader(), now),
            "\
profile     reader
state       held
role        arn:aws:iam::123456789012:role/Reader
key         ASIAEXAMPLE
issued      19 min ago (2026-01-02T02:41:00Z)
expires     in 41 min (2026-01-02T03:41:00Z)
next call   in 11 min (2026-01-02T03:11:30Z)
sessions    3
"
        );
    }
    #[test]
    fn the_session_of_a_device_is_told_once_for_all_profiles() {
        let now = parse_timestamp("2026-01-02T03:00:00Z").unwrap();
        let mfa = Some(MfaSession {
            serial: "arn:aws:iam::123456789012:mfa/me".into(),
            state: ProfileState::Held,
            expires: Some("2026-01-02T14:10:00Z".into()),
        });
        let admin = ProfileStatus { mfa, ..reader() };
        let told = render_profile(&admin, now);
        assert!(
            told.ends_with(
                "mfa         arn:aws:iam::123456789012:mfa/me, held, ends in 11 h (2026-01-02T14:10:00Z)\n"
            ),
            "{told}"
        );
        let status = Status {
            version: "0.1.0".into(),
            pid: 42,
            started: "2026-01-01T22:00:00Z".into(),
            configuration: None,
            confinement: None,
            endpoints: Vec::new(),
            audit_trouble: None,
            store: store(),
            profiles: vec![admin.clone(), admin],
            sts: vec![ahead_and_slow()],
        };
        let told = render(&status, now);
        let table = "\nMFA SESSION                       STATE  ENDS\n\
                     arn:aws:iam::123456789012:mfa/me  held   in 11 h\n";
        assert!(told.contains(table), "{told}");
        let odd = "\nthis machine's clock is 2 h ahead of that of http://sts: set it (timedatectl)\n\
                   http://sts throttles or did not answer: asked 3 times a second at most, 7 wait\n";
        assert!(told.ends_with(odd), "{told}");
    }
}
