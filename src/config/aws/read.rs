//! The keys of a profile in the AWS files, each with its meaning: of endpoints and regions, of roles, of devices.

use crate::config::aws::files::{Files, Profile};
use crate::config::context::Context;
use crate::config::fault::{At, Fault, Findings, Span, quoted};
use crate::config::mfa::{Devices, Mfa};
use crate::config::profile::Parameters;
use crate::config::sts::{Settings, Written};
use crate::model::{CodeSource, Dialect, MfaDevice, MfaSerial, RoleArn, SessionDuration};

/// Something is no good, and why is among the findings.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenDown;

/// What `profile` says of endpoints and regions (botocore's `ConfiguredEndpointProvider` and `ClientArgsCreator`).
pub(super) fn settings(
    profile: &Profile,
    files: &Files,
    context: &Context<'_>,
) -> Option<Settings> {
    let flag = |key: &str| {
        let text = profile.text(key)?;
        Some(At { value: is_true(&text), span: text.span })
    };
    let ignored = flag("ignore_configured_endpoint_urls").is_some_and(|flag| flag.value);
    let (endpoint_url, sts_url) = if ignored {
        (None, None)
    } else {
        (filled(profile, "endpoint_url"), sts_url(profile, files, context).ok()?)
    };
    // They choose among AWS's own endpoints.
    let on_aws = endpoint_url.is_none() && sts_url.is_none();
    let variant = |key: &str| flag(key).filter(|_| on_aws);
    let written = Written {
        region: profile.text("region"),
        endpoint_url,
        sts_url,
        ca_bundle: filled(profile, "ca_bundle"),
        dialect: None,
        fips: variant("use_fips_endpoint"),
        dual_stack: variant("use_dualstack_endpoint"),
        legacy: legacy(profile, context).ok()?,
        obscure: false,
    };
    Some(Settings::parse(written, context))
}

/// What `profile` says of its region alone: where the user's own session is taken, if it is a source for others.
pub(super) fn region_alone(profile: &Profile, context: &Context<'_>) -> Settings {
    // Whatever is wrong with it is its own, and not that of the profiles behind it.
    let quiet = Findings::default();
    let written = Written { region: profile.text("region"), ..Written::default() };
    Settings::parse(written, &Context { findings: &quiet, ..*context })
}

/// What the role of `profile` is asked for with.
pub(super) fn role(profile: &Profile, context: &Context<'_>) -> Option<Parameters> {
    let role = parameters(profile, context)?;
    let duration = profile.text("duration_seconds").and_then(|text| seconds(&text, context));
    Some(Parameters { duration, external_id: profile.text("external_id"), ..role })
}

/// What the role of a web identity is asked for with; `token` is where the token is named.
pub(super) fn role_of_token(
    profile: &Profile,
    token: &Span,
    context: &Context<'_>,
) -> Option<Parameters> {
    if profile.text("role_arn").is_none() {
        let fault = Fault::error(token.clone(), "a web identity token without a role");
        context.findings.add(fault.help("add role_arn"));
        return None;
    }
    if let Some(setting) = profile.get("duration_seconds") {
        let title =
            "AWS's tools ask for no duration with a web identity token, and so it is an hour";
        let help = "take it out, or write the profile into credbroker's own configuration";
        context.findings.add(Fault::warning(setting.key_span.clone(), title).help(help));
    }
    parameters(profile, context)
}

/// The device that `profile` names, if it does, with its codes from where our own configuration says, else from a
/// person.
///
/// # Errors
/// [`TakenDown`] where it is none that could be used.
pub(super) fn device(
    profile: &Profile,
    devices: &Devices,
    context: &Context<'_>,
) -> Result<Option<Mfa>, TakenDown> {
    let Some(text) = profile.text("mfa_serial") else { return Ok(None) };
    let help = "name a virtual device, whose codes have six digits";
    let serial = MfaSerial::parse(&text.value);
    let serial = context.findings.check(serial, &text.span, help).ok_or(TakenDown)?;
    let known = devices.of_serial(&serial, &text.span);
    Ok(Some(known.unwrap_or_else(|| Mfa {
        device: MfaDevice { serial, code: CodeSource::Prompt },
        session: SessionDuration::new(SHARED_SECONDS, Dialect::Aws).ok(),
        span: text.span,
    })))
}

/// What botocore takes for true.
pub(super) fn is_true(text: &At<String>) -> bool {
    text.value.eq_ignore_ascii_case("true")
}

fn parameters(profile: &Profile, context: &Context<'_>) -> Option<Parameters> {
    let arn = profile.text("role_arn")?;
    let help = "write arn:aws:iam::ACCOUNT:role/NAME (on Ceph arn:aws:iam:::role/NAME)";
    let value = context.findings.check(RoleArn::parse(&arn.value), &arn.span, help)?;
    let session_name = filled(profile, "role_session_name");
    if let Some(name) = session_name.as_ref().filter(|name| name.value.contains('{')) {
        let title = "nothing is filled in between braces in this file";
        let help = "write the name itself, or the profile into credbroker's own configuration";
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
        return None;
    }
    Some(Parameters {
        arn: At { value, span: arn.span },
        session_name,
        duration: None,
        external_id: None,
        source_identity: None,
        policy: None,
        policy_arns: None,
        tags: None,
        transitive: None,
    })
}

/// `services = NAME`, and in `[services NAME]` the address of STS.
fn sts_url(
    profile: &Profile,
    files: &Files,
    context: &Context<'_>,
) -> Result<Option<At<String>>, TakenDown> {
    let Some(name) = profile.text("services") else { return Ok(None) };
    let found = files.services.get(&name.value).filter(|section| section.keys().next().is_some());
    let Some(section) = found else {
        let title =
            format!("there is no section {}", quoted(&format!("[services {}]", name.value)));
        let help = "add it to the config file, or take the key out";
        context.findings.add(Fault::error(name.span, title).help(help));
        return Err(TakenDown);
    };
    Ok(section.nested("sts", "endpoint_url").filter(|url| !url.value.is_empty()))
}

fn legacy(profile: &Profile, context: &Context<'_>) -> Result<Option<Span>, TakenDown> {
    let Some(word) = filled(profile, "sts_regional_endpoints") else { return Ok(None) };
    match word.value.as_str() {
        "legacy" => Ok(Some(word.span)),
        "regional" => Ok(None),
        other => {
            let title = format!("`sts_regional_endpoints` is never {}", quoted(other));
            let fault = Fault::error(word.span, title);
            context.findings.add(fault.help("write regional, or take it out"));
            Err(TakenDown)
        }
    }
}

fn seconds(text: &At<String>, context: &Context<'_>) -> Option<At<i64>> {
    let number = text.value.parse().ok();
    if number.is_none() {
        let title = "no number of seconds, and so the default holds: an hour on AWS";
        let fault = Fault::warning(text.span.clone(), title);
        context.findings.add(fault.help("write a number such as 3600, and nothing after it"));
    }
    Some(At { value: number?, span: text.span.clone() })
}

fn filled(profile: &Profile, key: &str) -> Option<At<String>> {
    profile.text(key).filter(|text| !text.value.is_empty())
}

/// How long the session lives that all profiles behind a device share: AWS's default for `GetSessionToken`.
const SHARED_SECONDS: i64 = 43_200;
