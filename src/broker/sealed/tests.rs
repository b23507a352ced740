//! What is written of a session, and what it is bound to.

use proptest::prelude::*;

use super::*;
use crate::broker::tests::script::{device, mfa_plan, plan};
use crate::model::{CommandLine, SessionDuration, SessionName};
use crate::seal::Key;

fn session(
    account: Option<&str>,
    arn: Option<&str>,
    issued: u64,
    nanos: u32,
) -> SessionCredentials {
    let issued = SystemTime::UNIX_EPOCH + Duration::new(issued, nanos);
    SessionCredentials {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: SecretString::from("hush/secret"),
        session_token: SecretString::from("hush/token".repeat(100)),
        validity: Validity::new(issued, issued + Duration::from_hours(12)).unwrap(),
        account_id: account.and_then(AccountId::parse),
        arn: arn.map(str::to_owned),
    }
}

#[track_caller]
fn assert_same(a: &SessionCredentials, b: &SessionCredentials) {
    assert_eq!(a.access_key_id, b.access_key_id);
    assert_eq!(a.secret_access_key.expose_secret(), b.secret_access_key.expose_secret());
    assert_eq!(a.session_token.expose_secret(), b.session_token.expose_secret());
    assert_eq!((a.validity, &a.account_id, &a.arn), (b.validity, &b.account_id, &b.arn));
}

#[test]
fn what_is_written_is_read_and_nothing_less_or_more() {
    for (account, arn) in
        [(None, None), (Some("123456789012"), Some("arn:aws:sts::123456789012:assumed-role/A/me"))]
    {
        let session = session(account, arn, 1_900_000_000, 123_456_789);
        let written = write(&session);
        assert_eq!(written.len(), written.capacity(), "one that grew left copies behind");
        assert_same(&read(&written).unwrap(), &session);
        for length in 0..written.len() {
            assert!(read(&written[..length]).is_none(), "{length}");
        }
        assert!(read(&[&written[..], b"\0"].concat()).is_none());
    }
}

#[test]
fn values_that_cannot_be_are_not_read() {
    let whole = write(&session(None, None, 1_900_000_000, 5));
    // The nanoseconds; the end before the beginning; the length of the key.
    for (at, byte) in [(8, 0xff), (12, 0xff), (16, 0), (20, 0xff), (23, 0)] {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        assert!(read(&bytes).is_none(), "{at}");
    }
}

proptest! {
    #[test]
    fn nothing_made_up_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_time_comes_back(issued in 0_u64..10_000_000_000, nanos in 0_u32..1_000_000_000) {
        let session = session(None, None, issued, nanos);
        assert_same(&read(&write(&session)).unwrap(), &session);
    }
}

/// The ids of the leases of a plan, its own first.
fn ids(plan: &crate::model::Plan) -> Vec<Id> {
    crate::broker::tending::keys(plan).map(|key| id(&key)).collect()
}

#[test]
fn a_session_of_a_device_depends_on_base_and_device_alone() {
    let first = mfa_plan("a", &["A"]);
    let mut other = mfa_plan("b", &["B"]);
    let command = CommandLine::new(vec!["ykman".to_owned()]).unwrap();
    other.through[0].call = Call::GetSessionToken {
        device: Some(MfaDevice { code: CodeSource::Command(command), ..device() }),
        duration: SessionDuration::of_user(129_600).ok(),
    };
    assert_eq!(ids(&first)[1], ids(&other)[1]);
    assert_ne!(ids(&first)[0], ids(&other)[0]);
    other.base = crate::model::Base::Anonymous;
    assert_ne!(ids(&first)[1], ids(&other)[1]);
    let mut elsewhere = mfa_plan("a", &["A"]);
    elsewhere.through[0].sts.url = Some("https://rgw.example".into());
    assert_ne!(ids(&first)[1], ids(&elsewhere)[1]);
}

#[test]
fn a_role_depends_on_all_that_it_is_asked_for_with() {
    let of = |change: fn(&mut crate::model::RoleRequest)| {
        let mut plan = plan("a", &["A", "B"]);
        let Call::AssumeRole { request, .. } = &mut plan.through[0].call else { unreachable!() };
        change(request);
        ids(&plan)
    };
    let plain = of(|_| {});
    assert_eq!(plain, ids(&plan("renamed", &["A", "B"])), "the profile's name is no part of it");
    for other in [
        of(|request| request.duration = SessionDuration::of_user(1_800).ok()),
        of(|request| request.session_name = SessionName::from_lossy("other")),
        of(|request| request.policy = crate::model::SessionPolicy::parse("{}").ok()),
    ] {
        assert_ne!(plain[1], other[1]);
        assert_ne!(plain[0], other[0], "and all that lies behind it");
    }
    assert_ne!(plain[0], plain[1]);
}

#[tokio::test]
async fn a_session_of_the_future_is_left_until_the_clock_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sealed(directory.path().join("sessions"), Key::new([1; 32]));
    store.unlock(Key::new([2; 32]), "a test");
    let key = plan("a", &["A"]).lease_key();
    let kept = session(None, None, 1_900_000_000, 7);
    Sealed::new(&store, &key).unwrap().keep(&kept).await;
    let issued = kept.validity.issued();
    let mut sealed = Sealed::new(&store, &key).unwrap();
    assert!(sealed.take(issued - Duration::from_hours(2)).await.is_none());
    assert!(sealed.is_unread());
    let slightly = issued - Duration::from_secs(30);
    let taken = sealed.take(slightly).await.unwrap();
    assert_eq!(taken.validity.issued(), slightly, "as if it had been issued now");
    assert_eq!(taken.validity.expires(), kept.validity.expires());
    assert!(!sealed.is_unread());
    for (left, usable) in [(61, true), (59, false)] {
        let mut sealed = Sealed::new(&store, &key).unwrap();
        let now = kept.validity.expires() - Duration::from_secs(left);
        assert_eq!(sealed.take(now).await.is_some(), usable, "{left}");
    }
}
