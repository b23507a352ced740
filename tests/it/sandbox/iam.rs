//! IAM: access keys and who may have them, request by request, and by the SDK.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_iam::config::{BehaviorVersion, Region};
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::StatusType;
use credbroker::model::Clock;
use credbroker::sandbox::{Operation, Sandbox, SandboxConfig};
use tokio::net::TcpListener;
use tokio::time::advance;

use crate::sandbox::client::{ADMIN, DEMO, Keys, MFA_SERIAL, Request, example, role, with_config};
use crate::sandbox::iam_devices::{SEED, code};

/// A request to IAM, as the user `demo` or with other keys.
pub(crate) fn iam(action: &str, keys: impl Into<Keys>) -> Request {
    let request = Request::new(action, keys).with("Version", "2010-05-08");
    Request { service: "iam".into(), region: "us-east-1".into(), ..request }
}

/// Sends it and expects an answer.
pub(crate) async fn done(request: &Request, sandbox: &Sandbox) -> crate::sandbox::client::Reply {
    let reply = request.send(sandbox).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let namespace = "xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"";
    assert!(reply.body.contains(namespace), "{}", reply.body);
    reply
}

fn slow() -> Sandbox {
    let text = SandboxConfig::example();
    with_config(&text.replace("propagation  = \"0s\"", "propagation  = \"10s\""))
}

const UNKNOWN: &str = "The security token included in the request is invalid.";

#[tokio::test(start_paused = true)]
async fn a_new_key_is_listed_at_once_and_known_in_a_while() {
    let sandbox = slow();
    let made = done(&iam("CreateAccessKey", DEMO), &sandbox).await;
    let keys = Keys { token: None, ..made.keys() };
    assert_eq!((keys.id.len(), keys.secret.len()), (20, 40));
    assert!(keys.id.starts_with("AKIA"));
    assert_eq!(made.text("UserName"), "demo");
    assert_eq!(made.text("CreateDate"), "2026-03-01T12:00:00Z");
    let list = done(&iam("ListAccessKeys", DEMO), &sandbox).await;
    assert!(list.body.contains(&keys.id) && list.body.contains(DEMO.0), "{}", list.body);
    assert!(!list.body.contains(&keys.secret));
    assert_eq!(list.text("IsTruncated"), "false");

    let who = Request::new("GetCallerIdentity", keys.clone());
    who.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    iam("GetUser", keys).refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    advance(Duration::from_secs(10)).await;
    assert_eq!(who.send(&sandbox).await.text("Arn"), "arn:aws:iam::123456789012:user/demo");
}

#[tokio::test(start_paused = true)]
async fn a_third_key_is_refused() {
    let sandbox = example();
    let create = iam("CreateAccessKey", DEMO);
    done(&create, &sandbox).await;
    let quota = "Cannot exceed quota for AccessKeysPerUser: 2";
    create.refused(&sandbox, 409, "LimitExceeded", quota).await;
    done(&iam("CreateAccessKey", ADMIN), &sandbox).await;
    assert_eq!(sandbox.counts().of(Operation::CreateAccessKey).failed_with("LimitExceeded"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_turned_off_and_on_in_a_while_and_deleted_at_once() {
    let sandbox = slow();
    let keys = Keys { token: None, ..done(&iam("CreateAccessKey", DEMO), &sandbox).await.keys() };
    let who = Request::new("GetCallerIdentity", keys.clone());
    advance(Duration::from_secs(10)).await;
    assert_eq!(who.send(&sandbox).await.status, 200);
    let update =
        |status| iam("UpdateAccessKey", DEMO).with("AccessKeyId", &keys.id).with("Status", status);
    let reply = done(&update("Inactive"), &sandbox).await;
    assert!(!reply.body.contains("Result"), "{}", reply.body);
    let list = done(&iam("ListAccessKeys", DEMO), &sandbox).await;
    assert!(list.body.contains("<Status>Inactive</Status>"), "{}", list.body);
    assert_eq!(who.send(&sandbox).await.status, 200, "not known yet");
    advance(Duration::from_secs(10)).await;
    who.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    done(&update("Active"), &sandbox).await;
    who.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    done(&update("Inactive"), &sandbox).await;
    advance(Duration::from_secs(10)).await;
    who.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    done(&update("Active"), &sandbox).await;
    advance(Duration::from_secs(10)).await;
    assert_eq!(who.send(&sandbox).await.status, 200);

    let delete = iam("DeleteAccessKey", DEMO).with("AccessKeyId", &keys.id);
    done(&delete, &sandbox).await;
    who.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    let gone = format!("The Access Key with id {} cannot be found.", keys.id);
    delete.refused(&sandbox, 404, "NoSuchEntity", &gone).await;
    update("Active").refused(&sandbox, 404, "NoSuchEntity", &gone).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_use_is_remembered() {
    let sandbox = example();
    let keys = Keys { token: None, ..done(&iam("CreateAccessKey", DEMO), &sandbox).await.keys() };
    let asked = iam("GetAccessKeyLastUsed", DEMO).with("AccessKeyId", &keys.id);
    let used = async || {
        let reply = done(&asked, &sandbox).await;
        ["UserName", "LastUsedDate", "ServiceName", "Region"].map(|name| reply.text(name))
    };
    assert_eq!(used().await, ["demo", "", "N/A", "N/A"]);
    advance(Duration::from_mins(1)).await;
    Request::new("GetCallerIdentity", keys.clone()).send(&sandbox).await;
    let wrong = Keys { secret: "wrong".into(), ..keys.clone() };
    advance(Duration::from_mins(1)).await;
    Request::new("GetCallerIdentity", wrong).send(&sandbox).await;
    assert_eq!(used().await, ["demo", "2026-03-01T12:01:00Z", "sts", "eu-west-1"]);
    iam("GetUser", keys).send(&sandbox).await;
    assert_eq!(used().await, ["demo", "2026-03-01T12:02:00Z", "iam", "us-east-1"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_about_others() {
    let sandbox = example();
    let denied = |action: &str, who: &str, user: &str| {
        format!("User: {who} is not authorized to perform: iam:{action} on resource: user {user}")
    };
    let demo = "arn:aws:iam::123456789012:user/demo";
    let list = iam("ListAccessKeys", DEMO).with("UserName", "admin");
    let message = denied("ListAccessKeys", demo, "admin");
    list.refused(&sandbox, 403, "AccessDenied", &message).await;
    let message = denied("GetAccessKeyLastUsed", demo, "admin");
    let used = iam("GetAccessKeyLastUsed", DEMO).with("AccessKeyId", ADMIN.0);
    used.refused(&sandbox, 403, "AccessDenied", &message).await;
    let delete = iam("DeleteAccessKey", DEMO).with("AccessKeyId", ADMIN.0);
    let message = format!("The Access Key with id {} cannot be found.", ADMIN.0);
    delete.refused(&sandbox, 404, "NoSuchEntity", &message).await;

    let session = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    let message = "Must specify userName when calling with non-User credentials";
    let list = iam("ListAccessKeys", session);
    list.refused(&sandbox, 400, "ValidationError", message).await;
    let role = "arn:aws:sts::123456789012:assumed-role/Reader/me";
    let message = denied("ListAccessKeys", role, "demo");
    list.with("UserName", "demo").refused(&sandbox, 403, "AccessDenied", &message).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_of_the_user_needs_a_code_for_iam() {
    let sandbox = example();
    let ask = Request::new("GetSessionToken", ADMIN);
    let without = ask.keys(&sandbox).await;
    let list = iam("ListAccessKeys", without);
    list.refused(&sandbox, 403, "InvalidClientTokenId", UNKNOWN).await;
    let code = code(SEED, &sandbox, 0);
    let with = ask.with("SerialNumber", MFA_SERIAL).with("TokenCode", &code).keys(&sandbox).await;
    let list = done(&iam("ListAccessKeys", with), &sandbox).await;
    assert_eq!(list.text("UserName"), "admin");
}

#[tokio::test(start_paused = true)]
async fn a_user_may_have_to_show_a_code_first() {
    let text = SandboxConfig::example();
    let sandbox =
        with_config(&text.replace("require_mfa_for_iam = false", "require_mfa_for_iam = true"));
    let denied = "User: arn:aws:iam::123456789012:user/admin is not authorized to perform: iam:CreateAccessKey on resource: user admin with an explicit deny in an identity-based policy";
    let create = iam("CreateAccessKey", ADMIN);
    create.refused(&sandbox, 403, "AccessDenied", denied).await;
    done(&iam("GetUser", ADMIN), &sandbox).await;
    done(&iam("CreateAccessKey", DEMO), &sandbox).await;
    let session = Request::new("GetSessionToken", ADMIN)
        .with("SerialNumber", MFA_SERIAL)
        .with("TokenCode", &code(SEED, &sandbox, 0))
        .keys(&sandbox)
        .await;
    done(&iam("CreateAccessKey", session), &sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn signatures_and_parameters_are_those_of_iam() {
    let sandbox = example();
    let elsewhere = Request { region: "eu-west-1".into(), ..iam("GetUser", DEMO) };
    let message = "Credential should be scoped to a valid region, not 'eu-west-1'. ";
    elsewhere.refused(&sandbox, 403, "SignatureDoesNotMatch", message).await;
    let other = Request { service: "sts".into(), ..iam("GetUser", DEMO) };
    let message = "Credential should be scoped to correct service: 'iam'. ";
    other.refused(&sandbox, 403, "SignatureDoesNotMatch", message).await;
    let old = iam("GetUser", DEMO).with("Version", "2011-06-15");
    let message = "Could not find operation GetUser for version 2011-06-15";
    old.refused(&sandbox, 400, "InvalidAction", message).await;
    let update = iam("UpdateAccessKey", DEMO).with("AccessKeyId", "short").with("Status", "Off");
    let message = "2 validation errors detected: Value 'Off' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]; \
                   Value 'short' at 'accessKeyId' failed to satisfy constraint: Member must have length greater than or equal to 16";
    update.refused(&sandbox, 400, "ValidationError", message).await;
    let page = iam("ListAccessKeys", DEMO).with("MaxItems", "1");
    done(&iam("CreateAccessKey", DEMO), &sandbox).await;
    let first = done(&page, &sandbox).await;
    assert_eq!(first.text("IsTruncated"), "true");
    let second = done(&page.with("Marker", &first.text("Marker")), &sandbox).await;
    assert_eq!(second.text("IsTruncated"), "false");
    assert_ne!(first.text("AccessKeyId"), second.text("AccessKeyId"));
}

#[tokio::test]
async fn the_sdk_goes_through_the_life_of_a_key() {
    let config = SandboxConfig::parse(SandboxConfig::example()).unwrap();
    let sandbox = Sandbox::new(config, Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(aws_sdk_iam::config::retry::RetryConfig::disabled())
        .credentials_provider(Credentials::new(DEMO.0, DEMO.1, None, None, "test"))
        .endpoint_url(url)
        .build();
    let client = aws_sdk_iam::Client::from_conf(config);

    let me = client.get_user().send().await.unwrap().user.unwrap();
    assert_eq!(me.arn(), "arn:aws:iam::123456789012:user/demo");
    let made = client.create_access_key().send().await.unwrap().access_key.unwrap();
    let id = made.access_key_id();
    assert_eq!(made.status(), &StatusType::Active);
    let error = client.create_access_key().send().await.unwrap_err().into_service_error();
    assert!(error.is_limit_exceeded_exception(), "{error:?}");
    client.update_access_key().access_key_id(id).status(StatusType::Inactive).send().await.unwrap();
    let listed = client.list_access_keys().send().await.unwrap().access_key_metadata;
    let listed = listed.iter().find(|key| key.access_key_id() == Some(id)).unwrap();
    assert_eq!(listed.status(), Some(&StatusType::Inactive));
    let used = client.get_access_key_last_used().access_key_id(id).send().await.unwrap();
    let used = used.access_key_last_used.unwrap();
    assert_eq!((used.service_name(), used.last_used_date()), ("N/A", None));
    let used = client.get_access_key_last_used().access_key_id(DEMO.0).send().await.unwrap();
    let used = used.access_key_last_used.unwrap();
    assert_eq!((used.service_name(), used.region()), ("iam", "us-east-1"));
    client.delete_access_key().access_key_id(id).send().await.unwrap();
    let error = client.delete_access_key().access_key_id(id).send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchEntity"));
    serving.abort();
}
