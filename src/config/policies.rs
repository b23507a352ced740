//! The IAM policies that a plan needs: whom each role on the way has to trust, and what each caller has to be allowed.
//!
//! Nothing is asked of anybody here. What a plan does not say, such as the name of the user behind a key, stands as a
//! placeholder in angle brackets, which IAM refuses until it is filled in.

mod caller;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::caller::{Caller, device_account, partition};
use crate::model::{Base, Call, Dialect, Hop, OidcToken, Partition, Plan, RoleArn, TokenSource};

/// The policies of one plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Policies {
    /// What no policy says.
    pub notes: Vec<String>,
    /// In the order in which the plan comes to need them.
    pub policies: Vec<Policy>,
}

/// One policy, and where it belongs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// As IAM takes it.
    pub document: Value,
    /// The user or the role that it is attached to, as an ARN or in words.
    pub of: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A permission policy: what the plan's calls need.
    Calls,
    /// A permission policy: what `credbroker keys` needs.
    Keys,
    /// A permission policy: what a person needs who looks after their own MFA device.
    Mfa,
    /// The trust policy of a role.
    Trust,
}

/// What a web identity token says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// What a condition on the audience is compared with.
    pub audience: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// Whom it is about.
    pub subject: Option<String>,
}

/// The policies that `plan` needs; `claims` are those of the token that its first role is taken with, as far as known.
#[must_use]
pub fn policies(plan: &Plan, claims: &Claims) -> Policies {
    let first = plan.through.first().unwrap_or(&plan.last);
    let mut way = Way {
        caller: Caller::of_base(&plan.base, plan),
        found: Policies::default(),
        identified: false,
        tagged: false,
    };
    for hop in plan.hops() {
        way.take(hop, claims);
    }
    if matches!(plan.base, Base::Key(_)) {
        match first.sts.dialect {
            Dialect::Aws | Dialect::Generic => way.found.policies.extend(own(plan, first)),
            Dialect::Ceph => way.found.notes.push(CEPH_KEYS.to_owned()),
            Dialect::Minio => {}
        }
    }
    let notes = &mut way.found.notes;
    if plan.hops().any(|hop| hop.sts.dialect == Dialect::Minio) {
        notes.push(
            "a role of MinIO has no trust policy: the user's policies, or those that its OpenID \
             configuration names, say what a session may do"
                .to_owned(),
        );
    }
    if way.found.policies.is_empty() && notes.is_empty() {
        notes.push("this profile needs no policy: it takes no role and asks no STS".to_owned());
    }
    way.found
}

impl fmt::Display for Policies {
    /// Each policy as JSON under a line that begins with `#` and says where it belongs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "# {note}")?;
        }
        for (at, policy) in self.policies.iter().enumerate() {
            if at > 0 || !self.notes.is_empty() {
                writeln!(f)?;
            }
            writeln!(f, "# {policy}\n{:#}", policy.document)?;
        }
        Ok(())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &self.of;
        match self.purpose {
            Purpose::Calls => write!(f, "permission policy of {of}"),
            Purpose::Keys => write!(f, "permission policy of {of}, for `credbroker keys`"),
            Purpose::Mfa => {
                write!(f, "permission policy of {of}, to look after an MFA device of their own")
            }
            Purpose::Trust => write!(f, "trust policy of {of}"),
        }
    }
}

/// The walk over a plan's hops.
struct Way {
    caller: Caller,
    found: Policies,
    /// Whether a source identity is set, which no later role lets go.
    identified: bool,
    /// Whether a tag goes on to the next role.
    tagged: bool,
}

impl Way {
    fn take(&mut self, hop: &Hop, claims: &Claims) {
        let dialect = hop.sts.dialect;
        match &hop.call {
            Call::AssumeRole { device, request } => {
                let tags = self.tagged || !request.tags.is_empty();
                self.tagged |= !request.tags.transitive().is_empty();
                self.identified |= request.source_identity.is_some();
                let extra = [("sts:TagSession", tags), ("sts:SetSourceIdentity", self.identified)];
                let extra = extra.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name);
                let extra: Vec<&str> = extra.filter(|_| dialect != Dialect::Ceph).collect();
                let mut conditions = Map::new();
                if let Some(Value::Object(who)) = self.caller.condition.clone() {
                    conditions.extend(who);
                }
                // Ceph's STS knows neither: a condition on them would never hold.
                if dialect != Dialect::Ceph {
                    if device.is_some() || self.caller.mfa {
                        conditions.insert("Bool".to_owned(), mfa_present());
                    }
                    if let Some(id) = &request.external_id {
                        let id = json!({ "sts:ExternalId": id.as_str() });
                        conditions.insert("StringEquals".to_owned(), id);
                    }
                }
                self.assume(&request.role_arn, dialect, &extra, conditions);
            }
            Call::AssumeRoleWithWebIdentity { token, request } => {
                let role = &request.role_arn;
                if dialect != Dialect::Minio {
                    let document = federated(role, dialect, token, claims);
                    self.add(Purpose::Trust, role.to_string(), document);
                }
                self.caller = Caller::named(role.to_string());
            }
            Call::GetSessionToken { device, .. } => {
                self.caller.mfa = device.is_some();
                // AWS asks no permission for it; Ceph does.
                if dialect == Dialect::Ceph {
                    let statement = allow(&["sts:GetSessionToken"], "*");
                    self.add(Purpose::Calls, self.caller.who.clone(), policy(&[statement]));
                }
            }
            Call::Provided(provider) => {
                let partition = Partition::of_region(hop.sts.region.as_str()).name;
                self.caller = Caller::of_provider(provider, partition);
            }
        }
    }

    /// Both sides of `AssumeRole`.
    fn assume(
        &mut self,
        role: &RoleArn,
        dialect: Dialect,
        extra: &[&str],
        conditions: Map<String, Value>,
    ) {
        let next = Caller::named(role.to_string());
        let caller = std::mem::replace(&mut self.caller, next);
        if dialect == Dialect::Minio {
            return;
        }
        // Ceph takes the trust policy's word alone.
        if dialect != Dialect::Ceph {
            let actions: Vec<&str> =
                std::iter::once("sts:AssumeRole").chain(extra.iter().copied()).collect();
            let statement = allow(&actions, role.as_str());
            self.add(Purpose::Calls, caller.who, policy(&[statement]));
        }
        let principal = json!({ "AWS": caller.principal });
        let mut statement = json!({
            "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole",
        });
        if !conditions.is_empty() {
            set(&mut statement, "Condition", Value::Object(conditions));
        }
        let mut statements = vec![statement];
        // Of their own, because the conditions are on the request for the role.
        if !extra.is_empty() {
            let mut statement = json!({
                "Effect": "Allow", "Principal": principal, "Action": extra,
            });
            if let Some(condition) = caller.condition {
                set(&mut statement, "Condition", condition);
            }
            statements.push(statement);
        }
        self.add(Purpose::Trust, role.to_string(), policy(&statements));
    }

    fn add(&mut self, purpose: Purpose, of: String, document: Value) {
        self.found.policies.push(Policy { document, of, purpose });
    }
}

/// Trust in the tokens of an `OpenID` provider. Its ARN and the keys of its conditions are the issuer without the scheme
/// (IAM User Guide, "Create a role for OpenID Connect federation").
fn federated(role: &RoleArn, dialect: Dialect, token: &TokenSource, claims: &Claims) -> Value {
    let (issuer, audience) = match token {
        TokenSource::Command(_) | TokenSource::File(_) => {
            (claims.issuer.as_deref(), claims.audience.as_deref())
        }
        TokenSource::Oidc(client) => {
            let audience = match client.token {
                OidcToken::Access => client.audience.as_deref(),
                OidcToken::Id => Some(&*client.client_id),
            };
            (Some(&*client.issuer), audience)
        }
    };
    let issuer = issuer.unwrap_or("<ISSUER>");
    let issuer = issuer.strip_prefix("https://").unwrap_or(issuer);
    let issuer = issuer.strip_prefix("http://").unwrap_or(issuer).trim_end_matches('/');
    let account = role.as_str().split(":role/").next().unwrap_or_default();
    // What others call `aud`, Ceph calls `app_id`.
    let aud = if dialect == Dialect::Ceph { "app_id" } else { "aud" };
    let mut equal = Map::new();
    equal.insert(format!("{issuer}:{aud}"), audience.unwrap_or("<AUDIENCE>").into());
    let subject = claims.subject.as_deref().unwrap_or("<SUBJECT>");
    equal.insert(format!("{issuer}:sub"), subject.into());
    policy(&[json!({
        "Effect": "Allow",
        "Principal": { "Federated": format!("{account}:oidc-provider/{issuer}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": equal },
    })])
}

/// What the user behind a key needs to look after keys and devices of their own (IAM User Guide, "Allows
/// MFA-authenticated IAM users to manage their own credentials"): only after a code, where the plan has a device.
fn own(plan: &Plan, first: &Hop) -> [Policy; 2] {
    let partition = partition(plan);
    let account = device_account(plan).unwrap_or("*");
    let user = format!("arn:{partition}:iam::{account}:user/${{aws:username}}");
    let devices = format!("arn:{partition}:iam::{account}:mfa/*");
    let has_device = first.call.device().is_some();
    let after_code = |mut statement: Value| {
        if has_device {
            set(&mut statement, "Condition", json!({ "Bool": mfa_present() }));
        }
        statement
    };
    let keys = after_code(allow(&KEY_ACTIONS, &user));
    let mut off = allow(&["iam:DeactivateMFADevice"], &user);
    set(&mut off, "Condition", json!({ "Bool": mfa_present() }));
    let mfa = vec![
        allow(&["iam:CreateVirtualMFADevice", "iam:DeleteVirtualMFADevice"], &devices),
        allow(&["iam:EnableMFADevice", "iam:GetUser", "iam:ListMFADevices"], &user),
        // Those that nobody has are nobody's resource.
        allow(&["iam:ListVirtualMFADevices"], "*"),
        off,
    ];
    let of = "the user whose key it is";
    let of = |purpose, statements: &[Value]| Policy {
        document: policy(statements),
        of: of.to_owned(),
        purpose,
    };
    [of(Purpose::Keys, &[keys]), of(Purpose::Mfa, &mfa)]
}

fn allow(actions: &[&str], resource: &str) -> Value {
    let action = match actions {
        [one] => json!(one),
        many => json!(many),
    };
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn mfa_present() -> Value {
    json!({ "aws:MultiFactorAuthPresent": "true" })
}

fn set(statement: &mut Value, key: &str, value: Value) {
    if let Some(statement) = statement.as_object_mut() {
        statement.insert(key.to_owned(), value);
    }
}

/// What `credbroker keys` needs on a Ceph gateway, whose Admin Ops API goes by capabilities and not by policies (Ceph
/// documentation, "Admin Operations").
const CEPH_KEYS: &str = "for `credbroker keys` the user needs a capability, and no policy: \
    radosgw-admin caps add --uid=<USER_NAME> --caps=\"users=*\"; \
    it is an administrator's, over the keys of all users: docs/guides/rotate-a-key.md says how to do without";

/// What `credbroker keys` calls.
const KEY_ACTIONS: [&str; 5] = [
    "iam:CreateAccessKey",
    "iam:DeleteAccessKey",
    "iam:GetAccessKeyLastUsed",
    "iam:ListAccessKeys",
    "iam:UpdateAccessKey",
];
