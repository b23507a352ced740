//! What a role is asked for with: each parameter in a type that only a legal value can be made into.
//!
//! The limits are those of the STS service model (botocore `data/sts/2011-06-15/service-2.json.gz`) and
//! bind where the STS is AWS's; elsewhere only what the protocol itself needs is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{Dialect, PolicyArn, RoleArn, SessionDuration, SessionName};

/// The parameters of `AssumeRole`, and, as far as they apply there, of `AssumeRoleWithWebIdentity`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleRequest {
    /// The role to become.
    pub role_arn: RoleArn,
    /// The name of the session, which the audit trail of the STS shows.
    pub session_name: SessionName,
    /// How long the session shall live; `None` leaves it to the STS (an hour on AWS).
    pub duration: Option<SessionDuration>,
    /// The secret handshake of a third party's trust policy.
    pub external_id: Option<ExternalId>,
    /// Who is behind the session; it sticks through role after role.
    pub source_identity: Option<SourceIdentity>,
    /// A policy that the session's permissions are cut down to.
    pub policy: Option<SessionPolicy>,
    /// Managed policies that the session's permissions are cut down to; at most 10.
    pub policy_arns: Vec<PolicyArn>,
    /// Attributes of the session.
    pub tags: SessionTags,
}

/// A value that the STS would refuse, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFault(String);

impl fmt::Display for LimitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LimitFault {}

/// An external id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalId(Arc<str>);

impl ExternalId {
    /// Takes `text` as an external id: 2 to 1,224 of `[\w+=,.@:\/-]`.
    ///
    /// # Errors
    /// [`LimitFault`] with the rule that is broken.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, LimitFault> {
        if dialect == Dialect::Aws {
            check("an external id", text, 2..=1224, b"_+=,.@:/-")?;
        }
        Ok(Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a secret by AWS's own word, but nobody's business in a log either.
impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(..)")
    }
}

/// A source identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceIdentity(Arc<str>);

impl SourceIdentity {
    /// Takes `text` as a source identity: 2 to 64 of `[\w+=,.@-]`, not beginning with `aws:`.
    ///
    /// # Errors
    /// [`LimitFault`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, LimitFault> {
        if text.to_ascii_lowercase().starts_with("aws:") {
            return Err(LimitFault("a source identity cannot begin with aws:".to_owned()));
        }
        check("a source identity", text, 2..=64, b"_+=,.@-")?;
        Ok(Self(text.into()))
    }

    /// The identity.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A session policy: one JSON object, white space outside strings taken away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionPolicy(Arc<str>);

impl SessionPolicy {
    /// Takes the JSON `text` as a session policy, at most 2,048 characters once it is compact.
    ///
    /// Compact, because Ceph does not decode a `+` that stands for a space, and because AWS counts
    /// characters.
    ///
    /// # Errors
    /// [`LimitFault`] where it is no JSON object, too long, or holds characters outside Latin-1.
    pub fn parse(text: &str) -> Result<Self, LimitFault> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            LimitFault(format!("a session policy is a JSON object, but: {error}"))
        })?;
        if !value.is_object() {
            return Err(LimitFault("a session policy is a JSON object".to_owned()));
        }
        let compact = value.to_string();
        let length = compact.chars().count();
        if length > MAX_POLICY_CHARS {
            return Err(LimitFault(format!(
                "a session policy is at most {MAX_POLICY_CHARS} characters long, this one has {length} without its white space"
            )));
        }
        if compact.chars().any(|c| u32::from(c) > 0xFF) {
            return Err(LimitFault(
                "a session policy holds characters of Latin-1 only (AWS refuses others)".to_owned(),
            ));
        }
        Ok(Self(compact.into()))
    }

    /// The compact JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of the longest string in it, such as a resource's ARN, in bytes.
    #[must_use]
    pub fn longest_string(&self) -> usize {
        fn longest(value: &serde_json::Value) -> usize {
            match value {
                serde_json::Value::String(text) => text.len(),
                serde_json::Value::Array(items) => items.iter().map(longest).max().unwrap_or(0),
                serde_json::Value::Object(members) => {
                    members.values().map(longest).max().unwrap_or(0)
                }
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_) => 0,
            }
        }
        serde_json::from_str(&self.0).map_or(0, |value| longest(&value))
    }
}

/// Session tags, and which of them go on to the roles assumed next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionTags {
    tags: BTreeMap<String, String>,
    transitive: Vec<String>,
}

impl SessionTags {
    /// Takes `tags` and the keys of the `transitive` ones: at most 50, keys of 1 to 128 characters, values of
    /// up to 256, of letters, numbers, spaces and `_.:/=+-@`, no two keys alike but for case.
    ///
    /// # Errors
    /// [`LimitFault`] with the first rule that is broken.
    pub fn parse(
        tags: BTreeMap<String, String>,
        transitive: Vec<String>,
    ) -> Result<Self, LimitFault> {
        if tags.len() > MAX_TAGS {
            return Err(LimitFault(format!("a session has at most {MAX_TAGS} tags")));
        }
        let mut folded = std::collections::BTreeSet::new();
        for (key, value) in &tags {
            if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
                return Err(LimitFault(format!(
                    "the tag {key:?} is out of bounds: a key has 1 to 128 characters, a value up to 256"
                )));
            }
            let legal = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
            if !key.chars().all(legal) || !value.chars().all(legal) {
                return Err(LimitFault(format!(
                    "the tag {key:?} holds characters that AWS refuses: letters, numbers, spaces and _.:/=+-@ are legal"
                )));
            }
            if !folded.insert(key.to_lowercase()) {
                return Err(LimitFault(format!(
                    "the tag {key:?} is there twice: keys that differ in case alone are one key"
                )));
            }
        }
        if let Some(stranger) = transitive.iter().find(|key| !tags.contains_key(*key)) {
            return Err(LimitFault(format!(
                "the transitive tag {stranger:?} is not among the tags"
            )));
        }
        Ok(Self { tags, transitive })
    }

    /// The tags, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The keys of the tags that go on to the next role.
    #[must_use]
    pub fn transitive(&self) -> &[String] {
        &self.transitive
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

pub(super) fn check(
    what: &str,
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    extra: &[u8],
) -> Result<(), LimitFault> {
    if !length.contains(&text.chars().count()) {
        return Err(LimitFault(format!(
            "{what} has {} to {} characters",
            length.start(),
            length.end()
        )));
    }
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b)) {
        return Ok(());
    }
    Err(LimitFault(format!(
        "{what} is made of letters, digits and {}",
        String::from_utf8_lossy(extra)
    )))
}

/// Longest session policy in characters (AWS: policy and policy ARNs together; Ceph: the policy alone).
const MAX_POLICY_CHARS: usize = 2048;

/// Most session tags that STS takes.
const MAX_TAGS: usize = 50;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Contract F 74, E.1.
    #[test]
    fn ids_keep_to_their_alphabets_and_lengths() {
        let external = |text: &str| ExternalId::parse(text, Dialect::Aws).is_ok();
        for (length, legal) in [(1, false), (2, true), (1224, true), (1225, false)] {
            assert_eq!(external(&"x".repeat(length)), legal, "{length}");
        }
        assert_alphabet(&format!("{ALL}:/"), external);
        assert!(ExternalId::parse("anything at all!", Dialect::Generic).is_ok());
        let source = |text: &str| SourceIdentity::parse(text).is_ok();
        for (length, legal) in [(1, false), (2, true), (64, true), (65, false)] {
            assert_eq!(source(&"x".repeat(length)), legal, "{length}");
        }
        assert_alphabet(ALL, source);
        assert!(SourceIdentity::parse("aws:me").unwrap_err().to_string().contains("aws:"));
    }

    /// What the STS writes as `[\w+=,.@-]`; `\w` is of ASCII there.
    pub(in crate::model) const ALL: &str = "_+=,.@-";

    /// Checks that every visible ASCII character is legal in the middle of a text exactly if it is a letter, a digit
    /// or in `extra`.
    #[track_caller]
    pub(in crate::model) fn assert_alphabet(extra: &str, is_legal: impl Fn(&str) -> bool) {
        for c in ('\0'..='\u{ff}').chain(['\u{130}', '\u{2028}']) {
            let expected = c.is_ascii_alphanumeric() || extra.contains(c);
            assert_eq!(is_legal(&format!("a{c}b")), expected, "{c:?}");
        }
    }

    /// Contract F 74, E.1.
    #[test]
    fn a_policy_is_measured_without_its_white_space() {
        let padded = format!("{{ {} \"Version\": \"2012-10-17\" }}", " ".repeat(4000));
        assert_eq!(SessionPolicy::parse(&padded).unwrap().as_str(), r#"{"Version":"2012-10-17"}"#);
        let long = format!("{{\"Sid\":\"{}\"}}", "x".repeat(2048));
        assert!(SessionPolicy::parse(&long).is_err());
        assert!(SessionPolicy::parse("[]").is_err());
        let of_length = |length: usize| format!("{{\"Sid\":\"{}\"}}", "ä".repeat(length - 10));
        assert!(SessionPolicy::parse(&of_length(2048)).is_ok());
        assert!(SessionPolicy::parse(&of_length(2049)).is_err());
        assert!(SessionPolicy::parse("{\"Sid\":\"\u{100}\"}").is_err(), "Latin-1 ends before");
    }

    /// Contract F 74, E.1.
    #[test]
    fn tags_that_aws_would_refuse_are_refused_here() {
        let tags = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(SessionTags::parse(tags(&[("team", "infra")]), vec!["team".into()]).is_ok());
        assert!(SessionTags::parse(tags(&[("team", "a"), ("Team", "b")]), vec![]).is_err());
        assert!(SessionTags::parse(tags(&[("team", "a")]), vec!["other".into()]).is_err());
        assert!(SessionTags::parse(tags(&[("te*m", "a")]), vec![]).is_err());
        let legal =
            |key: &str, value: &str| SessionTags::parse(tags(&[(key, value)]), vec![]).is_ok();
        assert!(legal("söhne 1_.:/=+-@", "söhne 1_.:/=+-@") && legal("k", ""));
        assert!(!legal("k", "a&b") && !legal("k", "a\nb") && !legal("", "v"));
        assert!(legal(&"k".repeat(128), &"v".repeat(256)));
        assert!(!legal(&"k".repeat(129), "v") && !legal("k", &"v".repeat(257)));
        let many = |count: u32| (0..count).map(|it| (it.to_string(), String::new())).collect();
        assert!(SessionTags::parse(many(50), vec![]).is_ok());
        assert!(SessionTags::parse(many(51), vec![]).is_err());
    }
}
