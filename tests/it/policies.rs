//! The policies that a plan is said to need, given to the sandbox: with them the plan works, without any of them it does
//! not.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use credbroker::broker::{Broker, Habits, Unavailable};
use credbroker::config::{self, Claims, Policy, Purpose, Surroundings};
use credbroker::files;
use credbroker::model::Clock;
use credbroker::policy::{Access, Action, Decision};
use credbroker::sandbox::{Sandbox, SandboxConfig};
use credbroker::source::{Codes, Live, Oidc, Source, Sts};
use serde_json::Value;

use crate::day::InMemory;
use crate::wire::{self, name};

#[tokio::test(start_paused = true)]
async fn a_chain_works_with_its_policies_and_with_none_of_them_missing() {
    let all = policies();
    assert_eq!(outcome(&all, "me").await, Ok(()));
    for role in ["First", "Second"] {
        let without: Vec<Policy> = all
            .iter()
            .filter(|policy| !(policy.purpose == Purpose::Trust && policy.of.ends_with(role)))
            .cloned()
            .collect();
        assert_eq!(without.len(), all.len() - 1);
        assert_eq!(outcome(&without, "me").await, Err("AccessDenied".to_owned()), "{role}");
    }
    assert_eq!(outcome(&all, "somebody-else").await, Err("AccessDenied".to_owned()));
}

/// Where the roles trust the whole account, what their callers are allowed counts.
#[tokio::test(start_paused = true)]
async fn in_an_account_that_is_trusted_as_a_whole_the_permission_policies_count() {
    let mut all = policies();
    for policy in all.iter_mut().filter(|policy| policy.purpose == Purpose::Trust) {
        policy.document["Statement"][0]["Principal"]["AWS"] =
            "arn:aws:iam::123456789012:root".into();
    }
    assert_eq!(outcome(&all, "me").await, Ok(()));
    let calls = |policy: &Policy| policy.purpose == Purpose::Calls;
    let owners: Vec<String> = all.iter().filter(|it| calls(it)).map(|it| it.of.clone()).collect();
    assert_eq!(owners.len(), 2);
    for owner in owners {
        let kept = all.iter().filter(|it| !(calls(it) && it.of == owner)).cloned();
        let without: Vec<Policy> = kept.collect();
        assert_eq!(outcome(&without, "me").await, Err("AccessDenied".to_owned()), "{owner}");
    }
}

fn load(directory: &std::path::Path) -> config::Config {
    let write = |name: &str, content: &str| {
        files::write_atomically(&directory.join(name), content.as_bytes(), 0o600).unwrap();
    };
    write("key.json", KEY);
    write("me.seed", SEED);
    write("config.toml", CONFIG);
    std::fs::create_dir_all(directory.join("state")).unwrap();
    let surroundings = Surroundings {
        home: Some(directory.to_owned()),
        host: "here".to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
        user: "me".to_owned(),
        ..Surroundings::default()
    };
    config::load(&directory.join("config.toml"), &surroundings)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn policies() -> Vec<Policy> {
    let directory = tempfile::tempdir().unwrap();
    let config = load(directory.path());
    let plan = config.plans.iter().find(|plan| plan.profile.as_str() == "second").unwrap();
    config::policies(plan, &Claims::default()).policies
}

/// What comes of the plan at an STS that has these policies, in which the user is called `user`.
async fn outcome(policies: &[Policy], user: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let config = load(directory.path());
    let clock = Clock::simulated(SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_323_210));
    let sandbox = Sandbox::new(SandboxConfig::parse(&sandbox(policies, user)).unwrap(), clock);
    let connector = SharedHttpConnector::new(InMemory(sandbox));
    let codes = Codes::open(&config.daemon.state_dir, clock);
    let source: Arc<dyn Source> =
        Live::new(Sts::through(clock, connector), codes, Oidc::new(clock));
    let daemon = config.daemon;
    let habits = Habits { idle: daemon.idle, mfa_warning: daemon.mfa_warning };
    let broker = Broker::start(config.plans, source, clock, habits);
    let caller = wire::user(1000);
    let lease = match Access::new(1000).decide(
        &caller,
        &name("second"),
        Action::Use,
        SystemTime::UNIX_EPOCH,
    ) {
        Decision::Allow(grant) => broker.lease(&grant).unwrap(),
        Decision::Refuse(reason) => panic!("{reason}"),
    };
    let outcome = match lease.credentials(Duration::from_mins(1)).await {
        Ok(_) => Ok(()),
        Err(Unavailable::Failed { failure, .. }) => Err(failure.code.as_str().to_owned()),
        Err(Unavailable::Pending { .. }) => panic!("nothing came in a minute"),
    };
    broker.stop().await;
    outcome
}

/// The configuration of a sandbox with these policies.
fn sandbox(policies: &[Policy], user: &str) -> String {
    let statement = |purpose: Purpose, owner: &str| -> Option<&Value> {
        let fits = |it: &&Policy| it.purpose == purpose && it.of.ends_with(owner);
        Some(&policies.iter().find(fits)?.document["Statement"][0])
    };
    let may_assume = |owner: &str| {
        statement(Purpose::Calls, owner).map_or(Value::Array(vec![]), |statement| {
            assert_eq!(statement["Action"], "sts:AssumeRole");
            Value::Array(vec![statement["Resource"].clone()])
        })
    };
    let role = |role: &str| {
        let mut text = format!("[[role]]\nname = \"{role}\"\nmay_assume = {}\n", may_assume(role));
        let Some(statement) = statement(Purpose::Trust, role) else { return text };
        let principal = statement["Principal"]["AWS"].as_str().unwrap();
        let principal = principal.replace("<USER_NAME>", user);
        writeln!(text, "trust.principals = [{principal:?}]").unwrap();
        let condition = &statement["Condition"];
        if condition["Bool"]["aws:MultiFactorAuthPresent"] == "true" {
            text += "trust.mfa = true\n";
        }
        if let Some(id) = condition["StringEquals"]["sts:ExternalId"].as_str() {
            writeln!(text, "trust.external_id = {id:?}").unwrap();
        }
        text
    };
    let allowed = may_assume("the user whose key it is");
    format!("{USER}may_assume = {allowed}\n{}{}", role("First"), role("Second"))
}

/// RFC 6238, appendix B.
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

const KEY: &str = r#"{"Version":1,"AccessKeyId":"AKIAMFAMFAMFAMFAMFA2","SecretAccessKey":"mfa/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"}"#;

const USER: &str = r#"
[[user]]
name              = "me"
access_key_id     = "AKIAMFAMFAMFAMFAMFA2"
secret_access_key = "mfa/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"
mfa               = { serial = "arn:aws:iam::123456789012:mfa/me", seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
"#;

const CONFIG: &str = r#"
[daemon]
state_dir = "state"

[[endpoint]]
kind = "container"

[mfa.me]
serial = "arn:aws:iam::123456789012:mfa/me"
code   = { totp = { file = "me.seed" } }

[profile.mine]
access_key   = { file = "key.json" }
mfa          = "me"
endpoint_url = "http://sts.invalid"

[profile.first]
source_profile = "mine"
role_arn       = "arn:aws:iam::123456789012:role/First"
external_id    = "pact"
endpoint_url   = "http://sts.invalid"

[profile.second]
source_profile = "first"
role_arn       = "arn:aws:iam::123456789012:role/Second"
endpoint_url   = "http://sts.invalid"
"#;
