//! `GetAccessKeyInfo`: the account that a key belongs to, whether the key still works or not.

use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::state::State;

/// AWS works the account out of any well-formed key id; the sandbox knows its own keys alone.
pub(super) fn perform(state: &State, form: &Form) -> Result<Answer, Refusal> {
    let access_key_id = form.text("AccessKeyId");
    let mut bounds = Bounds::default();
    bounds.required("accessKeyId", access_key_id);
    bounds.text("accessKeyId", access_key_id, limit::ACCESS_KEY_ID);
    bounds.finish()?;
    let access_key_id = access_key_id.unwrap_or_default();
    let account = state
        .account_of(access_key_id)
        .ok_or_else(|| Refusal::validation(format!("Invalid access key id: {access_key_id}")))?;
    Ok(Answer::new().text("Account", account))
}
