//! From a profile of the AWS files to its plan, by AWS's rules: those of `create_credential_resolver` and
//! `AssumeRoleProvider` in botocore's `credentials.py`.
//!
//! - A role goes before every other kind of credentials in its profile, except where the profile has a web identity
//!   token. The others are tried in the order of [`Resolver::own`].
//! - A source that has keys is used for its keys, even where it has a role as well; and so a profile may be its own
//!   source.
//! - STS is asked with the region and the endpoint of the profile that is lent, at every hop.
//! - The device of the first role counts: those that come later are assumed with a session, which has no device.

use crate::config::aws::files::{Files, Profile, Section};
use crate::config::aws::{provider, read};
use crate::config::context::Context;
use crate::config::cursor::nearest;
use crate::config::fault::{At, Fault, quoted};
use crate::config::mfa::{Devices, Mfa};
use crate::config::profile::{Parameters, token_file};
use crate::config::steps::{Chain, Start};
use crate::model::{KeySource, Plan, ProfileName, TokenSource};

/// What profiles are resolved by.
pub(super) struct Resolver<'a> {
    pub(super) files: &'a Files,
    pub(super) context: &'a Context<'a>,
    /// The devices that our own configuration knows.
    pub(super) devices: &'a Devices,
}

/// What a profile comes to.
pub(super) enum Outcome {
    /// Nothing that could be lent, and nothing wrong: it holds settings alone, or has its credentials from us.
    Nothing,
    /// What was taken down keeps it from being lent.
    Odd,
    Plan(Box<Plan>),
    /// A long-term key, a source for others.
    Source(KeySource),
}

/// What a profile's credentials begin with, and the roles that are assumed from there.
struct Walk<'a> {
    start: Start,
    /// The profile that states the start.
    first: &'a Profile,
    roles: Vec<Parameters>,
    /// The device of the first role.
    mfa: Option<Mfa>,
}

impl<'a> Resolver<'a> {
    /// What the profile `name` comes to; its faults are taken down.
    pub(super) fn resolve(&self, name: &'a str) -> Outcome {
        let Some(leaf) = self.files.profiles.get(name) else { return Outcome::Nothing };
        let walk = if has_role(leaf) {
            self.assume(name, leaf, &mut vec![name])
        } else {
            self.own(name, leaf)
        };
        let sound = || !self.context.findings.has_errors();
        match walk {
            None if sound() => Outcome::Nothing,
            None => Outcome::Odd,
            Some(walk) => match self.outcome(name, leaf, walk) {
                Some(outcome) if sound() => outcome,
                Some(_) | None => Outcome::Odd,
            },
        }
    }

    fn outcome(&self, name: &str, leaf: &Profile, walk: Walk<'_>) -> Option<Outcome> {
        let span = leaf.span();
        let name = ProfileName::parse(name);
        let name = self.context.findings.check(name, &span, "choose another name")?;
        let alone = walk.roles.is_empty();
        let mfa =
            if alone { read::device(leaf, self.devices, self.context).ok()? } else { walk.mfa };
        let session = leaf.text("session_token").is_some_and(|it| read::is_true(&it));
        if let Start::Key(source) = &walk.start
            && alone
            && mfa.is_none()
            && !session
        {
            return Some(Outcome::Source(source.clone()));
        }
        let settings = read::settings(leaf, self.files, self.context)?;
        let of_user = read::region_alone(walk.first, self.context);
        let roles = walk.roles.iter().map(|role| (&settings, role)).collect();
        let chain = Chain { start: Some(walk.start), settings: &of_user, mfa: mfa.as_ref(), roles };
        let hops = chain.hops(&settings, self.context);
        Some(Outcome::Plan(Box::new(chain.plan(&name, &settings, hops, false)?)))
    }

    /// The way to the role of `profile`; `visited` are the profiles that lead here.
    fn assume(
        &self,
        name: &'a str,
        profile: &'a Profile,
        visited: &mut Vec<&'a str>,
    ) -> Option<Walk<'a>> {
        let keys = (profile.text("source_profile"), profile.text("credential_source"));
        let mut walk = match keys {
            (Some(_), Some(second)) => {
                let fault = Fault::error(second.span, "both source_profile and credential_source");
                self.context.findings.add(fault.help("a profile has one source: keep one of them"));
                return None;
            }
            (None, None) => {
                let span = profile.text("role_arn").map_or_else(|| profile.span(), |arn| arn.span);
                let fault = Fault::error(span, "a role, but nothing to assume it with");
                let help = "add source_profile, credential_source or web_identity_token_file; \
                            a profile with keys of its own names itself";
                self.context.findings.add(fault.help(help));
                return None;
            }
            (None, Some(word)) => {
                let start = Start::Provider(provider::named(&word, self.context)?);
                Walk { start, first: profile, roles: Vec::new(), mfa: None }
            }
            (Some(source), None) => self.source(name, &source, visited)?,
        };
        let of_key = match &walk.start {
            Start::Key(_) => true,
            Start::Provider(provider) => !provider.gives_sessions(),
            Start::Token(_) => false,
        };
        if walk.roles.is_empty() && of_key {
            walk.mfa = read::device(profile, self.devices, self.context).ok()?;
        }
        walk.roles.push(read::role(profile, self.context)?);
        Some(walk)
    }

    /// The way to the credentials of the profile that `parent` names as its `source`.
    fn source(
        &self,
        parent: &str,
        source: &At<String>,
        visited: &mut Vec<&'a str>,
    ) -> Option<Walk<'a>> {
        let fail = |title: String, help: &str| {
            let fault = Fault::error(source.span.clone(), title).help(help);
            self.context.findings.add(fault);
        };
        let profiles = &self.files.profiles;
        let Some((name, profile)) = profiles.get_key_value(&source.value) else {
            let near = nearest(&source.value, profiles.keys().map(String::as_str));
            let help = near.map(|near| format!("did you mean {}?", quoted(near)));
            let title = format!("there is no profile {}", quoted(&source.value));
            fail(title, help.as_deref().unwrap_or("add it to one of the two files"));
            return None;
        };
        let has_keys = KEYS.iter().any(|key| profile.get(key).is_some());
        if let Some(start) = visited.iter().position(|it| it == name)
            && !(name == parent && has_keys)
        {
            let circle = visited.get(start..).unwrap_or_default().iter().copied();
            let circle: Vec<_> = circle.chain([name.as_str()]).map(quoted).collect();
            let help = "one profile of a chain must have keys, or get them elsewhere";
            fail(format!("a loop: {}", circle.join(" -> ")), help);
            return None;
        }
        visited.push(name);
        if !has_keys && has_role(profile) {
            return self.assume(name, profile, visited);
        }
        let walk = self.own(name, profile);
        if walk.is_none() && !self.context.findings.has_errors() {
            let title = format!("the profile {} has no credentials of its own", quoted(name));
            fail(title, "name one with keys, a role, sso_session or credential_process");
        }
        walk
    }

    /// The credentials of `profile` that are not a role's, in the order of botocore's `ProfileProviderBuilder`;
    /// `None` where there are none, and where there is a fault.
    fn own(&self, name: &str, profile: &'a Profile) -> Option<Walk<'a>> {
        let begin = |start| Walk { start, first: profile, roles: Vec::new(), mfa: None };
        let key_in = |section: &Option<Section>| {
            section.as_ref().is_some_and(|section| section.get("aws_access_key_id").is_some())
        };
        if let Some(path) =
            profile.text("web_identity_token_file").filter(|it| !it.value.is_empty())
        {
            let token = token_file(self.context.absolute(&path)?, self.context)?;
            let mut walk = begin(Start::Token(TokenSource::File(token.value)));
            walk.roles.push(read::role_of_token(profile, &path.span, self.context)?);
            return Some(walk);
        }
        if provider::SSO.iter().any(|key| profile.get(key).is_some()) {
            let sso = provider::sso(profile, self.files, self.context)?;
            return Some(begin(Start::Provider(sso)));
        }
        if key_in(&profile.in_credentials) {
            return self.key(name, profile.in_credentials.as_ref()?).map(begin);
        }
        if let Some(arn) = profile.text("login_session") {
            let login = provider::login(&arn, profile, self.context)?;
            return Some(begin(Start::Provider(login)));
        }
        if let Some(command) = profile.text("credential_process") {
            let process = provider::process(&command, self.context)?;
            return Some(begin(Start::Provider(process)));
        }
        if key_in(&profile.in_config) {
            return self.key(name, profile.in_config.as_ref()?).map(begin);
        }
        None
    }

    fn key(&self, name: &str, section: &Section) -> Option<Start> {
        let of = |key: &str| section.get(key).filter(|setting| !setting.value.value.is_empty());
        let id = section.get("aws_access_key_id")?;
        let fault = if of("aws_access_key_id").is_none() || of("aws_secret_access_key").is_none() {
            let fault = Fault::error(id.key_span.clone(), "half of a key");
            fault.help("a key is aws_access_key_id and aws_secret_access_key, in one file")
        } else if let Some(token) = TOKENS.iter().find_map(|key| section.get(key)) {
            let title = "a session whose end nobody knows";
            let help = "credbroker takes a long-term key, and makes the sessions itself";
            Fault::error(token.key_span.clone(), title).help(help)
        } else {
            return Some(Start::Key(KeySource::AwsProfile {
                name: name.to_owned(),
                credentials_file: self.files.credentials.clone(),
                config_file: self.files.config.clone(),
            }));
        };
        self.context.findings.add(fault);
        None
    }
}

/// Whether the profile's credentials are those of a role that is assumed with others.
fn has_role(profile: &Profile) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

/// What makes a profile one with keys.
const KEYS: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];

/// What a session token is called beside a key, by now and in early files.
const TOKENS: [&str; 2] = ["aws_session_token", "aws_security_token"];
