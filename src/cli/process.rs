//! `process`: what `credential_process` in an AWS configuration runs (AWS SDKs and Tools Reference Guide,
//! "Process credential provider").
//!
//! On success stdout gets one JSON object and stderr nothing, for some SDKs merge the two; on failure stdout gets
//! nothing, for some SDKs ignore the exit code. Nothing is read from stdin, and no thread is started. With `--prompt` a
//! missing MFA code is asked for on the terminal itself, for stdin and stdout are the SDK's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::client::Daemon;
use crate::cli::environment::Environment;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::terminal::Terminal;
use crate::cli::{login, print};
use crate::endpoint::control::wire::ProcessCredentials;
use crate::model::{Clock, ProfileName, parse_timestamp};
use crate::policy::MIN_SERVED_LIFE;

/// A command line that is plainly `process PROFILE`, understood without the parser that all others go through: it
/// would take longer than the rest together.
pub(super) fn shortcut(arguments: &[OsString]) -> Option<Shortcut> {
    let (command, rest) = arguments.get(1..)?.split_first()?;
    if command != "process" {
        return None;
    }
    let mut profile = None;
    let mut control = None;
    let mut prompt = false;
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str()? {
            "--prompt" => prompt = true,
            "--control" if control.is_none() => control = Some(PathBuf::from(rest.next()?)),
            text if text.starts_with('-') || profile.is_some() => return None,
            text => profile = Some(ProfileName::parse(text).ok()?),
        }
    }
    Some(Shortcut { profile: profile?, control, prompt })
}

/// A plain `process PROFILE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shortcut {
    profile: ProfileName,
    control: Option<PathBuf>,
    prompt: bool,
}

/// Prints a profile's credentials; with `prompt`, asks for a missing code first.
pub(super) fn run(daemon: &Daemon, profile: &ProfileName, prompt: bool) -> Result<Exit, Complaint> {
    let terminal = || prompt.then(Terminal::open).flatten();
    let mut answer = login::supply(daemon, profile, terminal, || daemon.credentials(profile))?;
    usable(&answer)?;
    answer.push(b'\n');
    print::deliver(&answer)?;
    Ok(Exit::Success)
}

/// The credentials in an answer, if they live long enough to be used.
pub(super) fn usable(answer: &[u8]) -> Result<ProcessCredentials, Complaint> {
    let garbled =
        || Complaint::new(Exit::Internal, "the daemon's credentials have another form; restart it");
    let credentials: ProcessCredentials = serde_json::from_slice(answer).map_err(|_| garbled())?;
    let expires = parse_timestamp(&credentials.expiration).ok_or_else(garbled)?;
    let left = expires.duration_since(Clock::system().now()).unwrap_or(Duration::ZERO);
    if credentials.version != 1 {
        return Err(garbled());
    }
    if left < MIN_SERVED_LIFE {
        return Err(Complaint::new(
            Exit::NotNow,
            format!(
                "the credentials end at {}, too soon to be used; try again, and check the clock",
                credentials.expiration
            ),
        ));
    }
    Ok(credentials)
}

/// The environment is asked only where the socket is.
pub(super) fn run_shortcut(wish: &Shortcut, environment: &Environment) -> Result<Exit, Complaint> {
    run(&Daemon::at(wish.control.as_deref(), environment), &wish.profile, wish.prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(line: &str) -> Option<(String, Option<PathBuf>, bool)> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        shortcut(&arguments).map(|it| (it.profile.to_string(), it.control, it.prompt))
    }

    #[test]
    fn the_plain_form_is_understood() {
        assert_eq!(short("credbroker process reader"), Some(("reader".into(), None, false)));
        let named = Some(("reader".into(), Some(PathBuf::from("s")), true));
        assert_eq!(short("credbroker process --control s reader --prompt"), named);
    }

    #[test]
    fn anything_odd_is_left_to_the_parser() {
        for line in [
            "credbroker",
            "credbroker process",
            "credbroker process a b",
            "credbroker process --help",
            "credbroker process a --control",
            "credbroker process -- a",
            "credbroker list",
        ] {
            assert_eq!(short(line), None, "{line}");
        }
    }
}
