//! IAM: MFA devices, from the seed to the last code.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use credbroker::sandbox::{Sandbox, SandboxConfig};
use tokio::time::advance;
use totp_rs::{Builder, Secret};

use crate::sandbox::client::{ADMIN, DEMO, MFA_SERIAL, Reply, Request, example, with_config};
use crate::sandbox::iam::{done, iam};

/// The seed of the example's device.
pub(crate) const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

const SERIAL: &str = "arn:aws:iam::123456789012:mfa/phone";

/// The code that a device with `seed` shows `ahead` seconds from now.
pub(crate) fn code(seed: &str, sandbox: &Sandbox, ahead: i64) -> String {
    let seed = Secret::try_from_base32(seed).unwrap();
    let totp = Builder::new().with_secret(seed).build_noncompliant();
    let now = sandbox.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    totp.generate(now.checked_add_signed(ahead).unwrap()).to_string()
}

/// Makes a device called `phone`; its seed.
async fn made(sandbox: &Sandbox) -> (String, Reply) {
    let create = iam("CreateVirtualMFADevice", DEMO).with("VirtualMFADeviceName", "phone");
    let reply = done(&create, sandbox).await;
    assert_eq!(reply.text("SerialNumber"), SERIAL);
    let seed = STANDARD.decode(reply.text("Base32StringSeed")).unwrap();
    (String::from_utf8(seed).unwrap(), reply)
}

/// Enables it for `demo` with the codes of `first` and of `second` seconds from now.
fn enable(sandbox: &Sandbox, seed: &str, [first, second]: [i64; 2]) -> Request {
    iam("EnableMFADevice", DEMO)
        .with("UserName", "demo")
        .with("SerialNumber", SERIAL)
        .with("AuthenticationCode1", &code(seed, sandbox, first))
        .with("AuthenticationCode2", &code(seed, sandbox, second))
}

const WRONG: &str = "Authentication code for device is not valid.";

#[tokio::test(start_paused = true)]
async fn a_device_goes_from_the_seed_to_sessions_and_away() {
    let sandbox = example();
    let (seed, _) = made(&sandbox).await;
    assert_eq!(seed.len(), 64);
    let again = iam("CreateVirtualMFADevice", DEMO).with("VirtualMFADeviceName", "phone");
    let message = "MFADevice entity at the same path and name already exists.";
    again.refused(&sandbox, 409, "EntityAlreadyExists", message).await;
    let list = iam("ListMFADevices", DEMO);
    assert_eq!(done(&list, &sandbox).await.text("SerialNumber"), "");
    done(&enable(&sandbox, &seed, [-30, 0]), &sandbox).await;
    let listed = done(&list, &sandbox).await;
    assert_eq!(listed.text("SerialNumber"), SERIAL);
    assert_eq!(listed.text("EnableDate"), "2026-03-01T12:00:00Z");

    let session = |code: &str| {
        let request = Request::new("GetSessionToken", DEMO).with("TokenCode", code);
        request.with("SerialNumber", SERIAL)
    };
    let spent = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
    let used = code(&seed, &sandbox, 0);
    session(&used).refused(&sandbox, 403, "AccessDenied", spent).await;
    session(&code(&seed, &sandbox, 30)).keys(&sandbox).await;

    let delete = iam("DeleteVirtualMFADevice", DEMO).with("SerialNumber", SERIAL);
    let message = "MFA VirtualDevice in use. Must deactivate first.";
    delete.refused(&sandbox, 409, "DeleteConflict", message).await;
    done(&iam("DeactivateMFADevice", DEMO).with("SerialNumber", SERIAL), &sandbox).await;
    advance(Duration::from_mins(5)).await;
    let stranger = session(&code(&seed, &sandbox, 0)).send(&sandbox).await;
    assert_eq!(stranger.text("Code"), "AccessDenied");
    done(&delete, &sandbox).await;
    let message = format!("VirtualMFADevice with serial number {SERIAL} does not exist.");
    delete.refused(&sandbox, 404, "NoSuchEntity", &message).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_wants_two_of_its_codes_in_a_row_once() {
    let sandbox = example();
    let (seed, _) = made(&sandbox).await;
    for odd in [[0, 0], [0, -30], [-60, 0], [-120, -90], [30, 60]] {
        let request = enable(&sandbox, &seed, odd);
        request.refused(&sandbox, 403, "InvalidAuthenticationCode", WRONG).await;
    }
    let other = enable(&sandbox, SEED, [-30, 0]);
    other.refused(&sandbox, 403, "InvalidAuthenticationCode", WRONG).await;
    let right = enable(&sandbox, &seed, [-30, 0]);
    let nameless = right.clone().without("UserName").send(&sandbox).await;
    assert_eq!((nameless.status, nameless.text("Code").as_str()), (400, "ValidationError"));
    done(&right, &sandbox).await;
    right.refused(&sandbox, 409, "EntityAlreadyExists", "MFA Device is already in use.").await;
    done(&iam("DeactivateMFADevice", DEMO).with("SerialNumber", SERIAL), &sandbox).await;
    let message = "An authentication code was used before. Wait for the next two, then try again.";
    right.refused(&sandbox, 409, "EntityTemporarilyUnmodifiable", message).await;
    advance(Duration::from_mins(1)).await;
    done(&enable(&sandbox, &seed, [-30, 0]), &sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_is_listed_at_once_and_its_codes_are_taken_in_a_while() {
    let text = SandboxConfig::example();
    let sandbox = with_config(&text.replace("propagation  = \"0s\"", "propagation  = \"10s\""));
    let (seed, _) = made(&sandbox).await;
    done(&enable(&sandbox, &seed, [-30, 0]), &sandbox).await;
    assert_eq!(done(&iam("ListMFADevices", DEMO), &sandbox).await.text("SerialNumber"), SERIAL);
    let session = Request::new("GetSessionToken", DEMO)
        .with("TokenCode", &code(&seed, &sandbox, 30))
        .with("SerialNumber", SERIAL);
    advance(Duration::from_secs(9)).await;
    let early = session.send(&sandbox).await;
    assert_eq!(early.text("Code"), "AccessDenied");
    assert!(early.text("Message").contains("unable to validate MFA code"), "{}", early.body);
    advance(Duration::from_secs(1)).await;
    session.keys(&sandbox).await;
}

/// Made or not, enabled or not: the number of devices of one user is bounded.
#[tokio::test(start_paused = true)]
async fn a_ninth_device_is_refused() {
    let sandbox = example();
    for number in 0..9 {
        let name = format!("phone-{number}");
        let create = iam("CreateVirtualMFADevice", DEMO).with("VirtualMFADeviceName", &name);
        let reply = done(&create, &sandbox).await;
        let seed = STANDARD.decode(reply.text("Base32StringSeed")).unwrap();
        let seed = String::from_utf8(seed).unwrap();
        let enable =
            enable(&sandbox, &seed, [-30, 0]).with("SerialNumber", &reply.text("SerialNumber"));
        if number < 8 {
            done(&enable, &sandbox).await;
        } else {
            let message = "Cannot exceed quota for MFADevicesPerUser: 8";
            enable.refused(&sandbox, 409, "LimitExceeded", message).await;
        }
    }
}

/// One of the two codes was taken for a session before: both of the next pair must be unused, too.
#[tokio::test(start_paused = true)]
async fn a_code_that_a_session_was_got_with_enables_nothing() {
    let sandbox = example();
    let (seed, _) = made(&sandbox).await;
    done(&enable(&sandbox, &seed, [-30, 0]), &sandbox).await;
    let session = Request::new("GetSessionToken", DEMO).with("SerialNumber", SERIAL);
    session.with("TokenCode", &code(&seed, &sandbox, 30)).keys(&sandbox).await;
    done(&iam("DeactivateMFADevice", DEMO).with("SerialNumber", SERIAL), &sandbox).await;
    advance(Duration::from_mins(1)).await;
    let message = "An authentication code was used before. Wait for the next two, then try again.";
    let spent = enable(&sandbox, &seed, [-30, 0]);
    spent.refused(&sandbox, 409, "EntityTemporarilyUnmodifiable", message).await;
    done(&enable(&sandbox, &seed, [0, 30]), &sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn virtual_devices_are_listed_with_who_has_them() {
    let sandbox = example();
    made(&sandbox).await;
    let list = async |status: Option<&str>| {
        let request = iam("ListVirtualMFADevices", ADMIN);
        let request = match status {
            Some(status) => request.with("AssignmentStatus", status),
            None => request,
        };
        let body = done(&request, &sandbox).await.body;
        assert!(!body.contains("Seed"), "{body}");
        [SERIAL, MFA_SERIAL].map(|serial| body.contains(&format!(">{serial}<")))
    };
    assert_eq!(list(None).await, [true, true]);
    assert_eq!(list(Some("Unassigned")).await, [true, false]);
    assert_eq!(list(Some("Assigned")).await, [false, true]);
    let delete = iam("DeleteVirtualMFADevice", DEMO).with("SerialNumber", MFA_SERIAL);
    assert_eq!(delete.send(&sandbox).await.text("Code"), "DeleteConflict");
    let foreign = iam("DeactivateMFADevice", DEMO).with("SerialNumber", MFA_SERIAL);
    assert_eq!(foreign.send(&sandbox).await.text("Code"), "NoSuchEntity");
}

#[tokio::test(start_paused = true)]
async fn the_picture_is_the_qr_code_of_the_seed() {
    let sandbox = example();
    let (seed, reply) = made(&sandbox).await;
    let uri = format!("otpauth://totp/phone@123456789012?secret={seed}");
    let code = qrcode::QrCode::new(uri).unwrap();
    let png = STANDARD.decode(reply.text("QRCodePNG")).unwrap();
    let side = u32::from_be_bytes(png[16..20].try_into().unwrap());
    let side = usize::try_from(side).unwrap();
    assert_eq!(side, (code.width() + 8) * 4);
    // Signature 8, IHDR 25, the head of IDAT 8, zlib's 2 and a stored block's 5; one block holds it all.
    let row = side / 8 + usize::from(side % 8 > 0) + 1;
    assert_eq!(png[43], 1, "the last block");
    let rows = &png[48..48 + row * side];
    let light = |x: usize, y: usize| rows[y * row + 1 + x / 8] >> (7 - x % 8) & 1 == 1;
    let colors = code.to_colors();
    for (at, color) in colors.iter().enumerate() {
        let (x, y) = (at % code.width(), at / code.width());
        let is_light = light((x + 4) * 4 + 1, (y + 4) * 4 + 2);
        assert_eq!(is_light, *color == qrcode::Color::Light, "{x}, {y}");
    }
    assert!(light(0, 0) && light(side - 1, side - 1));
}
