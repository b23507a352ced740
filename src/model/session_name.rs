//! The name of a role session, and what stands in it for whoever asks.

use std::sync::Arc;

use crate::model::Dialect;
use crate::model::request::{LimitFault, check};

/// What stands for the caller in the template of a session name.
const CALLER: &str = "{caller}";

/// The name of a role session, or a template of one for each caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName(Arc<str>);

impl SessionName {
    /// Takes `text` as a session name: 2 to 64 of `[\w+=,.@-]`; on Ceph without the `+` (its
    /// `rgw_rest_sts.cc`).
    ///
    /// # Errors
    /// [`LimitFault`] with the rule that is broken.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, LimitFault> {
        let extra: &[u8] = if dialect == Dialect::Ceph { b"_=,.@-" } else { b"_+=,.@-" };
        check("a session name", text, 2..=64, extra)?;
        Ok(Self(text.into()))
    }

    /// Takes `text` as a session name in which `{caller}` stands for whoever asks, as it is legal for a short name.
    ///
    /// # Errors
    /// [`LimitFault`] with the rule that is broken.
    pub fn parse_template(text: &str, dialect: Dialect) -> Result<Self, LimitFault> {
        Self::parse(&text.replace(CALLER, "xx"), dialect)?;
        Ok(Self(text.into()))
    }

    /// Whether it is another for each caller.
    #[must_use]
    pub fn names_caller(&self) -> bool {
        self.0.contains(CALLER)
    }

    /// The session name for the caller that is called `caller`: what is illegal becomes `-`, what is too long is cut.
    #[must_use]
    pub fn for_caller(&self, caller: &str) -> Self {
        if !self.names_caller() {
            return self.clone();
        }
        // The template's own text keeps what it may have and a caller's name may not everywhere.
        let caller = Self::from_lossy(caller);
        let name = self.0.replace(CALLER, caller.as_str());
        Self(name.chars().take(64).collect::<String>().into())
    }

    /// Makes the nearest legal session name of `text`: what is illegal becomes `-`, what is too long is
    /// cut, what is too short is filled up.
    #[must_use]
    pub fn from_lossy(text: &str) -> Self {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
        let mut name: String =
            text.chars().take(64).map(|c| if legal(c) { c } else { '-' }).collect();
        while name.len() < 2 {
            name.push('-');
        }
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::{ALL, assert_alphabet};

    /// Contract F 74, E.1.
    #[test]
    fn session_names_keep_to_the_alphabet_of_the_sts() {
        assert!(SessionName::parse("me+laptop", Dialect::Aws).is_ok());
        assert!(SessionName::parse("me+laptop", Dialect::Ceph).is_err());
        assert!(SessionName::parse("x", Dialect::Aws).is_err());
        assert!(SessionName::parse(&"x".repeat(65), Dialect::Aws).is_err());
        assert!(SessionName::parse("me laptop", Dialect::Aws).is_err());
        assert!(SessionName::parse(&"x".repeat(64), Dialect::Aws).is_ok());
        assert_alphabet(ALL, |text| SessionName::parse(text, Dialect::Aws).is_ok());
        let without_plus = ALL.replace('+', "");
        assert_alphabet(&without_plus, |text| SessionName::parse(text, Dialect::Ceph).is_ok());
    }

    #[test]
    fn any_text_becomes_a_legal_session_name() {
        for text in ["", "a", "jörg@büro+x", &"y".repeat(200)] {
            let name = SessionName::from_lossy(text);
            assert!(SessionName::parse(name.as_str(), Dialect::Ceph).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn each_caller_has_a_session_name_of_its_own() {
        let template = SessionName::parse_template("{caller}@host+1", Dialect::Aws).unwrap();
        assert!(template.names_caller());
        assert_eq!(template.for_caller("alice").as_str(), "alice@host+1");
        assert_eq!(template.for_caller("a b/c").as_str(), "a-b-c@host+1");
        let long = template.for_caller(&"x".repeat(300));
        assert_eq!(long.as_str(), "x".repeat(64));
        assert!(!long.names_caller());
        for wrong in ["{caller} x", "{user}-{caller}", &format!("{{caller}}{}", "x".repeat(63))] {
            assert!(SessionName::parse_template(wrong, Dialect::Aws).is_err(), "{wrong}");
        }
        assert!(SessionName::parse_template("{caller}+", Dialect::Ceph).is_err());
        let fixed = SessionName::from_lossy("me");
        assert!(!fixed.names_caller());
        assert_eq!(fixed.for_caller("alice"), fixed);
    }
}
