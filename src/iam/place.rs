//! Where a long-term key is kept, and how a new one takes its place: id and secret in one rename, and every other byte
//! of the file as it was.

use std::ops::Range;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::files;
use crate::ini::{self, Heading, Section};
use crate::model::{Failure, FailureKind, KeySource, LongTermKey};

/// A file in which a profile's key can be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    path: PathBuf,
    /// Where in it.
    within: Within,
}

/// Where in a file the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    /// The profile of this name in AWS's config file.
    Config(String),
    /// The profile of this name in AWS's credentials file.
    Credentials(String),
    /// The whole is about one key: JSON, or INI with one section that has a key.
    Whole,
}

impl Place {
    /// Where the key of `profile`, which `source` refers to, is kept.
    ///
    /// # Errors
    /// `Misconfigured` where it cannot take a new key, with the line that moves the key to where it can.
    pub fn of(source: &KeySource, profile: &str) -> Result<Self, Failure> {
        let file = format!("access_key = {{ file = \"{profile}.json\" }}");
        let path = match source {
            KeySource::AwsProfile { name, credentials_file, config_file } => {
                return Self::in_aws_files(name, credentials_file, config_file);
            }
            KeySource::File(path) => path.clone(),
            KeySource::Command(command) => {
                return Err(fail(format!(
                    "a new key cannot be put where `{command}` reads it; have the profile say {file}, \
                     and move the key there with: (umask 077; {command} > {profile}.json)"
                )));
            }
            KeySource::Environment => {
                return Err(fail(format!(
                    "a new key cannot be put into the environment; have the profile say {file}, and move the key there with: \
                     (umask 077; printf '{{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\"}}' \
                     \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" > {profile}.json)"
                )));
            }
            KeySource::SystemdCredential { name, path } => {
                return Err(fail(format!(
                    "systemd's credential `{name}` is a copy, which takes no new key; have the profile say {file}, \
                     and move the key there with: (umask 077; cat {} > {profile}.json)",
                    path.display()
                )));
            }
        };
        Ok(Self { path, within: Within::Whole })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds out whether the key `id`, which must be there now, can be replaced, and changes nothing.
    ///
    /// # Errors
    /// `Misconfigured` with why it cannot.
    pub fn check(&self, id: &str) -> Result<(), Failure> {
        let other = LongTermKey {
            access_key_id: "A".repeat(20),
            secret_access_key: SecretString::from("a".repeat(40)),
        };
        self.edited(id, &other)?;
        files::check_replaceable(&self.path).map_err(|error| self.unwritten(&error))
    }

    /// Puts `new` where the key `id` is now.
    ///
    /// # Errors
    /// `Misconfigured` where another key is there by now, or the file cannot be written; it is as it was then.
    pub fn replace(&self, id: &str, new: &LongTermKey) -> Result<(), Failure> {
        let text = self.edited(id, new)?;
        files::replace(&self.path, text.as_bytes()).map_err(|error| self.unwritten(&error))
    }

    fn in_aws_files(name: &str, credentials: &Path, config: &Path) -> Result<Self, Failure> {
        let places = [
            Self { path: credentials.to_owned(), within: Within::Credentials(name.to_owned()) },
            Self { path: config.to_owned(), within: Within::Config(name.to_owned()) },
        ];
        for place in places {
            if place.path.exists() && place.within.find(&place.read()?).is_some() {
                return Ok(place);
            }
        }
        Err(fail(format!(
            "neither {} nor {} has an aws_access_key_id for the profile `{name}`",
            credentials.display(),
            config.display()
        )))
    }

    fn edited(&self, id: &str, new: &LongTermKey) -> Result<Zeroizing<String>, Failure> {
        let text = self.read()?;
        let edited = if self.within == Within::Whole && text.trim_start().starts_with('{') {
            edited_json(&text, id, new)
        } else {
            edited_ini(&text, &self.within, id, new)
        };
        edited.map_err(|what| fail(format!("{} {what}", self.path.display())))
    }

    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        files::read_text(&self.path, FILE_CAP).map_err(|fault| fail(fault.to_string()))
    }

    fn unwritten(&self, error: &std::io::Error) -> Failure {
        fail(format!(
            "{} cannot be replaced: {}; run this as the user whose file it is",
            self.path.display(),
            files::said(error)
        ))
    }
}

impl Within {
    /// Where id and secret stand in `text`, and which id it is.
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

fn check_id(there: &str, expected: &str) -> Result<(), String> {
    if there == expected {
        return Ok(());
    }
    Err(format!("does not hold the key {expected} any more: somebody else is at it; try again"))
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, "AccessKey", message)
}

const ID: &str = "aws_access_key_id";

const SECRET: &str = "aws_secret_access_key";

/// Largest file that a key is put into, in bytes; what it is read from has the same bound.
const FILE_CAP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::CommandLine;

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

    #[test]
    fn the_file_that_the_sdks_read_is_the_one_that_is_edited() {
        let directory = tempfile::tempdir().unwrap();
        let [credentials_file, config_file] =
            ["credentials", "config"].map(|it| directory.path().join(it));
        let source = KeySource::AwsProfile {
            name: "ci".to_owned(),
            credentials_file: credentials_file.clone(),
            config_file: config_file.clone(),
        };
        assert!(Place::of(&source, "base").unwrap_err().message.contains("`ci`"));
        fs::write(&config_file, INI.replace("[ci]", "[profile ci]")).unwrap();
        assert_eq!(Place::of(&source, "base").unwrap().path(), config_file);
        fs::write(&credentials_file, INI).unwrap();
        let place = Place::of(&source, "base").unwrap();
        assert_eq!(place.path(), credentials_file);
        place.check(OLD).unwrap();
        assert_eq!(fs::read_to_string(&credentials_file).unwrap(), INI);
        place.replace(OLD, &new()).unwrap();
        assert!(fs::read_to_string(&credentials_file).unwrap().contains("new/secret+of/forty"));
        assert!(place.check(OLD).is_err());
    }

    #[test]
    fn what_takes_no_key_names_the_line_that_moves_it() {
        let command = CommandLine::new(vec!["/bin/pass".to_owned(), "aws".to_owned()]).unwrap();
        let credential = KeySource::SystemdCredential { name: "b".into(), path: "/run/b".into() };
        for source in [KeySource::Command(command), KeySource::Environment, credential] {
            let failure = Place::of(&source, "base").unwrap_err();
            assert_eq!(failure.kind, FailureKind::Misconfigured);
            assert!(failure.message.contains("access_key = { file = \"base.json\" }"), "{failure}");
            assert!(failure.message.contains("> base.json)"), "{failure}");
        }
    }
}
