//! The resolved configuration in words: what `check` prints. It shows references to keys, never keys, and says of an
//! external id only that there is one.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use crate::config::{Config, EndpointConfig, EndpointKind, HttpTokens, Listen, audience};
use crate::model::{
    Base, Call, CodeSource, Hop, KeySource, MfaDevice, OidcGrant, OidcToken, Plan, ProfileName,
    Provider, RoleRequest, SessionDuration, TokenSource, Validity,
};
use crate::policy;

/// Everything that was resolved: the daemon's paths, its endpoints, each profile's plan and who may have it.
#[must_use]
pub fn explain(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, config);
    text
}

fn write_all(text: &mut String, config: &Config) -> fmt::Result {
    let daemon = &config.daemon;
    if let Some(path) = &config.path {
        writeln!(text, "configuration   {}", path.display())?;
    }
    for path in &config.aws_files {
        writeln!(text, "AWS profiles    {}", path.display())?;
    }
    writeln!(text, "state           {}", daemon.state_dir.display())?;
    writeln!(text, "control socket  {}", daemon.control.display())?;
    writeln!(text, "unused leases   let go after {}", span(daemon.idle))?;
    if let Some(command) = &daemon.notify {
        writeln!(text, "people          are told by {command}")?;
    }
    for endpoint in &config.endpoints {
        writeln!(text, "\nendpoint {}", endpoint.name)?;
        write_endpoint(text, endpoint)?;
    }
    for plan in &config.plans {
        writeln!(text, "\nprofile {}", plan.profile)?;
        write_plan(text, plan, config)?;
    }
    for (name, source) in &config.sources {
        writeln!(text, "\nprofile {name}")?;
        writeln!(text, "  {}", key(source))?;
        writeln!(text, "  a source for other profiles, never handed out")?;
    }
    Ok(())
}

fn write_endpoint(text: &mut String, endpoint: &EndpointConfig) -> fmt::Result {
    let place = match &endpoint.listen {
        Listen::Address(address) => address.to_string(),
        Listen::FreePort => "127.0.0.1, a free port that is chosen once".to_owned(),
        Listen::Socket(name) => format!("the socket {name} of systemd's"),
    };
    match &endpoint.kind {
        EndpointKind::Container => {
            writeln!(text, "  container endpoint on {place}")?;
            writeln!(text, "  serves the profile that the caller's ticket names")
        }
        EndpointKind::Imds { profiles, http_tokens } => {
            let versions = match http_tokens {
                HttpTokens::Optional => "IMDSv1 and IMDSv2",
                HttpTokens::Required => "IMDSv2 only",
            };
            writeln!(text, "  metadata endpoint on {place}, {versions}")?;
            writeln!(text, "  gives the caller the first that it may have: {}", list(profiles))
        }
        EndpointKind::Metrics => {
            writeln!(text, "  metrics endpoint on {place}")?;
            writeln!(
                text,
                "  tells any local process the names of profiles and how they are, and lends nothing"
            )
        }
    }
}

fn write_plan(text: &mut String, plan: &Plan, config: &Config) -> fmt::Result {
    match &plan.base {
        Base::Anonymous => {}
        Base::Given(provider) => {
            writeln!(text, "  starts with what {provider} gives")?;
            write_runner(text, provider, config)?;
        }
        Base::Key(source) => writeln!(text, "  starts with {}", key(source))?,
    }
    for hop in plan.hops() {
        write_hop(text, hop)?;
        if let Call::Provided(provider) = &hop.call {
            write_runner(text, provider, config)?;
        }
    }
    let client = &plan.client;
    if let Some(region) = &client.region {
        writeln!(text, "  clients use region {}", region.as_str())?;
    }
    if let Some(url) = &client.endpoint_url {
        writeln!(text, "  clients use endpoint {url}")?;
    }
    if let Some(url) = &client.sts_endpoint_url {
        writeln!(text, "  clients use endpoint {url} for STS")?;
    }
    if let Some(path) = &client.ca_bundle {
        writeln!(text, "  clients trust {}", path.display())?;
    }
    let kept = if plan.eager {
        "taken at start and kept".to_owned()
    } else {
        format!("taken when asked for, let go after {} without a request", span(config.daemon.idle))
    };
    let renewed = if takes_a_person(&plan.last.call) {
        format!("a person is asked for the next code with {} left", span(config.daemon.mfa_warning))
    } else {
        format!("renewed with {} left", span(lead(&plan.last.call)))
    };
    writeln!(text, "  {kept}; {renewed}")?;
    audience::write(text, plan, config)
}

fn write_hop(text: &mut String, hop: &Hop) -> fmt::Result {
    let request = match &hop.call {
        Call::AssumeRole { device, request } => {
            writeln!(text, "  assumes {}", request.role_arn)?;
            if let Some(device) = device {
                writeln!(text, "    with a code of {}", device_words(device))?;
                if request.duration.is_some_and(SessionDuration::exceeds_chaining_limit) {
                    writeln!(
                        text,
                        "    a code for this role alone: the session of the device assumes roles for an hour at most"
                    )?;
                } else {
                    writeln!(text, "    a code for this role alone")?;
                }
            }
            request
        }
        Call::AssumeRoleWithWebIdentity { token, request } => {
            writeln!(text, "  assumes {}", request.role_arn)?;
            writeln!(text, "    with {}", token_words(token))?;
            request
        }
        Call::GetSessionToken { device, duration } => {
            let life = duration.map_or(DEFAULT_USER_LIFE, SessionDuration::get);
            writeln!(text, "  takes {} for {}", hop.call, span(life))?;
            if let Some(device) = device {
                writeln!(text, "    with a code of {}", device_words(device))?;
                writeln!(text, "    shared by every profile behind the device")?;
            }
            return write_sts(text, hop);
        }
        Call::Provided(provider) => {
            return writeln!(text, "  takes the session of {provider}");
        }
    };
    write_sts(text, hop)?;
    write_request(text, request)
}

/// Whose program, or whose sign-in, it is: a system's daemon is not the person who wrote the profile.
fn write_runner(text: &mut String, provider: &Provider, config: &Config) -> fmt::Result {
    match provider {
        Provider::Ecs | Provider::Environment | Provider::Imds => Ok(()),
        Provider::Login(session) => writeln!(text, "    kept in {}", session.cache.display()),
        Provider::Process(_) => writeln!(text, "    run as {}, the daemon's user", config.user),
        Provider::Sso(role) => writeln!(text, "    kept in {}", role.cache.display()),
    }
}

fn write_sts(text: &mut String, hop: &Hop) -> fmt::Result {
    writeln!(text, "    asks {}, kind {}", hop.sts, hop.sts.dialect.as_str())?;
    if hop.sts.url.is_some() {
        writeln!(text, "    signs for region {}", hop.sts.region.as_str())?;
    }
    Ok(())
}

fn write_request(text: &mut String, request: &RoleRequest) -> fmt::Result {
    let length = match request.duration {
        Some(duration) => format!("for {}", span(duration.get())),
        None => "for as long as the STS gives by default (an hour on AWS)".to_owned(),
    };
    writeln!(text, "    as {}, {length}", request.session_name.as_str())?;
    if let Some(policy) = &request.policy {
        let length = policy.as_str().chars().count();
        writeln!(text, "    with a session policy of {length} characters")?;
    }
    for arn in &request.policy_arns {
        writeln!(text, "    with the policy {}", arn.as_str())?;
    }
    if request.external_id.is_some() {
        writeln!(text, "    with an external id")?;
    }
    if let Some(identity) = &request.source_identity {
        writeln!(text, "    with the source identity {}", identity.as_str())?;
    }
    for (name, _) in request.tags.iter() {
        let transitive = request.tags.transitive().iter().any(|key| key == name);
        writeln!(text, "    with the tag {name}{}", if transitive { ", transitive" } else { "" })?;
    }
    Ok(())
}

fn key(source: &KeySource) -> String {
    match source {
        KeySource::AwsProfile { name, credentials_file, config_file } => format!(
            "the key of the profile {name} in {} or {}",
            credentials_file.display(),
            config_file.display()
        ),
        KeySource::Command { print, store: None } => format!("the key that {print} prints"),
        KeySource::Command { print, store: Some(store) } => {
            format!("the key that {print} prints, and {store} takes")
        }
        KeySource::Environment => "the key in the daemon's environment".to_owned(),
        KeySource::File(path) => format!("the key in {}", path.display()),
        KeySource::Keyring(name) => format!("the key in the keyring's item {name}"),
        KeySource::SystemdCredential { name, .. } => {
            format!("the key in systemd's credential {name}")
        }
    }
}

fn token_words(token: &TokenSource) -> String {
    match token {
        TokenSource::Command(command) => format!("the web identity token that {command} prints"),
        TokenSource::File(path) => format!("the web identity token in {}", path.display()),
        TokenSource::Oidc(client) => {
            let kind = match client.token {
                OidcToken::Access => "access",
                OidcToken::Id => "id",
            };
            let way = match &client.grant {
                OidcGrant::ClientCredentials => "for its secret".to_owned(),
                OidcGrant::DeviceCode => "once a person has signed in".to_owned(),
                OidcGrant::RefreshToken(source) => format!("for the refresh token in {source}"),
            };
            let scope = client.scope.as_ref().map(|scope| format!(", scope {scope}"));
            let audience = client.audience.as_ref().map(|it| format!(", audience {it}"));
            format!(
                "the {kind} token that {} gives {} {way}{}{}",
                client.issuer,
                client.client_id,
                scope.unwrap_or_default(),
                audience.unwrap_or_default()
            )
        }
    }
}

fn device_words(device: &MfaDevice) -> String {
    let serial = &device.serial;
    match &device.code {
        CodeSource::Command(command) => format!("{serial}, which {command} prints"),
        CodeSource::Prompt => format!("{serial}, which a person is asked for"),
        CodeSource::Totp(seed) => format!("{serial}, computed from {seed}"),
    }
}

/// Whether a session cannot be had again without somebody who reads a code.
fn takes_a_person(call: &Call) -> bool {
    call.device().is_some_and(|device| device.code == CodeSource::Prompt)
}

/// How much life is left when the session is renewed, jitter left aside.
fn lead(call: &Call) -> Duration {
    let life = match call {
        Call::AssumeRole { request, .. } | Call::AssumeRoleWithWebIdentity { request, .. } => {
            request.duration.map_or(DEFAULT_LIFE, SessionDuration::get)
        }
        Call::GetSessionToken { duration, .. } => {
            duration.map_or(DEFAULT_USER_LIFE, SessionDuration::get)
        }
        Call::Provided(_) => DEFAULT_LIFE,
    };
    let issued = SystemTime::UNIX_EPOCH;
    Validity::new(issued, issued + life).map_or(life, |validity| {
        validity.expires().duration_since(policy::refresh_at(&validity, 0)).unwrap_or_default()
    })
}

fn list(profiles: &[ProfileName]) -> String {
    let names: Vec<&str> = profiles.iter().map(ProfileName::as_str).collect();
    names.join(", ")
}

/// In the words of the configuration, to the second.
fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// What an STS gives where nobody asks for more or less (contract E.1, E.4, E.5).
const DEFAULT_LIFE: Duration = Duration::from_hours(1);

/// What `GetSessionToken` gives where nobody asks for more or less (contract E.1).
const DEFAULT_USER_LIFE: Duration = Duration::from_hours(12);
