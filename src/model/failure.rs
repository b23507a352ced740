//! What can go wrong between a plan and its credentials.

use std::fmt;

/// A failed hop: what kind of trouble it is, the words of the STS, and a sentence for a person.
///
/// No part of it holds a secret: it is logged, shown by `status` and sent to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the lease does about it.
    pub kind: FailureKind,
    /// The code of the STS, such as `AccessDenied`, or one of ours, such as `Unreachable`.
    pub code: String,
    /// What went wrong and what to do, in one line.
    pub message: String,
    /// The request id of the STS, for its operator's logs.
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure of `kind` with a code and a sentence.
    #[must_use]
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), request_id: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The kinds of failure; one exists only where a lease acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// What the request was signed with, or the token it carried, has expired: renew that, then try once more.
    InputExpired,
    /// The plan cannot work as it is written: a file is missing, a parameter is wrong.
    Misconfigured,
    /// Nobody but a person can help: a code or a login is needed. Never retried by itself.
    PersonNeeded,
    /// The STS says no to this caller or this request.
    Refused,
    /// The STS asks us to slow down.
    Throttled,
    /// The STS did not answer, or not with an answer.
    Unreachable,
    /// The STS does not know the key or the identity, though it may in a moment: what was just made there takes some
    /// seconds to be known everywhere.
    Unsettled,
}
