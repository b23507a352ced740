//! The sandbox's own path, beside the STS: to see what happened and to change what will.
//!
//! ```text
//! GET    /_sandbox/state         counts, sessions without their secrets (but a digest of them), users, roles, faults, the time
//! POST   /_sandbox/faults        a fault, or a list of faults, as in [[fault]]
//! DELETE /_sandbox/faults
//! POST   /_sandbox/clock         {"offset": "+1h"}
//! POST   /_sandbox/token         {"issuer", "subject", "audience", "lifetime": "1h"} -> {"token"}
//! POST   /_sandbox/users         a user, as in [[user]]; replaces one of the same name
//! DELETE /_sandbox/users/NAME
//! POST   /_sandbox/roles         a role, as in [[role]]; replaces one of the same ARN
//! DELETE /_sandbox/roles/NAME    or its ARN
//! POST   /_sandbox/keys          {"user", "access_key_id", "secret_access_key"}: one more for that user
//! POST   /_sandbox/keys/ID       {"active": false}
//! DELETE /_sandbox/keys/ID
//! POST   /_sandbox/reset         back to the configuration
//! ```
//!
//! A key that is made here, a new user's too, is known only after the configuration's `propagation`. Bodies are JSON. A
//! request from a web page is refused: one with an `Origin`, or for a `Host` that is not this machine's own.

use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::model::timestamp;
use crate::sandbox::Sandbox;
use crate::sandbox::config::{SandboxFault, parse_offset};
use crate::sandbox::fault::Fault;
use crate::sandbox::signature::Received;

/// Does what `received` asks for below the admin path.
pub(super) fn answer(
    sandbox: &Sandbox,
    path: &str,
    received: Received<'_>,
) -> (StatusCode, String) {
    let outcome = if is_local(received) {
        route(sandbox, path, received)
    } else {
        Err(Fail(StatusCode::FORBIDDEN, "web pages and other hosts may not do this".to_owned()))
    };
    match outcome {
        Ok(value) => (StatusCode::OK, format!("{value}\n")),
        Err(Fail(status, message)) => (status, format!("{}\n", json!({ "error": message }))),
    }
}

struct Fail(StatusCode, String);

impl From<SandboxFault> for Fail {
    fn from(fault: SandboxFault) -> Self {
        Self(StatusCode::BAD_REQUEST, fault.to_string())
    }
}

fn route(sandbox: &Sandbox, path: &str, received: Received<'_>) -> Result<Value, Fail> {
    let done = || Ok(json!({}));
    let (what, name) = path.split_once('/').unwrap_or((path, ""));
    match (received.method, what, name) {
        (&Method::GET, "state", "") => Ok(state(sandbox)),
        (&Method::POST, "faults", "") => {
            for fault in faults(received)? {
                sandbox.inject(fault);
            }
            done()
        }
        (&Method::DELETE, "faults", "") => {
            sandbox.clear_faults();
            done()
        }
        (&Method::POST, "clock", "") => {
            let wish: ClockWish = read(received)?;
            sandbox.set_clock_offset(parse_offset(&wish.offset)?);
            Ok(json!({ "now": timestamp(sandbox.now()) }))
        }
        (&Method::POST, "token", "") => token(sandbox, &read(received)?),
        (&Method::POST, "users", "") => {
            let user = read(received)?;
            let mut state = sandbox.state();
            let now = sandbox.now_in(&state);
            Ok(json!({ "arn": state.put_user(user, now)? }))
        }
        (&Method::POST, "roles", "") => {
            Ok(json!({ "arn": sandbox.state().put_role(read(received)?)? }))
        }
        (&Method::POST, "keys", "") => {
            let wish: NewKey = read(received)?;
            found(sandbox.add_key(&wish.user, &wish.access_key_id, wish.secret_access_key))
        }
        (&Method::POST, "keys", id) => {
            let wish: KeyWish = read(received)?;
            found(sandbox.set_key_active(id, wish.active))
        }
        (&Method::DELETE, "keys", id) => found(sandbox.remove_key(id)),
        (&Method::DELETE, "users", name) => found(sandbox.remove_user(name)),
        (&Method::DELETE, "roles", name) => found(sandbox.remove_role(name)),
        (&Method::POST, "reset", "") => {
            sandbox.reset();
            done()
        }
        _ => Err(Fail(StatusCode::NOT_FOUND, "there is nothing here by this method".to_owned())),
    }
}

fn state(sandbox: &Sandbox) -> Value {
    let state = sandbox.state();
    let sessions = state.sessions.latest().take(MAX_SHOWN_SESSIONS).map(|session| {
        json!({
            "access_key_id": session.access_key_id,
            "arn": session.principal.arn,
            "operation": session.operation,
            "issued": timestamp(session.issued),
            "expires": timestamp(session.expires),
            "digest": session.digest,
        })
    });
    let keys = state
        .keys
        .iter()
        .map(|(id, key)| json!({ "access_key_id": id, "user": key.user, "active": key.active }));
    json!({
        "now": timestamp(sandbox.now_in(&state)),
        "offset_seconds": state.offset.whole_seconds(),
        "counts": state.counts,
        "session_count": state.sessions.len(),
        "sessions": sessions.collect::<Vec<_>>(),
        "users": state.users.keys().collect::<Vec<_>>(),
        "keys": keys.collect::<Vec<_>>(),
        "roles": state.roles.keys().collect::<Vec<_>>(),
        "faults": state.faults,
    })
}

fn token(sandbox: &Sandbox, wish: &TokenWish) -> Result<Value, Fail> {
    let lifetime = match &wish.lifetime {
        None => DEFAULT_LIFETIME,
        Some(text) => humantime::parse_duration(text).map_err(|error| {
            Fail(
                StatusCode::BAD_REQUEST,
                format!("lifetime {text:?} is no length of time: {error}"),
            )
        })?,
    };
    let token = sandbox.mint_token(&wish.issuer, &wish.subject, &wish.audience, lifetime)?;
    Ok(json!({ "token": token.expose_secret() }))
}

fn faults(received: Received<'_>) -> Result<Vec<Fault>, Fail> {
    if received.body.first() == Some(&b'[') { read(received) } else { Ok(vec![read(received)?]) }
}

fn found(found: bool) -> Result<Value, Fail> {
    if found {
        return Ok(json!({}));
    }
    Err(Fail(StatusCode::NOT_FOUND, "the sandbox holds none by this name".to_owned()))
}

fn read<T: DeserializeOwned>(received: Received<'_>) -> Result<T, Fail> {
    serde_json::from_slice(received.body).map_err(|error| {
        Fail(StatusCode::BAD_REQUEST, format!("the body is not as expected: {error}"))
    })
}

/// Whether the request comes from a program on this machine and not from a page that a browser shows here.
fn is_local(received: Received<'_>) -> bool {
    let host = received.header("host").unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback && !received.headers.contains_key("origin")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockWish {
    offset: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWish {
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    user: String,
    access_key_id: String,
    secret_access_key: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenWish {
    issuer: String,
    subject: String,
    audience: String,
    lifetime: Option<String>,
}

const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);

/// The most sessions that one answer lists.
const MAX_SHOWN_SESSIONS: usize = 1000;
