//! What an STS is sent, and which of their answers are taken: from the configuration through the SDK to the wire, by
//! a connector that keeps every request.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use credbroker::config::{self, Surroundings};
use credbroker::model::{
    AccountId, Clock, LongTermKey, Plan, SessionCredentials, Signer, parse_timestamp, timestamp,
};
use credbroker::source::{Codes, Live, Oidc, Source, Sts};
use secrecy::ExposeSecret;

/// What was sent.
#[derive(Clone, Debug)]
struct Sent {
    url: String,
    authorization: Option<String>,
    form: BTreeMap<String, String>,
}

impl Sent {
    fn form(&self) -> Vec<(&str, &str)> {
        self.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The region and the service that the request is signed for.
    fn scope(&self) -> (&str, &str) {
        let authorization = self.authorization.as_deref().unwrap();
        let credential = authorization.split("Credential=").nth(1).unwrap();
        let parts: Vec<&str> = credential.split([',', '/']).collect();
        (parts[2], parts[3])
    }
}

/// Keeps what it is given to send, and gives one answer to all of it.
#[derive(Clone, Debug)]
struct Keeper {
    answer: String,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Keeper {
    fn answering(answer: &str) -> Self {
        Self { answer: answer.to_owned(), sent: Arc::default() }
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Takes the last hop of `plan`, at [`NOW`].
    async fn take(&self, plan: &Plan) -> SessionCredentials {
        let clock = Clock::simulated(parse_timestamp(NOW).unwrap());
        let source = Live::new(
            Sts::through(clock, SharedHttpConnector::new(self.clone())),
            Codes::open(Path::new("/nonexistent"), clock),
            Oidc::new(clock),
        );
        let key = LongTermKey {
            access_key_id: "AKIAEXAMPLE".to_owned(),
            secret_access_key: "hush".into(),
        };
        source.assume(&Signer::LongTerm(Arc::new(key)), &plan.last).await.unwrap()
    }
}

impl HttpConnector for Keeper {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap();
        let form = form_urlencoded::parse(body).into_owned().collect();
        let authorization = request.headers().get("authorization").map(ToOwned::to_owned);
        let sent = Sent { url: request.uri().to_owned(), authorization, form };
        self.sent.lock().unwrap().push(sent);
        let answer = SdkBody::from(self.answer.clone());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            StatusCode::try_from(200).unwrap(),
            answer,
        )))
    }
}

/// Each parameter of the configuration goes out as it was written, and nothing else does.
#[tokio::test(start_paused = true)]
async fn all_parameters_are_sent_as_they_were_given() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(
        directory.path(),
        r#"
        source_profile    = "base"
        role_arn          = "arn:aws:iam::123456789012:role/path/Reader"
        duration_seconds  = 7200
        role_session_name = "me+laptop@home"
        external_id       = "third/party:id"
        source_identity   = "alice"
        policy            = '{ "Version": "2012-10-17" }'
        policy_arns       = ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/Other"]
        tags              = { team = "infra + söhne", cost = "1" }
        transitive_tags   = ["team"]
        region            = "eu-west-1""#,
    );
    let keeper = Keeper::answering(AWS);
    keeper.take(&plan).await;
    let sent = keeper.sent();
    assert_eq!(sent.len(), 1);
    let expected = [
        ("Action", "AssumeRole"),
        ("DurationSeconds", "7200"),
        ("ExternalId", "third/party:id"),
        ("Policy", r#"{"Version":"2012-10-17"}"#),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("PolicyArns.member.2.arn", "arn:aws:iam::aws:policy/Other"),
        ("RoleArn", "arn:aws:iam::123456789012:role/path/Reader"),
        ("RoleSessionName", "me+laptop@home"),
        ("SourceIdentity", "alice"),
        ("Tags.member.1.Key", "cost"),
        ("Tags.member.1.Value", "1"),
        ("Tags.member.2.Key", "team"),
        ("Tags.member.2.Value", "infra + söhne"),
        ("TransitiveTagKeys.member.1", "team"),
        ("Version", "2011-06-15"),
    ];
    assert_eq!(sent[0].form(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_given_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path(), &role("aws", "role_session_name = \"me\""));
    let keeper = Keeper::answering(AWS);
    keeper.take(&plan).await;
    let expected = [
        ("Action", "AssumeRole"),
        ("RoleArn", "arn:aws:iam::123456789012:role/Reader"),
        ("RoleSessionName", "me"),
        ("Version", "2011-06-15"),
    ];
    assert_eq!(keeper.sent()[0].form(), expected);
}

/// Contract F 72: the token is the proof; a signature would make `MinIO` take it for another call. The next test
/// runs this one again where keys lie about.
#[tokio::test(start_paused = true)]
async fn a_web_identity_is_sent_without_a_signature() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("token"), "eyJ.abc.def\n").unwrap();
    let plan = plan(
        directory.path(),
        r#"
        web_identity_token = { file = "token" }
        role_arn           = "arn:aws:iam::123456789012:role/Workload"
        role_session_name  = "me"
        duration_seconds   = 43200
        policy_arns        = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
        region             = "eu-west-1""#,
    );
    let keeper = Keeper::answering(&AWS.replace("AssumeRole", "AssumeRoleWithWebIdentity"));
    keeper.take(&plan).await;
    let sent = &keeper.sent()[0];
    assert_eq!(sent.authorization, None);
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("DurationSeconds", "43200"),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("RoleArn", "arn:aws:iam::123456789012:role/Workload"),
        ("RoleSessionName", "me"),
        ("Version", "2011-06-15"),
        ("WebIdentityToken", "eyJ.abc.def"),
    ];
    assert_eq!(sent.form(), expected);
}

/// Contract F 72, with keys, a profile and an endpoint in the environment of a process of its own.
#[test]
fn the_environment_signs_nothing_and_leads_nowhere() {
    for test in ["a_web_identity_is_sent_without_a_signature", "endpoints_are_those_of_aws"] {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        let keys = "[default]\naws_access_key_id = AKIAPLANTED\naws_secret_access_key = planted\n";
        fs::write(home.path().join(".aws/credentials"), keys).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("sts_calls::{test}")])
            .env("HOME", home.path())
            .env("AWS_ACCESS_KEY_ID", "AKIAPLANTED")
            .env("AWS_SECRET_ACCESS_KEY", "planted")
            .env("AWS_SESSION_TOKEN", "planted")
            .env("AWS_REGION", "ap-south-1")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
            .env("AWS_USE_FIPS_ENDPOINT", "true")
            .env("AWS_USE_DUALSTACK_ENDPOINT", "true")
            .env("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

/// Contract F 75: by region, partition, FIPS and dual stack (contract E.3, and the rule set of the STS service model).
#[tokio::test(start_paused = true)]
async fn endpoints_are_those_of_aws() {
    let fips = "use_fips_endpoint = true\n";
    let dual = "use_dualstack_endpoint = true\n";
    let both = &format!("{fips}{dual}");
    for (partition, region, switches, host) in [
        ("aws", "eu-west-1", "", "sts.eu-west-1.amazonaws.com"),
        ("aws", "us-east-1", "", "sts.us-east-1.amazonaws.com"),
        ("aws", "ap-southeast-7", "", "sts.ap-southeast-7.amazonaws.com"),
        ("aws", "us-east-1", fips, "sts-fips.us-east-1.amazonaws.com"),
        ("aws", "us-west-2", fips, "sts-fips.us-west-2.amazonaws.com"),
        ("aws", "eu-west-1", dual, "sts.eu-west-1.api.aws"),
        ("aws", "us-east-2", both, "sts-fips.us-east-2.api.aws"),
        ("aws-cn", "cn-north-1", "", "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-cn", "cn-northwest-1", dual, "sts.cn-northwest-1.api.amazonwebservices.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-us-gov", "us-gov-east-1", fips, "sts.us-gov-east-1.amazonaws.com"),
        ("aws-us-gov", "us-gov-west-1", dual, "sts.us-gov-west-1.api.aws"),
        ("aws-iso", "us-iso-east-1", "", "sts.us-iso-east-1.c2s.ic.gov"),
        ("aws-iso-b", "us-isob-east-1", "", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("aws-eusc", "eusc-de-east-1", "", "sts.eusc-de-east-1.amazonaws.eu"),
    ] {
        let lines = format!("region = \"{region}\"\n{switches}");
        assert_eq!(called(partition, &lines).await, (host.to_owned(), region.to_owned()));
    }
}

/// Contract F 75: without a region, the one that is the partition's own.
#[tokio::test(start_paused = true)]
async fn without_a_region_the_partitions_own_is_called() {
    for (partition, host, region) in [
        ("aws", "sts.us-east-1.amazonaws.com", "us-east-1"),
        ("aws-cn", "sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("aws-us-gov", "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
    ] {
        assert_eq!(called(partition, "").await, (host.to_owned(), region.to_owned()));
    }
}

/// Contract F 68, 75: what AWS would refuse is told from the configuration, before any call.
#[test]
fn a_plan_that_aws_would_refuse_makes_no_call() {
    let directory = tempfile::tempdir().unwrap();
    let first = role("aws", "region = \"eu-west-1\"");
    let chained = |duration: u32| {
        format!(
            "{first}\n[profile.chained]\nsource_profile = \"it\"\nduration_seconds = {duration}\n\
             role_arn = \"arn:aws:iam::123456789012:role/Chained\"\nregion = \"eu-west-1\"\n"
        )
    };
    assert!(load(directory.path(), &chained(3600)).is_ok());
    let fault = load(directory.path(), &chained(3601)).unwrap_err();
    assert!(fault.contains("role chaining") && fault.contains("3600 or less"), "{fault}");
    let fault = load(directory.path(), &role("aws-cn", "region = \"eu-west-1\"")).unwrap_err();
    assert!(fault.contains("the role is in the partition aws-cn, this is aws"), "{fault}");
}

/// Contract F 73, and 64: answers as AWS, Ceph and `MinIO` write them. Four values are all that is needed, and the
/// expiry is cut to the second, never put off.
#[tokio::test(start_paused = true)]
async fn the_answers_of_other_systems_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    for (system, answer, account) in [
        ("aws", AWS, Some("123456789012")),
        ("ceph", CEPH, None),
        ("minio", MINIO, None),
        (
            "generic",
            &CEPH.replace(" xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"", ""),
            None,
        ),
    ] {
        let own = if system == "aws" { "" } else { "endpoint_url = \"http://127.0.0.1:1\"" };
        let account_of_role = if system == "aws" { "123456789012" } else { "" };
        let text = format!(
            "source_profile = \"base\"\nrole_arn = \"arn:aws:iam::{account_of_role}:role/Reader\"\n\
             role_session_name = \"me\"\nsts = \"{system}\"\n{own}\n"
        );
        let keeper = Keeper::answering(answer);
        let session = keeper.take(&plan(directory.path(), &text)).await;
        assert_eq!(session.access_key_id, "key4", "{system}");
        assert_eq!(session.secret_access_key.expose_secret(), "secret/+", "{system}");
        assert_eq!(session.session_token.expose_secret(), "token==", "{system}");
        assert_eq!(timestamp(session.validity.expires()), "2026-05-01T13:00:00Z", "{system}");
        assert_eq!(session.account_id.as_ref().map(AccountId::as_str), account, "{system}");
        let life = session.validity.life();
        assert!(life <= Duration::from_hours(1), "{system}: {life:?}");
        let sent = &keeper.sent()[0];
        assert_eq!(sent.scope().1, "sts", "{system}");
        assert_eq!(sent.form["Version"], "2011-06-15", "{system}");
    }
}

/// The host that is called for a role in `partition`, and the region that is signed for.
async fn called(partition: &str, lines: &str) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper::answering(AWS);
    keeper.take(&plan(directory.path(), &role(partition, lines))).await;
    let sent = &keeper.sent()[0];
    let (region, service) = sent.scope();
    assert_eq!(service, "sts");
    let host = sent.url.strip_prefix("https://").and_then(|rest| rest.strip_suffix('/'));
    (host.unwrap_or(&sent.url).to_owned(), region.to_owned())
}

fn role(partition: &str, lines: &str) -> String {
    format!(
        "source_profile = \"base\"\nrole_arn = \"arn:{partition}:iam::123456789012:role/Reader\"\n{lines}\n"
    )
}

/// The plan of a profile with these lines.
fn plan(directory: &Path, lines: &str) -> Plan {
    let config = load(directory, lines).unwrap_or_else(|faults| panic!("{faults}"));
    config.plans.into_iter().find(|plan| plan.profile.as_str() == "it").unwrap()
}

fn load(directory: &Path, lines: &str) -> Result<config::Config, String> {
    let path = directory.join("config.toml");
    let text = format!("[profile.base]\naccess_key = {{ env = true }}\n\n[profile.it]\n{lines}\n");
    fs::write(&path, text).unwrap();
    let surroundings = Surroundings {
        home: Some(directory.to_owned()),
        env_has_keys: true,
        user: "me".to_owned(),
        host: "here".to_owned(),
        uid: 1000,
        ..Surroundings::default()
    };
    config::load(&path, &surroundings).map_err(|faults| faults.to_string())
}

const NOW: &str = "2026-05-01T12:00:00Z";

const AWS: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:me</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/Reader/me</Arn></AssumedRoleUser><Credentials><AccessKeyId>key4</AccessKeyId><SecretAccessKey>secret/+</SecretAccessKey><SessionToken>token==</SessionToken><Expiration>2026-05-01T13:00:00Z</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleResponse>"#;

/// As its `rgw_rest_sts.cc` writes it (contract E.5): `AssumeRoleId`, nanoseconds, no request id.
const CEPH: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>key4</AccessKeyId><Expiration>2026-05-01T13:00:00.987654321Z</Expiration><SecretAccessKey>secret/+</SecretAccessKey><SessionToken>token==</SessionToken></Credentials><AssumedRoleUser><Arn>arn:aws:sts:::assumed-role/Reader/me</Arn><AssumeRoleId>id:me</AssumeRoleId></AssumedRoleUser><PackedPolicySize>0</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>"#;

/// As its `sts-datatypes.go` writes it (contract E.4): a user without a name.
const MINIO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><Arn></Arn><AssumeRoleId></AssumeRoleId></AssumedRoleUser><Credentials><AccessKeyId>key4</AccessKeyId><SecretAccessKey>secret/+</SecretAccessKey><SessionToken>token==</SessionToken><Expiration>2026-05-01T13:00:00Z</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>18</RequestId></ResponseMetadata></AssumeRoleResponse>"#;
