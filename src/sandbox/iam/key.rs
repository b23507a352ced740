//! Access keys: at most two of a user, known a while after they are made.

use std::time::SystemTime;

use secrecy::ExposeSecret;

use crate::model::timestamp;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::config::Key;
use crate::sandbox::count::Operation;
use crate::sandbox::form::Form;
use crate::sandbox::iam::page::page;
use crate::sandbox::iam::{denied, user};
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::principal::Principal;
use crate::sandbox::session::{random_id, random_secret};
use crate::sandbox::state::State;

pub(super) fn create(
    state: &mut State,
    user: String,
    form: &Form,
    now: SystemTime,
) -> Result<Answer, Refusal> {
    user::named(form).finish()?;
    if state.keys.values().filter(|key| key.user == user).count() >= MAX_KEYS {
        let message = format!("Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}");
        return Err(Refusal::conflict("LimitExceeded", message));
    }
    let (id, secret) = (random_id("AKIA")?, random_secret()?);
    let answer = Answer::new()
        .text("UserName", &user)
        .text("AccessKeyId", &id)
        .text("Status", ACTIVE)
        .text("SecretAccessKey", secret.expose_secret())
        .text("CreateDate", timestamp(now));
    state.put_key(id, Key::new(user, secret, true), now);
    Ok(Answer::new().group("AccessKey", answer))
}

pub(super) fn list(state: &State, user: &str, form: &Form) -> Result<Answer, Refusal> {
    let keys = state.keys.iter().filter(|(_, key)| key.user == user);
    let keys = keys.map(|(id, key)| {
        Answer::new()
            .text("UserName", user)
            .text("AccessKeyId", id)
            .text("Status", if key.active { ACTIVE } else { INACTIVE })
            .text("CreateDate", timestamp(key.created.unwrap_or(state.since)))
    });
    page("AccessKeyMetadata", keys.collect(), form, user::named(form))
}

pub(super) fn update(
    state: &mut State,
    user: &str,
    form: &Form,
    now: SystemTime,
) -> Result<Answer, Refusal> {
    let status = form.text("Status");
    let mut bounds = user::named(form);
    bounds.required("status", status);
    bounds.word("status", status, &[ACTIVE, INACTIVE]);
    let id = key_id(form, bounds)?;
    let known_from = now + state.limits.propagation;
    let key = state.keys.get_mut(id).filter(|key| key.user == user).ok_or_else(|| unknown(id))?;
    let active = status == Some(ACTIVE);
    if key.active != active {
        key.active = active;
        // What is taken back before it was known never was.
        let pending = key.known_from.is_some_and(|since| since > now);
        key.known_from = (!pending).then_some(known_from);
    }
    Ok(Answer::new())
}

pub(super) fn delete(state: &mut State, user: &str, form: &Form) -> Result<Answer, Refusal> {
    let id = key_id(form, user::named(form))?;
    if state.keys.get(id).is_none_or(|key| key.user != user) {
        return Err(unknown(id));
    }
    state.keys.remove(id);
    Ok(Answer::new())
}

pub(super) fn last_used(
    state: &State,
    caller: &Principal,
    user: &str,
    form: &Form,
) -> Result<Answer, Refusal> {
    let id = key_id(form, Bounds::default())?;
    let key = state.keys.get(id).ok_or_else(|| unknown(id))?;
    if key.user != user {
        return Err(denied(caller, Operation::GetAccessKeyLastUsed, &key.user));
    }
    let answer = match &key.last_used {
        None => Answer::new().text("ServiceName", "N/A").text("Region", "N/A"),
        Some(last) => Answer::new()
            .text("LastUsedDate", timestamp(last.at))
            .text("ServiceName", last.service)
            .text("Region", &last.region),
    };
    Ok(Answer::new().text("UserName", user).group("AccessKeyLastUsed", answer))
}

fn key_id(form: &Form, mut bounds: Bounds) -> Result<&str, Refusal> {
    let id = form.text("AccessKeyId");
    bounds.required("accessKeyId", id);
    bounds.text("accessKeyId", id, limit::ACCESS_KEY_ID);
    bounds.finish()?;
    Ok(id.unwrap_or_default())
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("The Access Key with id {id} cannot be found."))
}

const ACTIVE: &str = "Active";

const INACTIVE: &str = "Inactive";

/// How many keys a user may have (IAM User Guide, "IAM and AWS STS quotas").
const MAX_KEYS: usize = 2;
