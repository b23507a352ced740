//! Who signs: a user, a session of that user, or a session of a role.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Whose account this is: what bare names of users and roles are completed with.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) account: String,
    pub(super) partition: String,
}

impl Home {
    /// The ARN of the user `name`.
    pub(super) fn user_arn(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:user/{name}", self.partition, self.account)
    }

    /// The ARN of the role `name`; an ARN stays as it is.
    pub(super) fn role_arn(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        format!("arn:{}:iam::{}:role/{name}", self.partition, self.account)
    }
}

/// Who signed a request, as `GetCallerIdentity` tells it.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) arn: String,
    pub(super) user_id: String,
    pub(super) account: String,
    pub(super) kind: Kind,
}

/// What sort of keys signed it.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A session of the role with this ARN.
    Role { role_arn: String, inherited: Inherited },
    /// The long-term key of the user with this name.
    User { name: String },
    /// A session that the user with this name got from `GetSessionToken`, with an MFA code or without.
    UserSession { name: String, mfa: bool },
}

impl Principal {
    /// The user behind a long-term key or a user's session.
    pub(super) fn user(&self) -> Option<&str> {
        match &self.kind {
            Kind::Role { .. } => None,
            Kind::User { name } | Kind::UserSession { name, .. } => Some(name),
        }
    }

    /// Whether the keys are temporary ones; a role assumed with such is chained.
    pub(super) fn is_session(&self) -> bool {
        match self.kind {
            Kind::Role { .. } | Kind::UserSession { .. } => true,
            Kind::User { .. } => false,
        }
    }

    /// What a role session hands on to the next.
    pub(super) fn inherited(&self) -> Inherited {
        match &self.kind {
            Kind::Role { inherited, .. } => inherited.clone(),
            Kind::User { .. } | Kind::UserSession { .. } => Inherited::default(),
        }
    }
}

/// What sticks to a session through role after role (IAM User Guide: "Chaining roles with session tags", "Monitor
/// and control actions taken with assumed roles").
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    pub(super) source_identity: Option<String>,
    pub(super) transitive_tags: BTreeMap<String, String>,
}

/// The unique id that IAM would have given to `arn`: `prefix` and 17 of A-Z2-7, the same at each start.
pub(super) fn unique_id(prefix: &str, arn: &str) -> String {
    let digest = Sha256::digest(arn.as_bytes());
    let letters = digest.iter().take(17).map(|byte| base32_letter(*byte));
    prefix.chars().chain(letters).collect()
}

/// The letter of base32 for the low five bits of `byte`.
pub(super) fn base32_letter(byte: u8) -> char {
    match byte % 32 {
        low @ 0..26 => char::from(b'A' + low),
        high => char::from(b'2' + (high - 26)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_and_arns_are_kept() {
        let home = Home { account: "123456789012".into(), partition: "aws-cn".into() };
        assert_eq!(home.user_arn("me"), "arn:aws-cn:iam::123456789012:user/me");
        assert_eq!(home.role_arn("Reader"), "arn:aws-cn:iam::123456789012:role/Reader");
        assert_eq!(home.role_arn("arn:aws:iam:::role/S3"), "arn:aws:iam:::role/S3");
    }

    #[test]
    fn unique_ids_look_like_those_of_iam() {
        let id = unique_id("AROA", "arn:aws:iam::123456789012:role/Reader");
        assert_eq!(id.len(), 21);
        assert!(id.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)), "{id}");
        assert_ne!(id, unique_id("AROA", "arn:aws:iam::123456789012:role/Writer"));
        assert_eq!(
            (0..32).map(base32_letter).collect::<String>(),
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        );
    }
}
