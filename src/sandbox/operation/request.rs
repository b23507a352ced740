//! The parameters that the two ways to a role share, and the session that comes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::config::Role;
use crate::sandbox::form::Form;
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::operation::policy;
use crate::sandbox::principal::{Inherited, Kind, Principal};
use crate::sandbox::state::State;

/// What a role is asked for with.
pub(super) struct RoleRequest<'a> {
    pub(super) role_arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) seconds: Option<i64>,
    pub(super) policy: Option<&'a str>,
    pub(super) policy_arns: Vec<&'a str>,
}

impl<'a> RoleRequest<'a> {
    /// Reads the shared parameters; `bounds` gathers what is broken.
    pub(super) fn read(
        form: &'a Form,
        state: &State,
        policy_rule: limit::Text,
        bounds: &mut Bounds,
    ) -> Result<Self, Refusal> {
        let (role_arn, session_name) = (form.text("RoleArn"), form.text("RoleSessionName"));
        let (policy, seconds) = (form.text("Policy"), form.number("DurationSeconds")?);
        let numbers = form.members("PolicyArns");
        let policy_arns: Vec<&str> =
            numbers.iter().filter_map(|number| form.member("PolicyArns", *number, "arn")).collect();
        bounds.required("roleArn", role_arn);
        bounds.required("roleSessionName", session_name);
        bounds.text("roleArn", role_arn, limit::ARN);
        bounds.text("roleSessionName", session_name, limit::SESSION_NAME);
        let least = whole_seconds(state.limits.min_duration);
        bounds.number("durationSeconds", seconds, least..=MAX_SECONDS);
        bounds.text("policy", policy, policy_rule);
        bounds.list("policyArns", numbers.len(), MAX_POLICY_ARNS);
        for (number, arn) in (1..).zip(&policy_arns) {
            bounds.text(&format!("policyArns.{number}.member.arn"), Some(arn), limit::ARN);
        }
        Ok(Self {
            role_arn: role_arn.unwrap_or_default(),
            session_name: session_name.unwrap_or_default(),
            seconds,
            policy,
            policy_arns,
        })
    }

    /// Checks the policies against the account of `role` and each other; gives the part of the allotted space that
    /// they and `tags` take, in percent, where there is any.
    pub(super) fn packed_size(&self, role: &Role, tags: &Tags) -> Result<Option<usize>, Refusal> {
        policy::packed_size(self.policy, &self.policy_arns, tags, role)
    }

    /// How long the session shall live: as asked, else an hour, else what the role allows.
    pub(super) fn life(&self, role: &Role, chained: bool) -> Result<Duration, Refusal> {
        let Some(seconds) = self.seconds.and_then(|seconds| u64::try_from(seconds).ok()) else {
            return Ok(role.max_session.min(HOUR));
        };
        let life = Duration::from_secs(seconds);
        if chained && life > HOUR {
            return Err(Refusal::validation(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ));
        }
        if life > role.max_session {
            return Err(Refusal::validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        Ok(life)
    }

    /// Who the session is.
    pub(super) fn principal(&self, role: &Role, inherited: Inherited) -> Principal {
        let (partition, account) = role.partition_and_account();
        let (name, session_name) = (role.name(), self.session_name);
        Principal {
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"),
            user_id: format!("{}:{session_name}", role.role_id()),
            account: account.to_owned(),
            kind: Kind::Role { role_arn: role.arn.clone(), inherited },
        }
    }
}

/// The `AssumedRoleUser` of an answer.
pub(super) fn assumed_role_user(principal: &Principal) -> Answer {
    Answer::new().text("AssumedRoleId", &principal.user_id).text("Arn", &principal.arn)
}

/// Session tags, and which of them go on to the next role.
#[derive(Debug, Default)]
pub(super) struct Tags {
    pub(super) all: BTreeMap<String, String>,
    transitive: BTreeSet<String>,
}

impl Tags {
    /// Reads `Tags` and `TransitiveTagKeys`; `bounds` gathers what is broken.
    pub(super) fn read(form: &Form, bounds: &mut Bounds) -> Result<Self, Refusal> {
        let numbers = form.members("Tags");
        bounds.list("tags", numbers.len(), MAX_TAGS);
        let mut tags = Self::default();
        let mut folded = BTreeSet::new();
        let mut twice = false;
        for number in numbers {
            let key = form.member("Tags", number, "Key");
            let value = form.member("Tags", number, "Value");
            bounds.required(&format!("tags.{number}.member.key"), key);
            bounds.required(&format!("tags.{number}.member.value"), value);
            bounds.text(&format!("tags.{number}.member.key"), key, limit::TAG_KEY);
            bounds.text(&format!("tags.{number}.member.value"), value, limit::TAG_VALUE);
            if let (Some(key), Some(value)) = (key, value) {
                twice |= !folded.insert(key.to_lowercase());
                tags.all.insert(key.to_owned(), value.to_owned());
            }
        }
        let numbers = form.members("TransitiveTagKeys");
        bounds.list("transitiveTagKeys", numbers.len(), MAX_TAGS);
        for number in numbers {
            let key = form.member("TransitiveTagKeys", number, "");
            bounds.text(&format!("transitiveTagKeys.{number}.member"), key, limit::TAG_KEY);
            tags.transitive.extend(key.map(str::to_owned));
        }
        if twice {
            return Err(invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if !tags.transitive.iter().all(|key| folded.contains(&key.to_lowercase())) {
            return Err(invalid(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        Ok(tags)
    }

    /// What of them the next role inherits, beside what this session inherited itself.
    pub(super) fn hand_on(
        &self,
        inherited: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let conflict = inherited
            .keys()
            .any(|old| self.all.keys().any(|new| new.to_lowercase() == old.to_lowercase()));
        if conflict {
            return Err(invalid(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
            ));
        }
        let transitive = |key: &String| {
            self.transitive.iter().any(|one| one.to_lowercase() == key.to_lowercase())
        };
        let own = self.all.iter().filter(|(key, _)| transitive(key));
        let own = own.map(|(key, value)| (key.clone(), value.clone()));
        Ok(inherited.into_iter().chain(own).collect())
    }
}

/// `length` in whole seconds, at least one.
pub(super) fn whole_seconds(length: Duration) -> i64 {
    i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1)
}

fn invalid(message: &str) -> Refusal {
    Refusal::bad_request("InvalidParameterValue", message)
}

/// One hour: the session that nobody gave a length, and the longest of a chained role.
const HOUR: Duration = Duration::from_hours(1);

/// 12 hours, the longest session of a role.
const MAX_SECONDS: i64 = 43_200;

const MAX_POLICY_ARNS: usize = 10;

const MAX_TAGS: usize = 50;
