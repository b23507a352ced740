//! The SDK that the broker itself uses, against the sandbox over real loopback TCP.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use aws_smithy_http_client::Builder;
use credbroker::model::Clock;
use credbroker::sandbox::{Operation, Sandbox, SandboxConfig};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::sandbox::client::{DEMO, role};

struct Running {
    sandbox: Sandbox,
    url: String,
    /// Ends with this.
    _serving: JoinSet<()>,
}

async fn start() -> Running {
    let config = SandboxConfig::parse(SandboxConfig::example()).unwrap();
    let sandbox = Sandbox::new(config, Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(sandbox.clone().serve(listener, std::future::pending()));
    Running { sandbox, url, _serving: serving }
}

impl Running {
    fn client(&self, credentials: Option<Credentials>) -> Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Builder::new().build_http())
            .region(Region::new("eu-west-1"))
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .endpoint_url(&self.url);
        let config = match credentials {
            Some(credentials) => config.credentials_provider(credentials),
            None => config.allow_no_auth(),
        };
        Client::from_conf(config.build())
    }

    fn demo(&self) -> Client {
        self.client(Some(Credentials::new(DEMO.0, DEMO.1, None, None, "test")))
    }
}

fn held(credentials: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
        None,
        "test",
    )
}

#[tokio::test]
async fn the_sdk_walks_from_role_to_role() {
    let running = start().await;
    let first = running
        .demo()
        .assume_role()
        .role_arn(role("Reader"))
        .role_session_name("sdk+test@host")
        .duration_seconds(7200)
        .external_id("ignored/here")
        .source_identity("alice")
        .policy(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#)
        .policy_arns(PolicyDescriptorType::builder().arn("arn:aws:iam::aws:policy/ReadOnlyAccess").build())
        .tags(Tag::builder().key("team").value("infra + söhne").build().unwrap())
        .transitive_tag_keys("team")
        .send()
        .await
        .unwrap();
    assert_eq!(first.source_identity(), Some("alice"));
    let credentials = first.credentials().unwrap();
    let expires = SystemTime::try_from(*credentials.expiration()).unwrap();
    let life = expires.duration_since(running.sandbox.now()).unwrap();
    assert!(life <= Duration::from_hours(2) && life > Duration::from_mins(119), "{life:?}");

    let second = running
        .client(Some(held(credentials)))
        .assume_role()
        .role_arn(role("chained/Deployer"))
        .role_session_name("sdk")
        .send()
        .await
        .unwrap();
    let client = running.client(Some(held(second.credentials().unwrap())));
    let identity = client.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:sts::123456789012:assumed-role/Deployer/sdk"));
    assert_eq!(running.sandbox.counts().of(Operation::AssumeRole).succeeded, 2);
}

#[tokio::test]
async fn the_sdk_reads_every_refusal() {
    let running = start().await;
    let request = running.demo().assume_role().role_arn(role("Nobody")).role_session_name("sdk");
    let error = request.send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
    assert_eq!(
        error.message(),
        Some(
            "User: arn:aws:iam::123456789012:user/demo is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/Nobody"
        )
    );
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(error.request_id().map(str::len), Some(36));
    let wrong = Credentials::new(DEMO.0, "wrong", None, None, "test");
    let error = running.client(Some(wrong)).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn the_sdk_takes_a_session_of_a_user_and_asks_about_keys() {
    let running = start().await;
    let session = running.demo().get_session_token().duration_seconds(900).send().await.unwrap();
    let client = running.client(Some(held(session.credentials().unwrap())));
    let identity = client.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:iam::123456789012:user/demo"));
    let account = running.demo().get_access_key_info().access_key_id(DEMO.0).send().await.unwrap();
    assert_eq!(account.account(), Some("123456789012"));
}

#[tokio::test]
async fn the_sdk_sends_a_web_identity_token_unsigned() {
    let running = start().await;
    let token = running
        .sandbox
        .mint_token(
            "https://token.sandbox.example",
            "system:serviceaccount:demo:app",
            "sts.amazonaws.com",
            Duration::from_mins(5),
        )
        .unwrap();
    let answer = running
        .client(None)
        .assume_role_with_web_identity()
        .role_arn(role("Workload"))
        .role_session_name("sdk")
        .web_identity_token(token.expose_secret())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.provider(), Some("https://token.sandbox.example"));
    assert_eq!(answer.subject_from_web_identity_token(), Some("system:serviceaccount:demo:app"));
    let client = running.client(Some(held(answer.credentials().unwrap())));
    let identity = client.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:sts::123456789012:assumed-role/Workload/sdk"));
}
