//! The control socket's ways to say no.

use crate::endpoint::control::wire::{ErrorBody, Reason};
use crate::endpoint::desk::{Empty, PERSON_NEEDED, sentence};
use crate::endpoint::reply::{self, No, Reply, whole_seconds};
use crate::model::ProfileName;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Denied {
    Method(&'static str),
    Said(ErrorBody),
    TooLarge,
}

impl From<ErrorBody> for Denied {
    fn from(error: ErrorBody) -> Self {
        Self::Said(error)
    }
}

impl Denied {
    /// The answer that says so.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Method(allowed) => {
                let error = bad_request("this path takes another method");
                let body = serde_json::to_vec(&error).unwrap_or_default();
                reply::error(No::MethodNotAllowed(allowed), body)
            }
            Self::TooLarge => {
                let error = bad_request("the body is too large");
                reply::error(No::TooLarge, serde_json::to_vec(&error).unwrap_or_default())
            }
            Self::Said(error) => reply::control_error(&error),
        }
    }
}

pub(super) fn bad_request(message: &str) -> ErrorBody {
    ErrorBody {
        reason: Reason::BadRequest,
        code: "BadRequest".to_owned(),
        message: message.to_owned(),
        retry_after_seconds: None,
    }
}

pub(super) fn crowded() -> ErrorBody {
    ErrorBody {
        reason: Reason::NotNow,
        code: "NotNow".to_owned(),
        message: "too many requests wait for an answer; try again".to_owned(),
        retry_after_seconds: Some(1),
    }
}

pub(super) fn forbidden(profile: &ProfileName) -> ErrorBody {
    ErrorBody {
        reason: Reason::Forbidden,
        code: "AccessDenied".to_owned(),
        message: format!(
            "the policy does not let you have the profile `{profile}`; ask who runs the daemon"
        ),
        retry_after_seconds: None,
    }
}

pub(super) fn misconfigured(code: &str, message: impl Into<String>) -> ErrorBody {
    ErrorBody {
        reason: Reason::Misconfigured,
        code: code.to_owned(),
        message: message.into(),
        retry_after_seconds: None,
    }
}

pub(super) fn unavailable(why: impl Into<Empty>, profile: &ProfileName) -> ErrorBody {
    let pending = "the credentials are still being asked for; try again";
    let (reason, failure, after) = match why.into() {
        Empty::Away => return forbidden(profile),
        Empty::NotNow(after, failure) => (Reason::NotNow, failure, Some(whole_seconds(after))),
        Empty::Person(failure) => (Reason::PersonNeeded, Some(failure), None),
        Empty::Refused(failure) => (Reason::Refused, Some(failure), None),
        Empty::Misconfigured(failure) => (Reason::Misconfigured, Some(failure), None),
    };
    let code = match (&failure, reason) {
        (_, Reason::PersonNeeded) => PERSON_NEEDED,
        (Some(failure), _) => &failure.code,
        (None, _) => "NotNow",
    };
    ErrorBody {
        reason,
        code: code.to_owned(),
        message: failure.as_ref().map_or_else(|| pending.to_owned(), |it| sentence(it, profile)),
        retry_after_seconds: after,
    }
}
