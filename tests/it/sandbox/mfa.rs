//! MFA: real codes, each of them once.

use std::time::{Duration, SystemTime};

use credbroker::sandbox::Sandbox;
use tokio::time::advance;
use totp_rs::{Builder, Secret};

use crate::sandbox::client::{ADMIN, DEMO, MFA_SERIAL, Request, example, role};

const WRONG: &str = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
const STRANGER: &str = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.";

/// The code that the device shows `ahead` seconds from now.
fn code(sandbox: &Sandbox, ahead: i64) -> String {
    let seed = Secret::try_from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
    let totp = Builder::new().with_secret(seed).build().unwrap();
    let now = sandbox.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    totp.generate(now.checked_add_signed(ahead).unwrap()).to_string()
}

fn admin_role() -> Request {
    Request::assume(&role("Admin"), ADMIN)
}

fn denied() -> String {
    format!(
        "User: arn:aws:iam::123456789012:user/admin is not authorized to perform: sts:AssumeRole on resource: {}",
        role("Admin")
    )
}

#[tokio::test(start_paused = true)]
async fn a_role_that_wants_a_code_gets_it_with_the_request() {
    let sandbox = example();
    admin_role().refused(&sandbox, 403, "AccessDenied", &denied()).await;
    let with_code =
        admin_role().with("SerialNumber", MFA_SERIAL).with("TokenCode", &code(&sandbox, 0));
    with_code.keys(&sandbox).await;
    with_code.refused(&sandbox, 403, "AccessDenied", WRONG).await;
    advance(Duration::from_secs(30)).await;
    with_code.refused(&sandbox, 403, "AccessDenied", WRONG).await;
    with_code.with("TokenCode", &code(&sandbox, 0)).keys(&sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn a_code_is_spent_for_both_operations() {
    let sandbox = example();
    let code = code(&sandbox, 0);
    let session = Request::new("GetSessionToken", ADMIN)
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", &code);
    session.keys(&sandbox).await;
    session.refused(&sandbox, 403, "AccessDenied", WRONG).await;
    admin_role()
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", &code)
        .refused(&sandbox, 403, "AccessDenied", WRONG)
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_window_is_a_step_to_either_side() {
    let asked = |sandbox: &Sandbox, ahead: i64| {
        Request::new("GetSessionToken", ADMIN)
            .with("SerialNumber", MFA_SERIAL)
            .with("TokenCode", &code(sandbox, ahead))
    };
    for ahead in [-30, 0, 30] {
        let sandbox = example();
        asked(&sandbox, ahead).keys(&sandbox).await;
    }
    for ahead in [-60, 60] {
        let sandbox = example();
        asked(&sandbox, ahead).refused(&sandbox, 403, "AccessDenied", WRONG).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_a_code_satisfies_the_role_and_one_without_does_not() {
    let sandbox = example();
    let plain = Request::new("GetSessionToken", ADMIN).keys(&sandbox).await;
    let request = Request::assume(&role("Admin"), plain);
    request.refused(&sandbox, 403, "AccessDenied", &denied()).await;
    let with_code = Request::new("GetSessionToken", ADMIN)
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", &code(&sandbox, 0))
        .keys(&sandbox)
        .await;
    advance(Duration::from_hours(11)).await;
    Request::assume(&role("Admin"), with_code.clone()).keys(&sandbox).await;
    Request::assume(&role("Admin"), with_code).keys(&sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn another_device_and_half_a_pair_are_refused() {
    let sandbox = example();
    let code = code(&sandbox, 0);
    let other = "arn:aws:iam::123456789012:mfa/other";
    for (action, keys, serial) in [
        ("GetSessionToken", ADMIN, other),
        ("AssumeRole", ADMIN, other),
        // The device is there, but it is somebody else's.
        ("GetSessionToken", DEMO, MFA_SERIAL),
        ("AssumeRole", DEMO, MFA_SERIAL),
    ] {
        let request = Request::assume(&role("Admin"), keys).with("Action", action);
        let request = request.with("SerialNumber", serial).with("TokenCode", &code);
        request.refused(&sandbox, 403, "AccessDenied", STRANGER).await;
    }
    let role_session = Request::assume(&role("Reader"), ADMIN).keys(&sandbox).await;
    Request::assume(&role("Writer"), role_session)
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", &code)
        .refused(&sandbox, 403, "AccessDenied", STRANGER)
        .await;
    for half in [("SerialNumber", MFA_SERIAL), ("TokenCode", code.as_str())] {
        Request::new("GetSessionToken", ADMIN)
            .with(half.0, half.1)
            .refused(
                &sandbox,
                403,
                "AccessDenied",
                "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code. ",
            )
            .await;
    }
    Request::new("GetSessionToken", ADMIN)
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", "12345")
        .refused(
            &sandbox,
            400,
            "ValidationError",
            "1 validation error detected: Value at 'tokenCode' failed to satisfy constraint: Member must have length greater than or equal to 6",
        )
        .await;
}
