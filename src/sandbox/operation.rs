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
use crate::sandbox::config::Use;
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::iam;
use crate::sandbox::principal::{Kind, Principal};
use crate::sandbox::service::{Service, iam_region};
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
    let caller = authenticate(state, operation.service(), received, now)?;
    match operation.service() {
        Service::Iam => return iam::perform(state, &caller, operation, form, now),
        Service::Sts => may_ask(&caller, operation)?,
    }
    match operation {
        Operation::AssumeRole => assume_role::perform(state, &caller, form, now, expired),
        Operation::GetAccessKeyInfo => key_info::perform(state, form),
        Operation::GetCallerIdentity => Ok(caller_identity::perform(&caller)),
        Operation::GetSessionToken => session_token::perform(state, &caller, form, now, expired),
        Operation::AssumeRoleWithWebIdentity
        | Operation::CreateAccessKey
        | Operation::CreateVirtualMfaDevice
        | Operation::DeactivateMfaDevice
        | Operation::DeleteAccessKey
        | Operation::DeleteVirtualMfaDevice
        | Operation::EnableMfaDevice
        | Operation::GetAccessKeyLastUsed
        | Operation::GetUser
        | Operation::ListAccessKeys
        | Operation::ListMfaDevices
        | Operation::ListVirtualMfaDevices
        | Operation::UpdateAccessKey => Err(Refusal::internal()),
    }
}

/// Who signed `received`; a long-term key remembers what for.
fn authenticate(
    state: &mut State,
    service: Service,
    received: Received<'_>,
    now: SystemTime,
) -> Result<Principal, Refusal> {
    let authorization = Authorization::read(received)?;
    let global = [iam_region(&state.home.partition).to_owned()];
    let regions = match service {
        Service::Iam => global.as_slice(),
        Service::Sts => &state.limits.regions,
    };
    let rules = Rules { service: service.name(), regions, skew: state.limits.clock_skew };
    let at = authorization.check_scope(received, rules, now)?;
    let token = received.header("x-amz-security-token");
    let (secret, principal) = state.signer(authorization.access_key_id, token, now)?;
    authorization.check_signature(received, secret.expose_secret(), at)?;
    if let Some(key) = state.keys.get_mut(authorization.access_key_id) {
        let region = authorization.region.to_owned();
        key.last_used = Some(Use { at: now, region, service: service.name() });
    }
    Ok(principal)
}

/// A session of `GetSessionToken` may ask STS for a role and for its own identity alone (STS API Reference,
/// `GetSessionToken`, "Permissions").
fn may_ask(caller: &Principal, operation: Operation) -> Result<(), Refusal> {
    let for_sessions = matches!(operation, Operation::AssumeRole | Operation::GetCallerIdentity);
    match caller.kind {
        Kind::UserSession { .. } if !for_sessions => Err(Refusal::denied(format!(
            "Cannot call {} with session credentials",
            operation.as_str()
        ))),
        Kind::Role { .. } | Kind::User { .. } | Kind::UserSession { .. } => Ok(()),
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
