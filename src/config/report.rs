//! The resolved configuration for programs: what `check --json` prints. Like its version in words it shows references
//! to keys, never keys, and says of an external id only that there is one.

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::model::{
    Base, Call, CodeSource, CommandLine, Hop, KeySource, MfaDevice, Plan, PolicyArn, Provider,
    Region, RoleRequest, SessionDuration, SourceIdentity, StsEndpoint, TokenSource,
};

/// What was resolved, or what is wrong.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The configuration file; `null` where there is none.
    pub configuration: Option<String>,
    /// The AWS shared files whose profiles are served.
    pub aws_files: Vec<String>,
    /// The profiles that can be lent, by name.
    pub profiles: Vec<Value>,
    /// The names of profiles that are sources for others alone.
    pub sources: Vec<String>,
    /// What is odd, or what is wrong, a line each.
    pub faults: Vec<String>,
}

/// The report on `config`.
#[must_use]
pub fn report(config: &Config) -> Report {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    Report {
        configuration: config.path.as_ref().map(path),
        aws_files: config.aws_files.iter().map(path).collect(),
        profiles: config.plans.iter().map(plan).collect(),
        sources: config.sources.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
        faults: config.warnings.lines().collect(),
    }
}

fn plan(plan: &Plan) -> Value {
    let client = &plan.client;
    json!({
        "name": plan.profile.as_str(),
        "eager": plan.eager,
        "base": base(&plan.base),
        "hops": plan.hops().map(hop).collect::<Vec<_>>(),
        "client": {
            "region": client.region.as_ref().map(Region::as_str),
            "endpoint_url": client.endpoint_url.as_deref(),
            "sts_endpoint_url": client.sts_endpoint_url.as_deref(),
            "ca_bundle": client.ca_bundle,
        },
    })
}

fn base(base: &Base) -> Value {
    match base {
        Base::Anonymous => Value::Null,
        Base::Given(provider) => given(provider),
        Base::Key(source) => match source {
            KeySource::AwsProfile { name, .. } => json!({ "key": "aws_profile", "name": name }),
            KeySource::Command { print, store } => json!({
                "key": "command",
                "program": print.program(),
                "store_program": store.as_ref().map(CommandLine::program),
            }),
            KeySource::Environment => json!({ "key": "env" }),
            KeySource::File(path) => json!({ "key": "file", "path": path }),
            KeySource::Keyring(name) => json!({ "key": "keyring", "name": name }),
            KeySource::SystemdCredential { name, .. } => {
                json!({ "key": "credential", "name": name })
            }
        },
    }
}

fn given(provider: &Provider) -> Value {
    match provider {
        Provider::Ecs => json!({ "provider": "EcsContainer" }),
        Provider::Environment => json!({ "provider": "Environment" }),
        Provider::Imds => json!({ "provider": "Ec2InstanceMetadata" }),
        Provider::Login(session) => json!({
            "provider": "login",
            "login_session": &*session.arn,
            "region": session.region.as_str(),
        }),
        Provider::Process(command) => json!({
            "provider": "credential_process",
            "program": command.program(),
            "arguments": command.arguments().len(),
        }),
        Provider::Sso(role) => json!({
            "provider": "sso",
            "sso_account_id": role.account.as_str(),
            "sso_role_name": &*role.role,
            "sso_region": role.region.as_str(),
            "sso_start_url": &*role.start_url,
            "sso_session": role.session.as_deref(),
        }),
    }
}

fn hop(hop: &Hop) -> Value {
    match &hop.call {
        Call::AssumeRole { device: code, request } => {
            let role = role("AssumeRole", request, &hop.sts);
            with(role, "mfa", code.as_ref().map_or(Value::Null, device))
        }
        Call::AssumeRoleWithWebIdentity { token, request } => {
            let role = role("AssumeRoleWithWebIdentity", request, &hop.sts);
            let token = match token {
                TokenSource::Command(command) => json!({ "command": command.program() }),
                TokenSource::File(path) => json!({ "file": path }),
                TokenSource::Oidc(client) => json!({ "oidc": &*client.issuer }),
            };
            with(role, "web_identity_token", token)
        }
        Call::GetSessionToken { device: code, duration } => json!({
            "call": "GetSessionToken",
            "mfa": code.as_ref().map(device),
            "duration_seconds": duration.map(SessionDuration::as_secs),
            "sts": sts(&hop.sts),
        }),
        Call::Provided(provider) => given(provider),
    }
}

fn role(call: &str, request: &RoleRequest, at: &StsEndpoint) -> Value {
    let tags: Vec<&str> = request.tags.iter().map(|(name, _)| name).collect();
    json!({
        "call": call,
        "role_arn": request.role_arn.as_str(),
        "role_session_name": request.session_name.as_str(),
        "duration_seconds": request.duration.map(SessionDuration::as_secs),
        "external_id": request.external_id.is_some(),
        "source_identity": request.source_identity.as_ref().map(SourceIdentity::as_str),
        "policy": request.policy.is_some(),
        "policy_arns": request.policy_arns.iter().map(PolicyArn::as_str).collect::<Vec<_>>(),
        "tags": tags,
        "sts": sts(at),
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
    object
}

fn device(device: &MfaDevice) -> Value {
    let code = match device.code {
        CodeSource::Command(_) => "command",
        CodeSource::Prompt => "prompt",
        CodeSource::Totp(_) => "totp",
    };
    json!({ "serial": device.serial.as_str(), "code": code })
}

fn sts(sts: &StsEndpoint) -> Value {
    json!({
        "kind": sts.dialect.as_str(),
        "endpoint_url": sts.url.as_deref(),
        "region": sts.region.as_str(),
        "use_fips_endpoint": sts.fips,
        "use_dualstack_endpoint": sts.dual_stack,
        "ca_bundle": sts.ca_bundle,
    })
}
