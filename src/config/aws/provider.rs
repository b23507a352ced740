//! Those who give a profile of the AWS files its credentials: programs, IAM Identity Center, metadata services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::aws::files::{Files, Profile};
use crate::config::context::Context;
use crate::config::fault::{At, Fault, quoted};
use crate::ini;
use crate::model::{AccountId, CommandLine, LoginSession, Provider, Region, SsoRole};

/// The keys that make a profile one of IAM Identity Center (botocore's `SSOProvider`).
pub(super) const SSO: [&str; 2] = ["sso_role_name", "sso_account_id"];

/// The provider that `credential_source` names.
pub(super) fn named(word: &At<String>, context: &Context<'_>) -> Option<Provider> {
    let fail = |title: &str, help: &str| {
        context.findings.add(Fault::error(word.span.clone(), title).help(help));
        None
    };
    match word.value.as_str() {
        "Ec2InstanceMetadata" => Some(Provider::Imds),
        "EcsContainer" if context.surroundings.container_url.is_none() => fail(
            "no container credentials endpoint is named here",
            "set AWS_CONTAINER_CREDENTIALS_FULL_URI where credbroker is started, as ECS and EKS do",
        ),
        "EcsContainer" => Some(Provider::Ecs),
        "Environment" if !context.surroundings.env_has_keys => fail(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set here",
            "set them where credbroker is started, or name another source",
        ),
        "Environment" => Some(Provider::Environment),
        other => fail(
            &format!("{} is no credential_source", quoted(other)),
            "write Environment, Ec2InstanceMetadata or EcsContainer",
        ),
    }
}

/// The program of `credential_process`; `None` without a fault where it is credbroker itself, whose client the
/// profile is.
pub(super) fn process(text: &At<String>, context: &Context<'_>) -> Option<Provider> {
    let fail = |title: &str, help: &str| {
        context.findings.add(Fault::error(text.span.clone(), title).help(help));
        None
    };
    let Some(words) = ini::words(&text.value) else {
        return fail("a quote that is not closed", "close it: a command is split as a shell does");
    };
    let Some((program, arguments)) = words.split_first().filter(|(program, _)| !program.is_empty())
    else {
        return fail("a command without a program", "write credential_process = /PROGRAM ARGUMENT");
    };
    let is_ours = Path::new(program).file_name().is_some_and(|name| name == env!("CARGO_PKG_NAME"));
    if is_ours && arguments.iter().any(|word| word == "process") {
        return None;
    }
    let program = At { value: program.clone(), span: text.span.clone() };
    let program = context.program(&program)?;
    let words = std::iter::once(program).chain(arguments.iter().cloned()).collect();
    CommandLine::new(words).map(Provider::Process)
}

/// The sign-in of `aws login` whose name is `arn`.
pub(super) fn login(
    arn: &At<String>,
    profile: &Profile,
    context: &Context<'_>,
) -> Option<Provider> {
    let region = profile.text("region").and_then(|region| Region::parse(&region.value));
    Some(Provider::Login(LoginSession {
        arn: arn.value.as_str().into(),
        region: region.unwrap_or_else(Region::fallback),
        cache: match &context.surroundings.login_cache {
            Some(cache) => cache.clone(),
            None => cache("login", arn, context)?,
        },
    }))
}

/// The role of IAM Identity Center that `profile` names, with what its `sso_session` says.
pub(super) fn sso(profile: &Profile, files: &Files, context: &Context<'_>) -> Option<Provider> {
    let session = profile.text("sso_session");
    let mut values: BTreeMap<&str, At<String>> = BTreeMap::new();
    for key in [SSO.as_slice(), SIGN_IN.as_slice()].concat() {
        values.extend(profile.text(key).map(|value| (key, value)));
    }
    if let Some(name) = &session {
        let Some(section) = files.sso_sessions.get(&name.value) else {
            let title =
                format!("there is no section {}", quoted(&format!("[sso-session {}]", name.value)));
            let help = "add it to the config file; `aws configure sso` does";
            context.findings.add(Fault::error(name.span.clone(), title).help(help));
            return None;
        };
        for (key, setting) in section.keys() {
            if let Some(own) = profile.text(key)
                && own.value != setting.value.value
            {
                let title = format!("{} is another in the profile's sso-session", quoted(key));
                let fault = Fault::error(own.span, title);
                context.findings.add(fault.help("take it out here: the session's is meant"));
                return None;
            }
            values.insert(key, setting.value.clone());
        }
    }
    let mut missing: Vec<&str> = SSO.into_iter().chain(SIGN_IN).collect();
    missing.retain(|key| !values.contains_key(key));
    let place = SSO.iter().find_map(|key| profile.get(key)).map(|it| it.key_span.clone())?;
    if !missing.is_empty() {
        let title = format!("for IAM Identity Center this lacks {}", missing.join(", "));
        let help = "`aws configure sso` writes a whole profile";
        context.findings.add(Fault::error(place, title).help(help));
        return None;
    }
    let of = |key: &str| values.get(key);
    let (account, region) = (of("sso_account_id")?, of("sso_region")?);
    let wrong = |at: &At<String>, what: &str, help: &str| {
        let title = format!("{} is no {what}", quoted(&at.value));
        context.findings.add(Fault::error(at.span.clone(), title).help(help));
    };
    let account_id = AccountId::parse(&account.value);
    if account_id.is_none() {
        wrong(account, "account", "an account has 12 digits");
    }
    let region_name = Region::parse(&region.value);
    if region_name.is_none() {
        wrong(region, "region", "a region looks like eu-west-1");
    }
    Some(Provider::Sso(SsoRole {
        account: account_id?,
        role: of("sso_role_name")?.value.as_str().into(),
        region: region_name?,
        start_url: of("sso_start_url")?.value.as_str().into(),
        session: session.map(|name| name.value.as_str().into()),
        cache: cache("sso", account, context)?,
    }))
}

/// Where AWS's tools keep what `place` names belongs to: `~/.aws/KIND/cache`.
fn cache(kind: &str, place: &At<String>, context: &Context<'_>) -> Option<PathBuf> {
    let home = context.surroundings.home.as_ref();
    if home.is_none() {
        let fault = Fault::error(place.span.clone(), "no home directory, and so no sign-in");
        context.findings.add(fault.help("set HOME"));
    }
    Some(home?.join(".aws").join(kind).join("cache"))
}

/// The keys of the sign-in, in the profile or in its session.
const SIGN_IN: [&str; 2] = ["sso_start_url", "sso_region"];
