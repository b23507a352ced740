//! A key within a text: `credential_process` JSON, or INI, in which it is replaced and every other byte stays.

use std::ops::Range;

use secrecy::ExposeSecret;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::ini::{self, Heading, Section};
use crate::model::LongTermKey;

/// Where in a text the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The profile of this name in AWS's config file.
    Config(String),
    /// The profile of this name in AWS's credentials file.
    Credentials(String),
    /// The whole is about one key: JSON, or INI with one section that has a key.
    Whole,
}

impl Within {
    /// Whether there is a key.
    pub(super) fn has_key(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    /// Where id and secret stand in the INI `text`, and which id it is.
    fn find(&self, text: &str) -> Option<(Range<usize>, Range<usize>, String)> {
        let document = ini::parse(text);
        let is_it = |section: &&Section<'_>| match self {
            Self::Config(name) => {
                matches!(Heading::parse(section.name), Heading::Profile(it) if it == *name)
            }
            Self::Credentials(name) => section.name == name,
            Self::Whole => section.entry(ID).is_some(),
        };
        let section = document.sections.iter().find(is_it)?;
        let (id, secret) = (section.entry(ID)?, section.entry(SECRET)?);
        let whole = |value: &str| !value.is_empty() && !value.contains('\n');
        let sound = whole(&id.value()) && whole(&secret.value());
        sound.then(|| (id.span(), secret.span(), id.value().into_owned()))
    }
}

/// `text` with `new` in the place of the key `id`.
///
/// # Errors
/// Why not, in words that follow the name of the place.
pub(super) fn edited(
    text: &str,
    within: &Within,
    id: &str,
    new: &LongTermKey,
) -> Result<Zeroizing<String>, String> {
    if *within == Within::Whole && text.trim_start().starts_with('{') {
        edited_json(text, id, new)
    } else {
        edited_ini(text, within, id, new)
    }
}

/// Checks that the key `there` is the one that is expected.
///
/// # Errors
/// That it is not, in words that follow the name of the place.
pub(super) fn check_id(there: &str, expected: &str) -> Result<(), String> {
    if there == expected {
        return Ok(());
    }
    Err(format!("does not hold the key {expected} any more: somebody else is at it; try again"))
}

/// `key` in the form of `credential_process`, in memory that is wiped.
#[must_use]
pub fn json(key: &LongTermKey) -> Zeroizing<Vec<u8>> {
    let (id, secret) = (&key.access_key_id, key.secret_access_key.expose_secret());
    let quoted = |text: &str| Zeroizing::new(Value::from(text).to_string());
    let mut text = Zeroizing::new(Vec::with_capacity(256 + 2 * (id.len() + secret.len())));
    text.extend_from_slice(b"{\"Version\":1,\"AccessKeyId\":");
    text.extend_from_slice(quoted(id).as_bytes());
    text.extend_from_slice(b",\"SecretAccessKey\":");
    text.extend_from_slice(quoted(secret).as_bytes());
    text.extend_from_slice(b"}\n");
    text
}

fn edited_ini(
    text: &str,
    within: &Within,
    id: &str,
    new: &LongTermKey,
) -> Result<Zeroizing<String>, String> {
    let (at_id, at_secret, there) =
        within.find(text).ok_or("has no aws_access_key_id with its aws_secret_access_key")?;
    check_id(&there, id)?;
    let mut edits =
        [(at_id, new.access_key_id.as_str()), (at_secret, new.secret_access_key.expose_secret())];
    // From the end, so that what is left to do stays where it is.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut edited = Zeroizing::new(String::with_capacity(text.len() + 512));
    edited.push_str(text);
    for (range, value) in edits {
        edited.replace_range(range, value);
    }
    let read = ini::parse(&edited);
    let kept = read.sections.iter().any(|section| {
        section.value(ID).as_deref() == Some(&new.access_key_id)
            && section.value(SECRET).as_deref() == Some(new.secret_access_key.expose_secret())
    });
    if kept { Ok(edited) } else { Err("cannot hold the new key: it is no INI value".to_owned()) }
}

fn edited_json(text: &str, id: &str, new: &LongTermKey) -> Result<Zeroizing<String>, String> {
    let mut document: serde_json::Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| format!("is no JSON object (line {})", error.line()))?;
    let there = document.get("AccessKeyId").and_then(Value::as_str).unwrap_or_default();
    check_id(there, id)?;
    let secret = new.secret_access_key.expose_secret();
    document.insert("AccessKeyId".to_owned(), Value::from(new.access_key_id.as_str()));
    document.insert("SecretAccessKey".to_owned(), Value::from(secret));
    let mut edited = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    edited.push('\n');
    Ok(Zeroizing::new(edited))
}

const ID: &str = "aws_access_key_id";

const SECRET: &str = "aws_secret_access_key";

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    const OLD: &str = "AKIAOLD0000000000000";

    fn new() -> LongTermKey {
        LongTermKey {
            access_key_id: "AKIANEW0000000000000".to_owned(),
            secret_access_key: SecretString::from("new/secret+of/forty"),
        }
    }

    const INI: &str = "# mine\r\n[default]\r\naws_access_key_id=AKIAOTHER\r\naws_secret_access_key=x\r\n\r\n\
        [ci]\nregion = eu-west-1\nAWS_Secret_Access_Key :  old/secret  \n; between\naws_access_key_id\t= AKIAOLD0000000000000\nca = y";

    #[test]
    fn an_ini_file_keeps_every_other_byte() {
        let within = Within::Credentials("ci".to_owned());
        let edited = edited_ini(INI, &within, OLD, &new()).unwrap();
        let by_hand =
            INI.replace(OLD, "AKIANEW0000000000000").replace("old/secret", "new/secret+of/forty");
        assert_eq!(edited.as_str(), by_hand);
        let moved = edited_ini(&edited, &within, OLD, &new()).unwrap_err();
        assert!(moved.contains("any more"), "{moved}");
        let none = edited_ini(INI, &Within::Credentials("cd".to_owned()), OLD, &new());
        assert!(none.unwrap_err().contains("no aws_access_key_id"));
        let whole = INI.split_once("[ci]").unwrap().0;
        assert!(edited_ini(whole, &Within::Whole, "AKIAOTHER", &new()).is_ok());
        let config = INI.replace("[ci]", "[profile 'ci']");
        assert!(edited_ini(&config, &Within::Config("ci".into()), OLD, &new()).is_ok());
    }

    #[test]
    fn json_keeps_its_other_members() {
        let text = format!(
            r#"{{"Version":1,"AccessKeyId":"{OLD}","SecretAccessKey":"x","AccountId":"1"}}"#
        );
        let edited = edited_json(&text, OLD, &new()).unwrap();
        let read: Value = serde_json::from_str(&edited).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "Version": 1, "AccessKeyId": "AKIANEW0000000000000",
                "SecretAccessKey": "new/secret+of/forty", "AccountId": "1",
            })
        );
        assert!(edited_json(&edited, OLD, &new()).is_err());
        assert!(edited_json("[1]", OLD, &new()).is_err());
    }
}
