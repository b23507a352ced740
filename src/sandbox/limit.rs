//! The bounds of parameters, and AWS's way of naming every one that is broken, at once.
//!
//! The bounds are those of the service models (botocore `data/sts/2011-06-15` and `data/iam/2010-05-08`,
//! `service-2.json.gz`).

use std::fmt::Write;
use std::ops::RangeInclusive;

use crate::sandbox::answer::Refusal;

/// The bounds of a text.
#[derive(Clone, Copy)]
pub(super) struct Text {
    /// How many characters it has.
    pub(super) length: (usize, usize),
    /// Which characters are legal.
    pub(super) legal: fn(char) -> bool,
    /// The same as AWS's message spells it.
    pub(super) pattern: &'static str,
    /// Whether a message may repeat the value.
    pub(super) public: bool,
}

/// Collects what is broken.
#[derive(Debug, Default)]
pub(super) struct Bounds(Vec<String>);

impl Bounds {
    /// Demands that `value` is there.
    pub(super) fn required(&mut self, name: &str, value: Option<&str>) {
        if value.is_none() {
            self.0.push(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// Demands that `value`, where it is there, keeps to `rule`.
    pub(super) fn text(&mut self, name: &str, value: Option<&str>, rule: Text) {
        let Some(value) = value else { return };
        let (least, most) = rule.length;
        let length = value.chars().count();
        let shown = if rule.public { format!("'{value}' ") } else { String::new() };
        let mut broken = |constraint: String| {
            self.0.push(format!(
                "Value {shown}at '{name}' failed to satisfy constraint: {constraint}"
            ));
        };
        if length < least {
            broken(format!("Member must have length greater than or equal to {least}"));
        }
        if length > most {
            broken(format!("Member must have length less than or equal to {most}"));
        }
        if !value.chars().all(rule.legal) {
            broken(format!("Member must satisfy regular expression pattern: {}", rule.pattern));
        }
    }

    /// Demands that `value`, where it is there, lies in `range`.
    pub(super) fn number(&mut self, name: &str, value: Option<i64>, range: RangeInclusive<i64>) {
        let Some(value) = value else { return };
        let bound = if value < *range.start() {
            format!("greater than or equal to {}", range.start())
        } else if value > *range.end() {
            format!("less than or equal to {}", range.end())
        } else {
            return;
        };
        self.0.push(format!(
            "Value '{value}' at '{name}' failed to satisfy constraint: Member must have value {bound}"
        ));
    }

    /// Demands that `value`, where it is there, is one of `words`.
    pub(super) fn word(&mut self, name: &str, value: Option<&str>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(value)) {
            self.0.push(format!(
                "Value '{value}' at '{name}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
                words.join(", ")
            ));
        }
    }

    /// Demands that a list of `length` has at most `most` members.
    pub(super) fn list(&mut self, name: &str, length: usize, most: usize) {
        if length > most {
            self.0.push(format!(
                "Value at '{name}' failed to satisfy constraint: Member must have length less than or equal to {most}"
            ));
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// `ValidationError` with everything that is broken.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        let mut message = match self.0.len() {
            0 => return Ok(()),
            1 => "1 validation error detected: ".to_owned(),
            count => format!("{count} validation errors detected: "),
        };
        let _ = write!(message, "{}", self.0.join("; "));
        Err(Refusal::validation(message))
    }
}

/// `RoleArn`, `PolicyArns.member.N.arn`.
pub(super) const ARN: Text = Text {
    length: (20, 2048),
    legal: |c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{ffff}'),
    pattern: r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    public: true,
};

/// `RoleSessionName`, `SourceIdentity`.
pub(super) const SESSION_NAME: Text = Text {
    length: (2, 64),
    legal: |c| word(c) || "+=,.@-".contains(c),
    pattern: r"[\w+=,.@-]*",
    public: true,
};

/// `ExternalId`.
pub(super) const EXTERNAL_ID: Text = Text {
    length: (2, 1224),
    legal: |c| word(c) || "+=,.@:/-".contains(c),
    pattern: r"[\w+=,.@:\/-]*",
    public: true,
};

/// `SerialNumber`.
pub(super) const SERIAL: Text = Text {
    length: (9, 256),
    legal: |c| word(c) || "+=/:,.@-".contains(c),
    pattern: r"[\w+=/:,.@-]*",
    public: true,
};

/// `TokenCode`.
pub(super) const CODE: Text =
    Text { length: (6, 6), legal: |c| c.is_ascii_digit(), pattern: r"[\d]*", public: false };

/// `Policy` of `AssumeRole`: the service model sets it no upper bound.
pub(super) const POLICY: Text = Text {
    length: (1, usize::MAX),
    legal: |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}'),
    pattern: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    public: false,
};

/// `Policy` of `AssumeRoleWithWebIdentity`.
pub(super) const SHORT_POLICY: Text = Text { length: (1, 2048), ..POLICY };

/// `Tags.member.N.Key`.
pub(super) const TAG_KEY: Text =
    Text { length: (1, 128), legal: tag, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", public: true };

/// `Tags.member.N.Value`.
pub(super) const TAG_VALUE: Text =
    Text { length: (0, 256), legal: tag, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", public: true };

/// `WebIdentityToken`.
pub(super) const WEB_IDENTITY_TOKEN: Text =
    Text { length: (4, 20_000), legal: |_| true, pattern: "", public: false };

/// `UserName` and `VirtualMFADeviceName`, which has no upper bound but that of a serial number.
pub(super) const NAME: Text =
    Text { length: (1, 128), legal: SESSION_NAME.legal, pattern: r"[\w+=,.@-]+", public: true };

/// `Path`.
pub(super) const PATH: Text = Text {
    length: (1, 512),
    legal: |c| matches!(c, '!'..='~'),
    pattern: r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
    public: true,
};

/// `AccessKeyId`.
pub(super) const ACCESS_KEY_ID: Text =
    Text { length: (16, 128), legal: word, pattern: r"[\w]*", public: true };

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn tag(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_bound_is_named_in_the_words_of_aws() {
        let mut bounds = Bounds::default();
        bounds.required("roleArn", None);
        bounds.text("roleSessionName", Some("!"), SESSION_NAME);
        bounds.number("durationSeconds", Some(5), 900..=43_200);
        let refusal = bounds.finish().unwrap_err();
        assert_eq!(refusal.code, "ValidationError");
        assert_eq!(
            refusal.message,
            "4 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; \
             Value '!' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2; \
             Value '!' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*; \
             Value '5' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"
        );
    }

    #[test]
    fn a_secret_value_is_not_repeated() {
        let mut bounds = Bounds::default();
        bounds.text("tokenCode", Some("12345x7"), CODE);
        let message = bounds.finish().unwrap_err().message;
        assert!(message.starts_with("2 validation errors"), "{message}");
        assert!(!message.contains("12345"), "{message}");
    }

    #[test]
    fn the_edges_are_legal() {
        let mut bounds = Bounds::default();
        bounds.text("roleSessionName", Some(&"x".repeat(64)), SESSION_NAME);
        bounds.text("externalId", Some("a:/b"), EXTERNAL_ID);
        bounds.text("key", Some("Ümlaut 1_.:/=+-@"), TAG_KEY);
        bounds.text("value", Some(""), TAG_VALUE);
        bounds.number("durationSeconds", Some(900), 900..=43_200);
        bounds.list("tags", 50, 50);
        assert!(bounds.finish().is_ok());
    }
}
