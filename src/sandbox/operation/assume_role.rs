//! `AssumeRole`: a role's session for somebody who signs.

use std::time::SystemTime;

use crate::model::RoleArn;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::operation::credentials;
use crate::sandbox::operation::request::{RoleRequest, Tags, assumed_role_user};
use crate::sandbox::principal::{Inherited, Kind, Principal};
use crate::sandbox::state::State;

pub(super) fn perform(
    state: &mut State,
    caller: &Principal,
    form: &Form,
    now: SystemTime,
    expired: bool,
) -> Result<Answer, Refusal> {
    let mut bounds = Bounds::default();
    let request = RoleRequest::read(form, state, limit::POLICY, &mut bounds)?;
    let tags = Tags::read(form, &mut bounds)?;
    let external_id = form.text("ExternalId");
    let source_identity = form.text("SourceIdentity");
    let (serial, code) = (form.text("SerialNumber"), form.text("TokenCode"));
    bounds.text("externalId", external_id, limit::EXTERNAL_ID);
    bounds.text("sourceIdentity", source_identity, limit::SESSION_NAME);
    bounds.text("serialNumber", serial, limit::SERIAL);
    bounds.text("tokenCode", code, limit::CODE);
    bounds.finish()?;
    if RoleArn::parse(request.role_arn).is_err() {
        return Err(Refusal::validation(format!("{} is invalid", request.role_arn)));
    }

    let code_taken = state.check_mfa(caller, serial, code, now)?.is_some();
    let mfa = code_taken || matches!(caller.kind, Kind::UserSession { mfa: true, .. });
    let refused = || {
        Refusal::denied(format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            caller.arn, request.role_arn
        ))
    };
    let role = state.roles.get(request.role_arn).ok_or_else(refused)?.clone();
    let admitted = role.trust.admits(caller, &role.arn, state.may_assume(caller));
    if !admitted || !role.trust.conditions_hold(external_id, mfa) {
        return Err(refused());
    }
    let inherited = caller.inherited();
    let source_identity = match (inherited.source_identity, source_identity) {
        // It cannot be changed once it is set.
        (Some(old), Some(new)) if old != new => return Err(refused()),
        (Some(old), _) => Some(old),
        (None, new) => new.map(str::to_owned),
    };
    let transitive_tags = tags.hand_on(inherited.transitive_tags)?;
    let packed_size = request.packed_size(&role, &tags)?;
    let life = request.life(&role, caller.is_session())?;

    let handed_on = Inherited { source_identity: source_identity.clone(), transitive_tags };
    let principal = request.principal(&role, handed_on);
    let session = state.issue(principal, Operation::AssumeRole, now, life, expired)?;
    Ok(Answer::new()
        .group("AssumedRoleUser", assumed_role_user(&session.principal))
        .group("Credentials", credentials(session))
        .optional("PackedPolicySize", packed_size.map(|percent| percent.to_string()))
        .optional("SourceIdentity", source_identity))
}
