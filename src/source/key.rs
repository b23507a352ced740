//! Long-term keys: read anew for every hop that they sign, so that a rotated key is used at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::files::{self, FileFault};
use crate::ini::{Heading, Section};
use crate::keyring::{KeyringFault, KeyringProblem};
use crate::model::{Failure, FailureKind, KeySource, LongTermKey, Signer};
use crate::{child, ini, keyring};

/// Reads the key that `source` refers to.
///
/// # Errors
/// `Misconfigured`, with where it was looked for and what to do; `Unreachable` where the place itself does not answer.
pub async fn read(source: &KeySource) -> Result<Signer, Failure> {
    let key = match source {
        KeySource::Command { print: command, .. } => {
            let place = format!("the access_key command {command}");
            let output = child::output(command.program(), command.arguments(), DEADLINE, CAP)
                .await
                .map_err(|fault| super::commanded(CODE, &place, &fault))?;
            let text =
                std::str::from_utf8(&output).map_err(|_| fail(format!("{place} wrote no text")))?;
            parse_json(text).map_err(|what| fail(format!("the output of {command} {what}")))
        }
        KeySource::Environment => from_environment(),
        KeySource::Keyring(name) => {
            let text = read_item(name).await?;
            parse(&text).map_err(|what| fail(format!("the keyring's item {name} {what}")))
        }
        KeySource::AwsProfile { .. } | KeySource::File(_) | KeySource::SystemdCredential { .. } => {
            let source = source.clone();
            super::blocking(move || from_file(&source)).await
        }
    }?;
    Ok(Signer::LongTerm(Arc::new(key)))
}

/// The attributes of the item of the keyring that the key `name` is in.
#[must_use]
pub fn item_of(name: &str) -> [(&str, &str); 2] {
    [("service", "credbroker"), ("name", name)]
}

/// What is in the item of the keyring that the key `name` is in.
///
/// # Errors
/// Those of [`of_keyring`].
pub async fn read_item(name: &str) -> Result<Zeroizing<String>, Failure> {
    let secret = keyring::read(&item_of(name)).await.map_err(|fault| of_keyring(name, &fault))?;
    let text = std::str::from_utf8(&secret);
    let text = text.map_err(|_| fail(format!("the keyring's item {name} holds no text")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What a fault of the item `name` is to whoever wants the key: a keyring that is locked, or not there yet, may open as its
/// person signs in; what is missing, which is `NoSuchItem`, wants a person's hand.
#[must_use]
pub fn of_keyring(name: &str, fault: &KeyringFault) -> Failure {
    let kind = match fault.problem {
        KeyringProblem::Failed(_)
        | KeyringProblem::Late
        | KeyringProblem::Locked
        | KeyringProblem::NoBus(_)
        | KeyringProblem::NoService => FailureKind::Unreachable,
        KeyringProblem::Missing
        | KeyringProblem::NoKeyring
        | KeyringProblem::NotBuiltIn
        | KeyringProblem::Several(_)
        | KeyringProblem::TooLarge => FailureKind::Misconfigured,
    };
    let code = if fault.problem == KeyringProblem::Missing { "NoSuchItem" } else { CODE };
    Failure::new(kind, code, format!("the keyring's item {name}: {fault}"))
}

fn from_file(source: &KeySource) -> Result<LongTermKey, Failure> {
    match source {
        KeySource::AwsProfile { name, credentials_file, config_file } => {
            from_aws_files(name, credentials_file, config_file)
        }
        KeySource::File(path) => from_text(path, files::read_secret(path, FILE_CAP)),
        KeySource::SystemdCredential { path, .. } => {
            from_text(path, files::read_credential(path, FILE_CAP))
        }
        KeySource::Command { .. } | KeySource::Environment | KeySource::Keyring(_) => {
            Err(fail("this access_key is not kept in a file".to_owned()))
        }
    }
}

/// The credentials file wins over the config file, as for every SDK.
fn from_aws_files(name: &str, credentials: &Path, config: &Path) -> Result<LongTermKey, Failure> {
    let in_credentials = |section: &&Section<'_>| section.name == name;
    let in_config = |section: &&Section<'_>| matches!(Heading::parse(section.name), Heading::Profile(it) if it == name);
    for (path, is_config) in [(credentials, false), (config, true)] {
        if !path.exists() {
            continue;
        }
        let text = files::read_text(path, FILE_CAP).map_err(|fault| fail(fault.to_string()))?;
        let document = ini::parse(&text);
        let mut sections = document.sections.iter().rev();
        let section =
            if is_config { sections.find(in_config) } else { sections.find(in_credentials) };
        if let Some(section) = section
            && section.value("aws_access_key_id").is_some()
        {
            return from_section(section)
                .map_err(|what| fail(format!("{} [{}] {what}", path.display(), section.name)));
        }
    }
    Err(fail(format!(
        "neither {} nor {} has an aws_access_key_id for the profile `{name}`",
        credentials.display(),
        config.display()
    )))
}

fn from_environment() -> Result<LongTermKey, Failure> {
    let of = |name: &str| {
        std::env::var_os(name)
            .and_then(|value| value.into_string().ok())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| fail(format!("{name} is not set in the daemon's environment")))
    };
    Ok(LongTermKey {
        access_key_id: of("AWS_ACCESS_KEY_ID")?,
        secret_access_key: SecretString::from(of("AWS_SECRET_ACCESS_KEY")?),
    })
}

fn from_text(
    path: &Path,
    text: Result<Zeroizing<String>, FileFault>,
) -> Result<LongTermKey, Failure> {
    let text = text.map_err(|fault| fail(fault.to_string()))?;
    parse(&text).map_err(|what| fail(format!("{} {what}", path.display())))
}

/// Reads a key from `credential_process` JSON or from the first INI section that has one.
fn parse(text: &str) -> Result<LongTermKey, String> {
    if text.trim_start().starts_with('{') {
        return parse_json(text);
    }
    let document = ini::parse(text);
    match document.sections.iter().find(|section| section.value("aws_access_key_id").is_some()) {
        Some(section) => from_section(section),
        None => {
            Err("holds neither credential_process JSON nor an INI section with aws_access_key_id"
                .to_owned())
        }
    }
}

fn from_section(section: &Section<'_>) -> Result<LongTermKey, String> {
    let of = |key: &str| {
        section.value(key).filter(|value| !value.is_empty()).ok_or_else(|| format!("has no {key}"))
    };
    if TOKENS.iter().any(|key| section.value(key).is_some()) {
        return Err(A_SESSION.to_owned());
    }
    Ok(LongTermKey {
        access_key_id: of("aws_access_key_id")?.into_owned(),
        secret_access_key: SecretString::from(of("aws_secret_access_key")?.into_owned()),
    })
}

fn parse_json(text: &str) -> Result<LongTermKey, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Written {
        version: Option<u32>,
        access_key_id: String,
        secret_access_key: SecretString,
        session_token: Option<SecretString>,
    }
    // serde's own message may quote a value.
    let written: Written = serde_json::from_str(text).map_err(|error| {
        format!(
            "is no credential_process JSON with AccessKeyId and SecretAccessKey (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if written.version.is_some_and(|version| version != 1) {
        return Err("is of another Version than 1".to_owned());
    }
    if written.session_token.is_some() {
        return Err(A_SESSION.to_owned());
    }
    if written.access_key_id.is_empty() || written.secret_access_key.expose_secret().is_empty() {
        return Err("has an empty AccessKeyId or SecretAccessKey".to_owned());
    }
    Ok(LongTermKey {
        access_key_id: written.access_key_id,
        secret_access_key: written.secret_access_key,
    })
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, CODE, message)
}

const CODE: &str = "AccessKey";

/// What a session token is called beside a key, by now and in early files.
const TOKENS: [&str; 2] = ["aws_session_token", "aws_security_token"];

const A_SESSION: &str = "holds a session token: access_key wants a long-term key, not a session";

/// How long an `access_key` command may take; a prompt for a smart card's PIN has no place here.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest output of an `access_key` command, in bytes; the SDKs' own cap for `credential_process`.
const CAP: usize = 64_000;

/// Largest file that a key is looked for in, in bytes; the shared files of big teams have thousands of profiles.
const FILE_CAP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::CommandLine;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn json() -> String {
        format!(r#"{{"Version":1,"AccessKeyId":"AKIATEST","SecretAccessKey":"{SECRET}"}}"#)
    }

    fn ini() -> String {
        format!("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = {SECRET}\n")
    }

    async fn read_key(source: &KeySource) -> Result<(String, String), Failure> {
        match read(source).await? {
            Signer::LongTerm(key) => {
                Ok((key.access_key_id.clone(), key.secret_access_key.expose_secret().to_owned()))
            }
            signer @ (Signer::Anonymous | Signer::Session(_)) => panic!("{signer:?}"),
        }
    }

    fn key() -> (String, String) {
        ("AKIATEST".to_owned(), SECRET.to_owned())
    }

    #[tokio::test]
    async fn a_file_may_be_json_or_ini() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for text in [json(), ini()] {
            files::write_atomically(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(read_key(&KeySource::File(path.clone())).await, Ok(key()));
        }
    }

    #[tokio::test]
    async fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        files::write_atomically(&path, json().as_bytes(), 0o600).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let failure = read_key(&KeySource::File(path)).await.unwrap_err();
        assert!(failure.message.contains("chmod 600"), "{failure}");
    }

    #[tokio::test]
    async fn the_aws_files_are_read_as_the_sdks_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let [credentials_file, config_file] =
            ["credentials", "config"].map(|it| directory.path().join(it));
        fs::write(&config_file, ini().replace("[default]", "[profile 'base']")).unwrap();
        let source = |name: &str| KeySource::AwsProfile {
            name: name.to_owned(),
            credentials_file: credentials_file.clone(),
            config_file: config_file.clone(),
        };
        assert_eq!(read_key(&source("base")).await, Ok(key()));
        fs::write(
            &credentials_file,
            ini().replace("default", "base").replace("AKIATEST", "AKIAWINS"),
        )
        .unwrap();
        assert_eq!(read_key(&source("base")).await.unwrap().0, "AKIAWINS");
        let failure = read_key(&source("other")).await.unwrap_err();
        assert!(failure.message.contains("`other`"), "{failure}");
    }

    #[tokio::test]
    async fn a_command_prints_the_key() {
        let words = ["/bin/echo".to_owned(), json()];
        let command = CommandLine::new(words.to_vec()).unwrap();
        assert_eq!(read_key(&KeySource::Command { print: command, store: None }).await, Ok(key()));
    }

    async fn kind(words: &[&str]) -> FailureKind {
        let words = words.iter().map(ToString::to_string).collect();
        let command = CommandLine::new(words).unwrap();
        read_key(&KeySource::Command { print: command, store: None }).await.unwrap_err().kind
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_asked_again_soon() {
        assert_eq!(kind(&["sleep", "1000"]).await, FailureKind::Unreachable);
    }

    #[tokio::test]
    async fn a_command_that_fails_is_asked_again_soon_unless_it_is_not_there() {
        assert_eq!(kind(&["false"]).await, FailureKind::Unreachable);
        for words in [&["no-such-program-here"][..], &["env", "no-such-program-here"], &["true"]] {
            assert_eq!(kind(words).await, FailureKind::Misconfigured, "{words:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_quoted() {
        let session = json().replace('}', r#","SessionToken":"t"}"#);
        let number = json().replace(&format!("\"{SECRET}\""), "12345678901234567890");
        for text in [session, number, json().replace("AKIATEST", ""), format!("key = {SECRET}")] {
            let fault = parse(&text).unwrap_err();
            assert!(!fault.contains(SECRET) && !fault.contains("12345678"), "{fault}");
        }
    }
}
