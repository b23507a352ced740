//! As much of IAM as long-term keys and MFA devices need: who may ask for what, and about whom.
//!
//! A user may do everything here about itself and nothing about others. A session of the user may do the same if it was
//! got with an MFA code; one without may not call IAM at all (STS API Reference, `GetSessionToken`, "Permissions").

mod device;
mod key;
mod page;
mod picture;
mod user;

use std::time::SystemTime;

use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::principal::{Kind, Principal};
use crate::sandbox::state::{State, invalid_token};

/// Does what `form` asks for at `now`.
pub(super) fn perform(
    state: &mut State,
    caller: &Principal,
    operation: Operation,
    form: &Form,
    now: SystemTime,
) -> Result<Answer, Refusal> {
    let user = subject(state, caller, operation, form)?;
    match operation {
        Operation::CreateAccessKey => key::create(state, user, form, now),
        Operation::CreateVirtualMfaDevice => device::create(state, form),
        Operation::DeactivateMfaDevice => device::deactivate(state, &user, form),
        Operation::DeleteAccessKey => key::delete(state, &user, form),
        Operation::DeleteVirtualMfaDevice => device::delete(state, form),
        Operation::EnableMfaDevice => device::enable(state, user, form, now),
        Operation::GetAccessKeyLastUsed => key::last_used(state, caller, &user, form),
        Operation::GetUser => user::get(state, &user, form),
        Operation::ListAccessKeys => key::list(state, &user, form),
        Operation::ListMfaDevices => device::list(state, &user, form),
        Operation::ListVirtualMfaDevices => device::list_virtual(state, form),
        Operation::UpdateAccessKey => key::update(state, &user, form, now),
        Operation::AssumeRole
        | Operation::AssumeRoleWithWebIdentity
        | Operation::GetAccessKeyInfo
        | Operation::GetCallerIdentity
        | Operation::GetSessionToken => Err(Refusal::internal()),
    }
}

/// The user that a call is about: the one that `form` names, else the caller's own, if the caller may make the call.
fn subject(
    state: &State,
    caller: &Principal,
    operation: Operation,
    form: &Form,
) -> Result<String, Refusal> {
    let named = form.text("UserName");
    let (name, mfa) = match &caller.kind {
        Kind::Role { .. } => {
            let named = named.ok_or_else(|| {
                Refusal::validation("Must specify userName when calling with non-User credentials")
            })?;
            return Err(denied(caller, operation, named));
        }
        Kind::User { name } => (name, false),
        Kind::UserSession { mfa: false, .. } => return Err(invalid_token()),
        Kind::UserSession { name, mfa: true } => (name, true),
    };
    if let Some(other) = named.filter(|named| named != name) {
        return Err(denied(caller, operation, other));
    }
    let wants_mfa = state.users.get(name).is_some_and(|user| user.mfa_for_iam);
    if wants_mfa && !mfa && !is_for_enrolling(operation) {
        let Refusal { message, .. } = denied(caller, operation, name);
        let why = "with an explicit deny in an identity-based policy";
        return Err(Refusal::denied(format!("{message} {why}")));
    }
    Ok(name.clone())
}

/// What a user needs before there is a device; AWS's own example of a policy that demands MFA leaves out the same (IAM
/// User Guide, "AWS: Allows MFA-authenticated IAM users to manage their own credentials").
fn is_for_enrolling(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CreateVirtualMfaDevice
            | Operation::EnableMfaDevice
            | Operation::GetUser
            | Operation::ListMfaDevices
            | Operation::ListVirtualMfaDevices
    )
}

fn denied(caller: &Principal, operation: Operation, user: &str) -> Refusal {
    Refusal::denied(format!(
        "User: {} is not authorized to perform: iam:{} on resource: user {user}",
        caller.arn,
        operation.as_str()
    ))
}
