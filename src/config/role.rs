//! From what a profile says of its role to the call that is made: the limits of the STS that is asked, and a fault for
//! everything that it would ignore.

use std::time::Duration;

use crate::config::context::Context;
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::profile::Parameters;
use crate::model::{
    Call, Dialect, ExternalId, MfaDevice, RoleRequest, SessionDuration, SessionName, SessionTags,
    SourceIdentity, TokenSource,
};
use crate::policy::least_served_life;

/// How a role comes to be assumed.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// With a long-term key, and the code of a device where one is to go with the request.
    Key {
        /// The device.
        device: Option<MfaDevice>,
    },
    /// With a session: of another role, or of the user.
    Session,
    /// With a web identity token.
    Token(TokenSource),
}

/// The call that asks `dialect`'s STS for the role of `parameters`.
pub(super) fn call(
    parameters: &Parameters,
    way: Way,
    dialect: Dialect,
    context: &Context<'_>,
) -> Option<Call> {
    refuse_what_is_ignored(parameters, &way, dialect, context);
    if dialect == Dialect::Aws {
        check_arn(parameters, context);
        check_policy_size(parameters, context);
    }
    if dialect == Dialect::Ceph {
        check_ceph_lengths(parameters, context);
    }
    let session_name = session_name(parameters.session_name.as_ref(), dialect, context)?;
    if session_name.names_caller() && matches!(way, Way::Key { device: Some(_) }) {
        let span = parameters.session_name.as_ref().map_or(0..0, |name| name.span.clone());
        let fault = Fault::error(span, "a session for each caller, with a code for each");
        let help = "take {caller} out, or have the device's session assume the role: session = \"auto\", and an hour at most";
        context.findings.add(fault.help(help));
    }
    let request = RoleRequest {
        role_arn: parameters.arn.value.clone(),
        session_name,
        duration: duration(parameters.duration.as_ref(), &way, dialect, context),
        external_id: checked(
            parameters.external_id.as_ref(),
            |id| ExternalId::parse(id, dialect),
            context,
        ),
        source_identity: checked(
            parameters.source_identity.as_ref(),
            SourceIdentity::parse,
            context,
        ),
        policy: parameters.policy.as_ref().map(|policy| policy.value.clone()),
        policy_arns: parameters
            .policy_arns
            .as_ref()
            .map_or_else(Vec::new, |arns| arns.value.clone()),
        tags: tags(parameters, context),
    };
    Some(match way {
        Way::Key { device } => Call::AssumeRole { device, request },
        Way::Session => Call::AssumeRole { device: None, request },
        Way::Token(token) => Call::AssumeRoleWithWebIdentity { token, request },
    })
}

/// The session's name: a template, or `{user}-{host}`.
fn session_name(
    template: Option<&At<String>>,
    dialect: Dialect,
    context: &Context<'_>,
) -> Option<SessionName> {
    let surroundings = context.surroundings;
    let Some(template) = template else {
        return Some(SessionName::from_lossy(&format!(
            "{}-{}",
            surroundings.user, surroundings.host
        )));
    };
    let text = template.value.replace("{user}", &legal(&surroundings.user));
    let text = text.replace("{host}", &legal(&surroundings.host));
    let filled = text.replace("{caller}", "");
    if let Some(place) = filled.find('{') {
        let rest = filled.get(place..).unwrap_or_default();
        let holder = rest.split_inclusive('}').next().unwrap_or_default();
        let title = format!("{} stands for nothing", quoted(holder));
        let fault = Fault::error(template.span.clone(), title);
        context.findings.add(fault.help("only {user}, {host} and {caller} are filled in"));
        return None;
    }
    let help = "such as \"alice-laptop\"";
    context.findings.check(SessionName::parse_template(&text, dialect), &template.span, help)
}

fn legal(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_=,.@-".contains(c) { c } else { '-' })
        .collect()
}

fn duration(
    seconds: Option<&At<i64>>,
    way: &Way,
    dialect: Dialect,
    context: &Context<'_>,
) -> Option<SessionDuration> {
    let seconds = seconds?;
    let title = "`duration_seconds` is out of range";
    let duration = match SessionDuration::new(seconds.value, dialect) {
        Ok(duration) => duration,
        Err(range) => {
            context.findings.add(Fault::error(seconds.span.clone(), title).help(range.to_string()));
            return None;
        }
    };
    if dialect == Dialect::Aws && matches!(way, Way::Session) && duration.exceeds_chaining_limit() {
        let help = "AWS limits a role that is assumed with another role's session to an hour \
                    (role chaining): write 3600 or less";
        context.findings.add(Fault::error(seconds.span.clone(), title).help(help));
        return None;
    }
    let (served, session) = (least_served_life(duration.get()), duration.get().as_secs());
    if served < COMFORTABLE {
        let who = if served < HARDLY_USED {
            "boto3 and .NET fetch it again for each request"
        } else {
            "s3fs and boto3's metadata client fetch it again and again"
        };
        let title = format!("a session of {session} s is so short that {who}");
        let help = match dialect {
            Dialect::Aws => "write 1800 or more: every role of AWS allows 3600, a chained one too",
            Dialect::Ceph | Dialect::Generic | Dialect::Minio => {
                "write 1800 or more, and let the role's max_session_duration allow it"
            }
        };
        context.findings.add(Fault::warning(seconds.span.clone(), title).help(help));
    }
    Some(duration)
}

fn tags(parameters: &Parameters, context: &Context<'_>) -> SessionTags {
    let help = "tags = { KEY = \"VALUE\" }, transitive_tags = [\"KEY\"]";
    let tags = parameters.tags.as_ref();
    let pairs = tags.map(|tags| tags.value.clone()).unwrap_or_default();
    let alone = SessionTags::parse(pairs.clone(), Vec::new());
    let alone = match tags {
        Some(tags) => context.findings.check(alone, &tags.span, help),
        None => alone.ok(),
    };
    match (alone, &parameters.transitive) {
        (Some(_), Some(keys)) => {
            let both = SessionTags::parse(pairs, keys.value.clone());
            context.findings.check(both, &keys.span, help).unwrap_or_default()
        }
        (alone, _) => alone.unwrap_or_default(),
    }
}

fn checked<T, E: std::fmt::Display>(
    text: Option<&At<String>>,
    parse: impl FnOnce(&str) -> Result<T, E>,
    context: &Context<'_>,
) -> Option<T> {
    let text = text?;
    context.findings.check(parse(&text.value), &text.span, "AWS refuses any other")
}

fn check_arn(parameters: &Parameters, context: &Context<'_>) {
    let arn = &parameters.arn;
    if arn.value.account().is_none() {
        let title = "this role has no account of 12 digits, as AWS's have";
        let help =
            "write arn:aws:iam::ACCOUNT:role/NAME; for another system than AWS add endpoint_url";
        context.findings.add(Fault::error(arn.span.clone(), title).help(help));
    }
}

/// Contract E.1: the plain text of policy and policy ARNs together.
fn check_policy_size(parameters: &Parameters, context: &Context<'_>) {
    let (Some(policy), Some(arns)) = (&parameters.policy, &parameters.policy_arns) else { return };
    let of_arns: usize = arns.value.iter().map(|arn| arn.as_str().len()).sum();
    let total = policy.value.as_str().chars().count() + of_arns;
    if total > MAX_POLICIES {
        let title = format!(
            "policy and policy ARNs have {total} characters together, AWS takes {MAX_POLICIES}"
        );
        let fault = Fault::error(policy.span.clone(), title);
        context.findings.add(fault.help("shorten the policy, or keep one of the two"));
    }
}

/// A long ARN, of a role or in a policy, ends the gateway itself: `radosgw` 16.2 survives one of 1,581 characters and
/// dies of one of 1,607, silently, with every client that it serves.
fn check_ceph_lengths(parameters: &Parameters, context: &Context<'_>) {
    let help = format!("keep every ARN under {MAX_CEPH_ARN} characters: end it with * sooner");
    let arn = &parameters.arn;
    if arn.value.as_str().len() > MAX_CEPH_ARN {
        let title = "a role's ARN this long can end a Ceph gateway";
        context.findings.add(Fault::error(arn.span.clone(), title).help(help.clone()));
    }
    if let Some(policy) = &parameters.policy
        && policy.value.longest_string() > MAX_CEPH_ARN
    {
        let title = "a session policy with an ARN this long can end a Ceph gateway";
        context.findings.add(Fault::error(policy.span.clone(), title).help(help));
    }
}

/// A restriction that does not restrict is worse than none.
fn refuse_what_is_ignored(
    parameters: &Parameters,
    way: &Way,
    dialect: Dialect,
    context: &Context<'_>,
) {
    let ignored: &[&str] = match dialect {
        // Ceph's rgw_rest_sts.cc reads none of these.
        Dialect::Ceph => &["policy_arns", "source_identity", "tags", "transitive_tags"],
        // MinIO's sts-handlers.go reads none of these.
        Dialect::Minio => {
            &["external_id", "policy_arns", "source_identity", "tags", "transitive_tags"]
        }
        Dialect::Aws | Dialect::Generic => &[],
    };
    let not_in_call: &[&str] = match way {
        // The members of the request in the service model of STS.
        Way::Token(_) => &["external_id", "source_identity", "tags", "transitive_tags"],
        Way::Key { .. } | Way::Session => &[],
    };
    for (key, span) in parameters.restrictions() {
        let title = if ignored.contains(&key) {
            format!("an STS of the kind `{}` ignores `{key}`", dialect.as_str())
        } else if not_in_call.contains(&key) {
            format!("a role that is assumed with a web identity token takes no `{key}`")
        } else {
            continue;
        };
        let help = "take it out, and write what it should restrict into `policy` or on the server";
        context.findings.add(Fault::error(span, title).help(help));
    }
    if dialect == Dialect::Minio && matches!(way, Way::Session) {
        let title = "MinIO does not let one role assume another";
        let help = "let source_profile name the profile with the key";
        context.findings.add(Fault::error(parameters.arn.span.clone(), title).help(help));
    }
    if dialect == Dialect::Ceph
        && let Some(id) = &parameters.external_id
    {
        let title = "Ceph's trust policies never match an external id";
        let help = "leave it out, unless your gateway is known to check it";
        context.findings.add(Fault::warning(id.span.clone(), title).help(help));
    }
}

impl Parameters {
    /// Whether the session is to live longer than AWS lets one session assume it with another.
    pub(super) fn outlives_chaining(&self) -> bool {
        let seconds = self.duration.as_ref();
        seconds
            .and_then(|seconds| SessionDuration::new(seconds.value, Dialect::Generic).ok())
            .is_some_and(SessionDuration::exceeds_chaining_limit)
    }

    fn restrictions(&self) -> impl Iterator<Item = (&'static str, Span)> {
        [
            ("external_id", self.external_id.as_ref().map(|at| at.span.clone())),
            ("policy_arns", self.policy_arns.as_ref().map(|at| at.span.clone())),
            ("source_identity", self.source_identity.as_ref().map(|at| at.span.clone())),
            ("tags", self.tags.as_ref().map(|at| at.span.clone())),
            ("transitive_tags", self.transitive.as_ref().map(|at| at.span.clone())),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// Characters of a session policy and its ARNs together (contract E.1), white space outside strings taken away.
const MAX_POLICIES: usize = 2048;

/// Longest ARN that a Ceph gateway is sent, in bytes; three quarters of what it was seen to survive.
const MAX_CEPH_ARN: usize = 1200;

/// The life that an answer must have for no client to misjudge it: botocore takes what it is told by a metadata endpoint
/// for longer where it is less (contract D.1).
const COMFORTABLE: Duration = Duration::from_mins(25);

/// With less than this botocore and .NET fetch anew at each use (contract D.1).
const HARDLY_USED: Duration = Duration::from_mins(15);
