//! What can be asked for: who asks is found out here, each operation has its file.

mod assume_role;
mod caller_identity;
mod key_info;
mod policy;
mod request;
mod session_token;
mod web_identity;

use std::time::SystemTime;

use secrecy::ExposeSecret;

use crate::model::timestamp;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::principal::{Kind, Principal};
use crate::sandbox::session::Session;
use crate::sandbox::signature::{Authorization, Received, Rules};
use crate::sandbox::state::State;

/// Does what `received` asks for at `now`; credentials that it issues have already ended where `expired`.
pub(super) fn perform(
    state: &mut State,
    operation: Operation,
    received: Received<'_>,
    form: &Form,
    now: SystemTime,
    expired: bool,
) -> Result<Answer, Refusal> {
    if operation == Operation::AssumeRoleWithWebIdentity {
        // AWS asks for no signature here and looks at none.
        return web_identity::perform(state, form, now, expired);
    }
    let caller = authenticate(state, received, now)?;
    if let Kind::UserSession { .. } = caller.kind {
        may_be_asked_by_user_session(operation)?;
    }
    match operation {
        Operation::AssumeRole => assume_role::perform(state, &caller, form, now, expired),
        Operation::AssumeRoleWithWebIdentity => Err(Refusal::internal()),
        Operation::GetAccessKeyInfo => key_info::perform(state, form),
        Operation::GetCallerIdentity => Ok(caller_identity::perform(&caller)),
        Operation::GetSessionToken => session_token::perform(state, &caller, form, now, expired),
    }
}

/// Who signed `received`.
fn authenticate(
    state: &State,
    received: Received<'_>,
    now: SystemTime,
) -> Result<Principal, Refusal> {
    let authorization = Authorization::read(received)?;
    let rules =
        Rules { service: "sts", regions: &state.limits.regions, skew: state.limits.clock_skew };
    let at = authorization.check_scope(received, rules, now)?;
    let token = received.header("x-amz-security-token");
    let (secret, principal) = state.signer(authorization.access_key_id, token, now)?;
    authorization.check_signature(received, secret.expose_secret(), at)?;
    Ok(principal)
}

/// A session of `GetSessionToken` may ask STS for a role and for its own identity alone (STS API Reference,
/// `GetSessionToken`, "Permissions").
fn may_be_asked_by_user_session(operation: Operation) -> Result<(), Refusal> {
    match operation {
        Operation::AssumeRole
        | Operation::AssumeRoleWithWebIdentity
        | Operation::GetCallerIdentity => Ok(()),
        Operation::GetAccessKeyInfo | Operation::GetSessionToken => Err(Refusal::denied(format!(
            "Cannot call {} with session credentials",
            operation.as_str()
        ))),
    }
}

/// The `Credentials` of an answer.
fn credentials(session: &Session) -> Answer {
    Answer::new()
        .text("AccessKeyId", &session.access_key_id)
        .text("SecretAccessKey", session.secret.expose_secret())
        .text("SessionToken", session.token.expose_secret())
        .text("Expiration", timestamp(session.expires))
}
