//! `AssumeRoleWithWebIdentity`: a role's session for somebody with a provider's token.

use std::time::SystemTime;

use crate::model::RoleArn;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::operation::credentials;
use crate::sandbox::operation::request::{RoleRequest, Tags, assumed_role_user};
use crate::sandbox::principal::Inherited;
use crate::sandbox::state::State;
use crate::sandbox::token;

pub(super) fn perform(
    state: &mut State,
    form: &Form,
    now: SystemTime,
    expired: bool,
) -> Result<Answer, Refusal> {
    let mut bounds = Bounds::default();
    let request = RoleRequest::read(form, state, limit::SHORT_POLICY, &mut bounds)?;
    let token = form.text("WebIdentityToken");
    bounds.required("webIdentityToken", token);
    bounds.text("webIdentityToken", token, limit::WEB_IDENTITY_TOKEN);
    bounds.finish()?;
    if RoleArn::parse(request.role_arn).is_err() {
        return Err(Refusal::validation("Request ARN is invalid"));
    }

    let proven = token::check(token.unwrap_or_default(), &state.providers, now)?;
    let trusted = state.roles.get(request.role_arn).filter(|role| {
        role.trust
            .web
            .as_ref()
            .is_some_and(|web| web.admits(&proven.issuer, &proven.subject, &proven.audiences))
    });
    let role = trusted
        .ok_or_else(|| Refusal::denied("Not authorized to perform sts:AssumeRoleWithWebIdentity"))?
        .clone();
    let packed_size = request.packed_size(&role, &Tags::default())?;
    let life = request.life(&role, false)?;

    let principal = request.principal(&role, Inherited::default());
    let operation = Operation::AssumeRoleWithWebIdentity;
    let session = state.issue(principal, operation, now, life, expired)?;
    Ok(Answer::new()
        .text("SubjectFromWebIdentityToken", proven.subject)
        .optional("Audience", proven.audiences.first())
        .group("AssumedRoleUser", assumed_role_user(&session.principal))
        .group("Credentials", credentials(session))
        .text("Provider", proven.issuer)
        .optional("PackedPolicySize", packed_size.map(|percent| percent.to_string())))
}
