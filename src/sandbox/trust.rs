//! Who may assume a role: its trust policy, and what the caller's own policy adds.

use crate::sandbox::principal::{Kind, Principal};

/// The trust policy of a role.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    /// ARNs of users, roles and role sessions, `arn:...:root` or an account's number for a whole account, or `*`.
    pub(super) principals: Vec<String>,
    /// The condition `sts:ExternalId`.
    pub(super) external_id: Option<String>,
    /// The condition `aws:MultiFactorAuthPresent`.
    pub(super) mfa: bool,
    /// Trust in an `OpenID` provider.
    pub(super) web: Option<WebTrust>,
}

/// Trust in the tokens of an `OpenID` provider.
#[derive(Clone, Debug)]
pub(super) struct WebTrust {
    pub(super) issuer: String,
    /// The condition on `sub`, where `*` stands for anything.
    pub(super) subject: Option<String>,
    /// The condition on `aud`.
    pub(super) audience: Option<String>,
}

impl Trust {
    /// Whether `caller` may assume `role_arn`, by who they are alone.
    ///
    /// Within an account a trust policy that names the caller is enough; one that names the account leaves it to
    /// the caller's own policy, `may_assume` (IAM User Guide, "Policy evaluation logic").
    pub(super) fn admits(&self, caller: &Principal, role_arn: &str, may_assume: &[String]) -> bool {
        let own_policy = || may_assume.iter().any(|one| matches(one, role_arn));
        self.principals.iter().any(|principal| {
            if names_account(principal, &caller.account) {
                return own_policy();
            }
            principal == "*" || names(principal, caller)
        })
    }

    /// Whether the conditions hold.
    pub(super) fn conditions_hold(&self, external_id: Option<&str>, mfa: bool) -> bool {
        let id_fits = self.external_id.as_deref().is_none_or(|wanted| external_id == Some(wanted));
        id_fits && (mfa || !self.mfa)
    }
}

impl WebTrust {
    /// Whether a token of `issuer` about `subject` for one of `audiences` may assume the role.
    pub(super) fn admits(&self, issuer: &str, subject: &str, audiences: &[String]) -> bool {
        self.issuer == issuer
            && self.subject.as_deref().is_none_or(|pattern| matches(pattern, subject))
            && self.audience.as_ref().is_none_or(|audience| audiences.contains(audience))
    }
}

fn names(principal: &str, caller: &Principal) -> bool {
    principal == caller.arn
        || match &caller.kind {
            Kind::Role { role_arn, .. } => principal == role_arn,
            Kind::User { .. } | Kind::UserSession { .. } => false,
        }
}

fn names_account(principal: &str, account: &str) -> bool {
    principal == account
        || principal
            .strip_suffix(":root")
            .and_then(|arn| arn.rsplit(':').next())
            .is_some_and(|named| named == account)
}

/// Whether `text` fits `pattern`, in which `*` stands for any number of characters (`StringLike`).
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((middle, after)) = rest.split_once('*') {
        let Some(at) = text.find(middle) else { return false };
        text = text.get(at + middle.len()..).unwrap_or_default();
        rest = after;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::principal::Inherited;

    const ROLE: &str = "arn:aws:iam::123456789012:role/Reader";

    fn user() -> Principal {
        Principal {
            arn: "arn:aws:iam::123456789012:user/me".into(),
            user_id: String::new(),
            account: "123456789012".into(),
            kind: Kind::User { name: "me".into() },
        }
    }

    fn role() -> Principal {
        Principal {
            arn: "arn:aws:sts::123456789012:assumed-role/First/session".into(),
            kind: Kind::Role {
                role_arn: "arn:aws:iam::123456789012:role/First".into(),
                inherited: Inherited::default(),
            },
            ..user()
        }
    }

    fn trust(principal: &str) -> Trust {
        Trust { principals: vec![principal.to_owned()], ..Trust::default() }
    }

    #[test]
    fn a_trust_policy_names_its_callers() {
        for (principal, user_may, role_may) in [
            ("*", true, true),
            ("arn:aws:iam::123456789012:user/me", true, false),
            ("arn:aws:iam::123456789012:user/m", false, false),
            ("arn:aws:iam::123456789012:role/First", false, true),
            ("arn:aws:sts::123456789012:assumed-role/First/session", false, true),
            ("arn:aws:sts::123456789012:assumed-role/First/other", false, false),
        ] {
            assert_eq!(trust(principal).admits(&user(), ROLE, &[]), user_may, "{principal}");
            assert_eq!(trust(principal).admits(&role(), ROLE, &[]), role_may, "{principal}");
        }
        assert!(!Trust::default().admits(&user(), ROLE, &["*".into()]));
    }

    #[test]
    fn an_account_leaves_it_to_the_callers_own_policy() {
        for account in ["arn:aws:iam::123456789012:root", "123456789012"] {
            let trust = trust(account);
            assert!(!trust.admits(&user(), ROLE, &[]));
            assert!(trust.admits(&user(), ROLE, &[ROLE.into()]));
            assert!(trust.admits(&user(), ROLE, &["arn:aws:iam::*:role/Rea*".into()]));
            assert!(!trust.admits(
                &user(),
                ROLE,
                &["arn:aws:iam::123456789012:role/Writer".into()]
            ));
        }
        assert!(!trust("arn:aws:iam::999999999999:root").admits(&user(), ROLE, &["*".into()]));
    }

    #[test]
    fn conditions_must_hold() {
        let trust = Trust { external_id: Some("pact".into()), mfa: true, ..trust("*") };
        assert!(trust.conditions_hold(Some("pact"), true));
        assert!(!trust.conditions_hold(Some("pact"), false));
        assert!(!trust.conditions_hold(Some("pac"), true));
        assert!(!trust.conditions_hold(None, true));
        assert!(Trust::default().conditions_hold(Some("unasked"), false));
    }

    #[test]
    fn patterns_match_as_string_like_does() {
        for (pattern, text, expected) in [
            ("repo:me/*:ref:*", "repo:me/x:ref:main", true),
            ("repo:me/*:ref:*", "repo:you/x:ref:main", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
