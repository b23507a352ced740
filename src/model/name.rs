//! The name of a profile, as people write it in a configuration and on a command line.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The name of a profile: 1 to 128 characters, none of them a control character, no space at either end.
///
/// AWS sets no rule for profile names, and people use spaces, colons and slashes; so do we. Cloning is
/// cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileName(Arc<str>);

impl ProfileName {
    /// Takes `text` as a profile's name.
    ///
    /// # Errors
    /// [`NameFault`] for an empty or over-long name, for control characters, and for spaces at an end.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        if text.is_empty() {
            return Err(NameFault::Empty);
        }
        if text.chars().count() > MAX_CHARS {
            return Err(NameFault::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameFault::ControlCharacter);
        }
        if text.trim() != text {
            return Err(NameFault::SpaceAtEnd);
        }
        Ok(Self(text.into()))
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name may stand in an IMDS path as a role name.
    ///
    /// Clients put the line of the role list into the next URL unescaped (aws-config's
    /// `imds/credentials.rs` panics on a character that a URL refuses), so only IAM's own role name
    /// alphabet `[\w+=,.@-]` is safe.
    #[must_use]
    pub fn is_url_safe(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
    }

    /// The name as one word of a command line that a person copies into a shell: in single quotes where it needs them.
    #[must_use]
    pub fn in_shell(&self) -> Cow<'_, str> {
        in_shell(&self.0)
    }
}

/// `word` as one word of a command line that a person copies into a shell: in single quotes where it needs them.
pub(crate) fn in_shell(word: &str) -> Cow<'_, str> {
    if word.chars().all(|c| c.is_alphanumeric() || "_+=,.@-/:%".contains(c)) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

impl fmt::Debug for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is no profile name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// There is a tab, a line break or another control character in it.
    ControlCharacter,
    /// It has no character at all.
    Empty,
    /// It begins or ends with white space.
    SpaceAtEnd,
    /// It is longer than 128 characters.
    TooLong,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlCharacter => "a profile name cannot hold control characters",
            Self::Empty => "a profile name cannot be empty",
            Self::SpaceAtEnd => "a profile name cannot begin or end with a space",
            Self::TooLong => "a profile name is at most 128 characters long",
        })
    }
}

impl std::error::Error for NameFault {}

/// Longest name in characters; far above what anybody writes, far below what a log line bears.
const MAX_CHARS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_use_are_taken() {
        for name in ["reader", "team/prod admin", "sso:dev", "Ünïcode"] {
            assert_eq!(ProfileName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_break_lines_or_lists_are_refused() {
        assert_eq!(ProfileName::parse(""), Err(NameFault::Empty));
        assert_eq!(ProfileName::parse("a\nb"), Err(NameFault::ControlCharacter));
        assert_eq!(ProfileName::parse(" a"), Err(NameFault::SpaceAtEnd));
        assert_eq!(ProfileName::parse(&"x".repeat(129)), Err(NameFault::TooLong));
    }

    #[test]
    fn a_name_is_one_word_to_a_shell() {
        for (name, word) in [
            ("reader", "reader"),
            ("team/prod:admin", "team/prod:admin"),
            ("team x", "'team x'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(ProfileName::parse(name).unwrap().in_shell(), word);
        }
    }

    #[test]
    fn only_iam_role_names_go_into_urls() {
        assert!(ProfileName::parse("a.b_c+d=e,f@g-h").unwrap().is_url_safe());
        assert!(!ProfileName::parse("a/b").unwrap().is_url_safe());
        assert!(!ProfileName::parse("a b").unwrap().is_url_safe());
    }
}
