//! Where the codes of MFA devices go.

use super::*;

/// The first role of a chain, the device that its request carries a code of, and the session before it.
fn opening(plan: &Plan) -> (Option<&str>, Option<(&str, Option<u32>)>) {
    let of_role = plan.hops().find(|hop| hop.call.role_arn().is_some());
    let device = of_role.and_then(|hop| hop.call.device()).map(|device| device.serial.as_str());
    let session = plan.hops().find_map(|hop| match &hop.call {
        Call::GetSessionToken { device, duration } => Some((
            device.as_ref().map_or("", |device| device.serial.as_str()),
            duration.map(SessionDuration::as_secs),
        )),
        Call::AssumeRole { .. } | Call::AssumeRoleWithWebIdentity { .. } | Call::Provided(_) => {
            None
        }
    });
    (device, session)
}

#[test]
fn profiles_behind_one_device_share_its_session_and_a_long_role_takes_a_code_itself() {
    let device = |session: &str| format!("[mfa.me]\nserial = \"GAHT12345678\"\n{session}\n");
    let text = "[profile.me]\naccess_key = { env = true }\nmfa = \"me\"\nsession_token = true\n"
        .to_owned()
        + &role("a", "me", "region = \"eu-west-1\"")
        + &role("b", "me", "duration_seconds = 3600")
        + &role("behind", "a", "")
        + &role("long", "me", "duration_seconds = 3601");
    let auto = text.clone() + &device("");
    let session = plan(&auto, "me").lease_key();
    for name in ["a", "b"] {
        let plan = plan(&auto, name);
        assert_eq!(opening(&plan), (None, Some(("GAHT12345678", Some(43_200)))), "{name}");
        assert_eq!(plan.lease_key().parent().unwrap(), session, "{name}");
    }
    assert_eq!(plan(&auto, "behind").through.len(), 2);
    assert_eq!(opening(&plan(&auto, "long")), (Some("GAHT12345678"), None));
    let day = text.clone() + &device("session = \"36h\"");
    assert_eq!(opening(&plan(&day, "a")).1, Some(("GAHT12345678", Some(129_600))));
    let off = text + &device("session = \"off\"");
    assert_eq!(opening(&plan(&off, "a")), (Some("GAHT12345678"), None));
    assert_eq!(opening(&plan(&off, "behind")), (Some("GAHT12345678"), None));
    assert_eq!(opening(&plan(&off, "me")).1, Some(("GAHT12345678", None)));
}

#[test]
fn a_device_may_stand_in_the_first_role_and_then_counts_for_it_and_what_is_behind() {
    let text = role("plain", "key", "")
        + &role("guarded", "key", "mfa = \"me\"")
        + &role("behind", "guarded", "")
        + "[mfa.me]\nserial = \"GAHT12345678\"\n";
    assert_eq!(opening(&plan(&text, "plain")), (None, None));
    for name in ["guarded", "behind"] {
        assert_eq!(opening(&plan(&text, name)).1, Some(("GAHT12345678", Some(43_200))), "{name}");
    }
}
