//! `GetUser`, and a user as other answers show it.

use crate::model::timestamp;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::state::State;

pub(super) fn get(state: &State, name: &str, form: &Form) -> Result<Answer, Refusal> {
    named(form).finish()?;
    Ok(Answer::new().group("User", describe(state, name)?))
}

/// The user `name` as IAM shows it.
pub(super) fn describe(state: &State, name: &str) -> Result<Answer, Refusal> {
    let user = state.users.get(name).ok_or_else(|| unknown(name))?;
    Ok(Answer::new()
        .text("Path", "/")
        .text("UserName", name)
        .text("UserId", &user.id)
        .text("Arn", &user.arn)
        .text("CreateDate", timestamp(state.since)))
}

/// Bounds that hold for the `UserName` of `form`, which may be left out.
pub(super) fn named(form: &Form) -> Bounds {
    let mut bounds = Bounds::default();
    bounds.text("userName", form.text("UserName"), limit::NAME);
    bounds
}

fn unknown(name: &str) -> Refusal {
    Refusal::not_found(format!("The user with name {name} cannot be found."))
}
