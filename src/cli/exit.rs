//! How a command ends: the exit codes, and the one line that says why.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::endpoint::control::wire::{ErrorBody, ProfileState, Reason};

/// The exit codes, after `sysexits.h` where it has a word for the case, and after `env` (GNU coreutils) for `exec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 78: the configuration is wrong, or names no such profile.
    Config,
    /// 125: `exec` itself failed; its child was not started.
    ExecFailed,
    /// 77: the policy refuses this caller, or somebody else answers in the daemon's place.
    Forbidden,
    /// 70: our own fault.
    Internal,
    /// 69: no daemon answers.
    NoDaemon,
    /// 126: `exec` found the command but could not run it.
    NotExecutable,
    /// 127: `exec` did not find the command.
    NotFound,
    /// 75: not now; try again.
    NotNow,
    /// 80: a person is needed.
    PersonNeeded,
    /// 81: the STS refuses.
    Refused,
    /// 0.
    Success,
    /// 64: the command line is wrong.
    Usage,
}

impl Exit {
    /// The number that the parent process sees.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 64,
            Self::NoDaemon => 69,
            Self::Internal => 70,
            Self::NotNow => 75,
            Self::Forbidden => 77,
            Self::Config => 78,
            Self::PersonNeeded => 80,
            Self::Refused => 81,
            Self::ExecFailed => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Reason> for Exit {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::BadRequest => Self::Internal,
            Reason::Forbidden => Self::Forbidden,
            Reason::Misconfigured | Reason::UnknownProfile => Self::Config,
            Reason::NotNow => Self::NotNow,
            Reason::PersonNeeded => Self::PersonNeeded,
            Reason::Refused => Self::Refused,
        }
    }
}

impl From<ProfileState> for Exit {
    fn from(state: ProfileState) -> Self {
        match state {
            // What is idle is taken as soon as somebody asks.
            ProfileState::Held | ProfileState::Idle => Self::Success,
            ProfileState::Asking | ProfileState::Unreachable => Self::NotNow,
            ProfileState::Misconfigured => Self::Config,
            ProfileState::PersonNeeded => Self::PersonNeeded,
            ProfileState::Refused => Self::Refused,
        }
    }
}

/// Why a command failed: how it exits, and one line that says what is wrong and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// How the command exits.
    pub(super) exit: Exit,
    /// `what; what to do next`; never a secret.
    pub(super) message: String,
}

impl Complaint {
    /// A complaint with its exit code.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The same complaint of `exec`, whose own failures all exit 125.
    pub(super) fn of_exec(self) -> Self {
        Self { exit: Exit::ExecFailed, ..self }
    }

    /// Says it on stderr; the code to exit with.
    pub(super) fn report(&self) -> ExitCode {
        warn(self);
        self.exit.into()
    }
}

impl From<ErrorBody> for Complaint {
    fn from(body: ErrorBody) -> Self {
        let message = if body.message.is_empty() { body.code } else { body.message };
        Self { exit: body.reason.into(), message }
    }
}

impl fmt::Display for Complaint {
    /// Writes the message as one line, whatever an STS put into it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.message.split(char::is_control).filter(|part| !part.is_empty());
        let line = line.collect::<Vec<_>>().join(" ");
        let end = line.floor_char_boundary(MAX_BYTES);
        let more = if end < line.len() { "..." } else { "" };
        write!(f, "credbroker: {}{more}", line.get(..end).unwrap_or_default())
    }
}

/// Writes one line on stderr; nobody listening there is no reason to fail.
pub(super) fn warn(line: &impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The longest complaint in bytes: SDKs read up to 4 KiB of what `process` writes to stderr (contract F 53).
const MAX_BYTES: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line() {
        let body = ErrorBody {
            reason: Reason::Refused,
            code: "AccessDenied".into(),
            message: "not you\r\n\u{1b}[31mnor me".into(),
            retry_after_seconds: None,
        };
        let complaint = Complaint::from(body);
        assert_eq!(complaint.to_string(), "credbroker: not you [31mnor me");
        assert_eq!(complaint.exit.code(), 81);
        assert_eq!(complaint.of_exec().exit.code(), 125);
    }

    #[test]
    fn a_code_stands_in_for_a_missing_message() {
        let body = ErrorBody {
            reason: Reason::NotNow,
            code: "Throttling".into(),
            message: String::new(),
            retry_after_seconds: Some(1),
        };
        assert_eq!(Complaint::from(body).to_string(), "credbroker: Throttling");
    }
}
