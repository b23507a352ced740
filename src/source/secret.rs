//! Secrets other than access keys: read anew each time, so that a replaced one is used at once.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::model::{Failure, FailureKind, SecretSource};
use crate::{child, files};

/// Reads the secret that `source` refers to, without the white space around it; `what` names it, such as "the
/// `client_secret`".
///
/// # Errors
/// `Misconfigured`, with where it was looked for; `Unreachable` where the place itself does not answer.
pub(super) async fn read(source: &SecretSource, what: &str) -> Result<SecretString, Failure> {
    let text = match source {
        SecretSource::Command(command) => {
            let place = format!("the command {command} of {what}");
            let output = child::output(command.program(), command.arguments(), DEADLINE, CAP)
                .await
                .map_err(|fault| super::commanded(CODE, &place, &fault))?;
            let text =
                std::str::from_utf8(&output).map_err(|_| fail(format!("{place} wrote no text")))?;
            SecretString::from(text.trim())
        }
        SecretSource::File(path) | SecretSource::SystemdCredential { path, .. } => {
            let read = match source {
                SecretSource::SystemdCredential { .. } => files::read_credential,
                SecretSource::Command(_) | SecretSource::File(_) => files::read_secret,
            };
            let (path, what) = (path.clone(), what.to_owned());
            super::blocking(move || {
                let cap = u64::try_from(CAP).unwrap_or(u64::MAX);
                let text = read(&path, cap).map_err(|fault| fail(format!("{what}: {fault}")))?;
                Ok(SecretString::from(text.trim()))
            })
            .await?
        }
    };
    if text.expose_secret().is_empty() {
        return Err(fail(format!("{what} is empty: {source} holds nothing")));
    }
    Ok(text)
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, CODE, message)
}

const CODE: &str = "Secret";

/// How long a command that prints a secret may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest secret in bytes; tokens have a few thousand.
const CAP: usize = 64_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CommandLine;

    #[tokio::test]
    async fn a_secret_is_trimmed_and_what_is_none_is_refused_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let source = SecretSource::File(path.clone());
        let missing = read(&source, "the client_secret").await.unwrap_err();
        assert!(missing.message.contains("client_secret") && missing.message.contains("not exist"));
        files::write_atomically(&path, b"hush\n", 0o600).unwrap();
        assert_eq!(read(&source, "it").await.unwrap().expose_secret(), "hush");
        files::write_atomically(&path, b"\n", 0o600).unwrap();
        let empty = read(&source, "the client_secret").await.unwrap_err();
        assert!(empty.message.contains("holds nothing"), "{empty}");
        files::write_atomically(&path, b"hush", 0o644).unwrap();
        let open = read(&source, "the client_secret").await.unwrap_err();
        assert!(open.message.contains("chmod 600") && !open.message.contains("hush"), "{open}");
    }

    #[tokio::test]
    async fn a_command_prints_a_secret() {
        let words = ["/bin/echo".to_owned(), "hush".to_owned()];
        let command = CommandLine::new(words.to_vec()).unwrap();
        let source = SecretSource::Command(command);
        assert_eq!(read(&source, "it").await.unwrap().expose_secret(), "hush");
    }
}
