//! Plans and leases as the control socket tells them.

use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::broker::LeaseView;
use crate::endpoint::control::wire::{
    ClientView, MfaSession, ProfileEntry, ProfileState, ProfileStatus, StoreStatus, StsStatus,
    Trouble,
};
use crate::endpoint::desk::sentence;
use crate::endpoint::render::{self, Value};
use crate::model::{Dialect, FailureKind, MfaSerial, Plan, Skew, timestamp};
use crate::source::StsState;
use crate::store::{Condition, Keeping};

/// The profile as `list` shows it.
pub(super) fn entry(plan: &Plan) -> ProfileEntry {
    ProfileEntry {
        profile: plan.profile.to_string(),
        role_arn: role_arn(plan),
        session_of: session_of(plan),
        region: plan.client.region.as_ref().map(|region| region.as_str().to_owned()),
        eager: plan.eager,
    }
}

/// The profile as `status` shows it at `now`.
///
/// `session` is that of the plan's MFA device, as far as it has been asked for.
pub(super) fn status(
    plan: &Plan,
    view: &LeaseView,
    session: Option<(MfaSerial, Option<Arc<LeaseView>>)>,
    now: SystemTime,
) -> ProfileStatus {
    let held = view.usable(now).map(|held| held.credentials());
    ProfileStatus {
        profile: plan.profile.to_string(),
        role_arn: role_arn(plan),
        session_of: session_of(plan),
        state: state(view, now),
        access_key_id: held.map(|held| held.access_key_id.clone()),
        issued: held.map(|held| timestamp(held.validity.issued())),
        expires: held.map(|held| timestamp(held.validity.expires())),
        remaining_seconds: held.map(|held| held.validity.remaining(now).as_secs()),
        next_attempt: view.next_attempt.map(timestamp),
        issuances: view.issuances,
        trouble: view.trouble.as_ref().map(|trouble| Trouble {
            code: trouble.failure.code.clone(),
            message: sentence(&trouble.failure, &plan.profile),
            at: timestamp(trouble.at),
        }),
        mfa: session.map(|(serial, view)| mfa(&serial, view.as_deref(), now)),
    }
}

/// An STS as `status` shows it.
pub(super) fn sts(state: &StsState) -> StsStatus {
    StsStatus {
        sts: state.endpoint.to_string(),
        clock_ahead_seconds: state.skew.map(Skew::seconds_ahead),
        slowed_to: state.slowed_to,
        waiting: state.waiting,
    }
}

fn mfa(serial: &MfaSerial, view: Option<&LeaseView>, now: SystemTime) -> MfaSession {
    let held = view.and_then(|view| view.usable(now));
    MfaSession {
        serial: serial.to_string(),
        state: view.map_or(ProfileState::Idle, |view| state(view, now)),
        expires: held.map(|held| timestamp(held.credentials().validity.expires())),
    }
}

/// Where a lease stands at `now`.
pub(in crate::endpoint) fn state(view: &LeaseView, now: SystemTime) -> ProfileState {
    match (view.usable(now), &view.trouble) {
        (Some(_), _) => ProfileState::Held,
        (None, Some(trouble)) => state_after(trouble.failure.kind),
        (None, None) if view.asking => ProfileState::Asking,
        (None, None) => ProfileState::Idle,
    }
}

/// Where sessions are kept.
pub(super) fn store(condition: Condition) -> StoreStatus {
    let Condition { keeping, trouble, aside } = condition;
    let (kind, key, looked_for) = match keeping {
        Keeping::Memory => ("memory", None, None),
        Keeping::Sealed(place) => ("sealed", Some(place.to_string()), None),
        Keeping::Waiting => ("memory", None, Some("the key is being looked for".to_owned())),
    };
    StoreStatus { kind: kind.to_owned(), key, trouble: trouble.or(looked_for), set_aside: aside }
}

/// What a client of the profile is told.
pub(super) fn client(plan: &Plan) -> ClientView {
    let sts = &plan.last.sts;
    let text = |url: &Option<Arc<str>>| url.as_deref().map(str::to_owned);
    ClientView {
        region: plan.client.region.as_ref().map(|region| region.as_str().to_owned()),
        endpoint_url: text(&plan.client.endpoint_url),
        sts_endpoint_url: text(&plan.client.sts_endpoint_url),
        ca_bundle: plan.client.ca_bundle.as_ref().map(|path| path.display().to_string()),
        sts_region: sts.region.as_str().to_owned(),
        sts: Dialect::as_str(sts.dialect).to_owned(),
        fips: sts.fips,
        dual_stack: sts.dual_stack,
    }
}

/// The answer to a wish for a ticket, in memory that is wiped.
pub(super) fn ticket(
    secret: &str,
    expires: &str,
    url: &str,
    client: &ClientView,
) -> Zeroizing<Vec<u8>> {
    let optional = [
        ("region", &client.region),
        ("endpoint_url", &client.endpoint_url),
        ("sts_endpoint_url", &client.sts_endpoint_url),
        ("ca_bundle", &client.ca_bundle),
    ];
    let mut members = vec![
        ("ticket", Value::Text(secret)),
        ("expires", Value::Text(expires)),
        ("url", Value::Text(url)),
    ];
    members.extend(
        optional.iter().filter_map(|(name, value)| Some((*name, Value::Text(value.as_deref()?)))),
    );
    members.extend([
        ("sts_region", Value::Text(&client.sts_region)),
        ("sts", Value::Text(&client.sts)),
        ("fips", Value::Flag(client.fips)),
        ("dual_stack", Value::Flag(client.dual_stack)),
    ]);
    render::object(&members)
}

/// The name of `names` that `text` was probably meant to be: at most a third of its letters are wrong.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips = (text.chars().count() / 3).max(1);
    names
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, name)| name)
}

fn state_after(kind: FailureKind) -> ProfileState {
    match kind {
        FailureKind::Misconfigured => ProfileState::Misconfigured,
        FailureKind::PersonNeeded => ProfileState::PersonNeeded,
        FailureKind::Refused => ProfileState::Refused,
        FailureKind::Unsettled => ProfileState::Asking,
        FailureKind::InputExpired | FailureKind::Throttled | FailureKind::Unreachable => {
            ProfileState::Unreachable
        }
    }
}

fn role_arn(plan: &Plan) -> Option<String> {
    plan.last.call.role_arn().map(ToString::to_string)
}

/// What a profile without a role is a session of.
fn session_of(plan: &Plan) -> Option<String> {
    plan.last.call.role_arn().is_none().then(|| plan.last.call.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::wire::Ticket;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let names = ["admin", "reader", "writer"];
        let near = |text| nearest(text, names.into_iter());
        assert_eq!(near("reder"), Some("reader"));
        assert_eq!(near("raeder"), Some("reader"));
        assert_eq!(near("wirter"), Some("writer"));
        assert_eq!(near("x"), None);
        assert_eq!(near("backup"), None);
    }

    #[test]
    fn a_ticket_is_read_as_the_type_that_clients_use() {
        use secrecy::ExposeSecret;

        let client = ClientView {
            region: Some("eu-west-1".to_owned()),
            sts_region: "us-east-1".to_owned(),
            sts: "ceph".to_owned(),
            fips: true,
            ..ClientView::default()
        };
        let document =
            ticket("cbt1.x", "2026-01-02T03:04:05Z", "http://127.0.0.1:1/v1/credentials", &client);
        let read: Ticket = serde_json::from_slice(&document).unwrap();
        assert_eq!(read.ticket.expose_secret(), "cbt1.x");
        assert_eq!(read.url, "http://127.0.0.1:1/v1/credentials");
        assert_eq!(read.client.region.as_deref(), Some("eu-west-1"));
        assert_eq!(read.client.endpoint_url, None);
        assert!(read.client.fips && !read.client.dual_stack);
    }
}
