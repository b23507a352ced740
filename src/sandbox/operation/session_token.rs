//! `GetSessionToken`: a session of the user itself, which remembers whether an MFA code was given.

use std::time::{Duration, SystemTime};

use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::operation::{credentials, request};
use crate::sandbox::principal::{Kind, Principal};
use crate::sandbox::state::State;

pub(super) fn perform(
    state: &mut State,
    caller: &Principal,
    form: &Form,
    now: SystemTime,
    expired: bool,
) -> Result<Answer, Refusal> {
    let Kind::User { name } = &caller.kind else {
        return Err(Refusal::denied("Cannot call GetSessionToken with session credentials"));
    };
    let (serial, code) = (form.text("SerialNumber"), form.text("TokenCode"));
    let seconds = form.number("DurationSeconds")?;
    let mut bounds = Bounds::default();
    bounds.number(
        "durationSeconds",
        seconds,
        request::whole_seconds(state.limits.min_duration)..=MAX_SECONDS,
    );
    bounds.text("serialNumber", serial, limit::SERIAL);
    bounds.text("tokenCode", code, limit::CODE);
    bounds.finish()?;
    let mfa = state.check_mfa(caller, serial, code, now)?.is_some();
    let life = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(DEFAULT_SECONDS);
    let principal =
        Principal { kind: Kind::UserSession { name: name.clone(), mfa }, ..caller.clone() };
    let operation = Operation::GetSessionToken;
    let session = state.issue(principal, operation, now, Duration::from_secs(life), expired)?;
    Ok(Answer::new().group("Credentials", credentials(session)))
}

/// 36 hours, the longest session of a user.
const MAX_SECONDS: i64 = 129_600;

/// 12 hours.
const DEFAULT_SECONDS: u64 = 43_200;
