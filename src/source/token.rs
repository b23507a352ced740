//! Web identity tokens: read anew for every call, since whoever writes them renews them.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::{Failure, FailureKind, TokenSource};
use crate::source::Oidc;
use crate::{child, files};

/// Reads the token that `source` refers to, without the white space around it.
///
/// # Errors
/// `Misconfigured`, with where it was looked for; `Unreachable` where the place itself does not answer, or where no
/// token has been put there yet.
pub(super) async fn read(source: &TokenSource, oidc: &Oidc) -> Result<SecretString, Failure> {
    let (place, text) = match source {
        TokenSource::Command(command) => {
            let place = format!("the web_identity_token command {command}");
            let output = child::output(command.program(), command.arguments(), DEADLINE, CAP)
                .await
                .map_err(|fault| super::commanded(CODE, &place, &fault))?;
            let text =
                std::str::from_utf8(&output).map_err(|_| fail(format!("{place} wrote no text")))?;
            (format!("the output of {place}"), Zeroizing::new(text.to_owned()))
        }
        TokenSource::File(path) => {
            let place = format!("the web identity token file {}", path.display());
            let path = path.clone();
            let text = super::blocking(move || {
                let cap = u64::try_from(CAP).unwrap_or(u64::MAX);
                files::read_token(&path, cap).map_err(|fault| {
                    let is_missing = fault.is_missing();
                    let failure = fail(format!("the web identity token file {fault}; {REMEDY}"));
                    // Whoever writes it may be about to.
                    let kind = if is_missing { FailureKind::Unreachable } else { failure.kind };
                    Failure { kind, ..failure }
                })
            })
            .await?;
            (place, text)
        }
        TokenSource::Oidc(client) => {
            let place = format!("what {} gives {}", client.issuer, client.client_id);
            return check(&place, oidc.token(client).await?.expose_secret());
        }
    };
    check(&place, text.trim())
}

/// What `failure`, by which an STS answers `token` of `source`, asks for: `InputExpired` while the next reading may
/// bring another token. One that a provider gave is not kept where the STS finds it expired, or no token of its issuer's.
///
/// A file is compared by its content: whoever writes it may leave its times alone, or set them without need. While it
/// holds the same token it is no use to show that to the STS again.
pub(super) async fn failed(
    source: &TokenSource,
    oidc: &Oidc,
    token: &SecretString,
    failure: Failure,
) -> Failure {
    let expired = failure.kind == FailureKind::InputExpired;
    if !expired && failure.kind != FailureKind::Unsettled {
        return failure;
    }
    match source {
        TokenSource::File(path) if expired => match read(source, oidc).await {
            Ok(now) if now.expose_secret() == token.expose_secret() => Failure {
                kind: FailureKind::Unreachable,
                message: format!(
                    "{}; {} still holds that token: does whoever writes it renew it?",
                    failure.message,
                    path.display()
                ),
                ..failure
            },
            Ok(_) | Err(_) => failure,
        },
        TokenSource::Command(_) | TokenSource::File(_) => failure,
        TokenSource::Oidc(client) => {
            oidc.reject(client, token).await;
            failure
        }
    }
}

/// 4 to 20,000 characters without a space in them (`webIdentityTokenType` in the STS service model).
fn check(place: &str, token: &str) -> Result<SecretString, Failure> {
    if token.is_empty() {
        return Err(fail(format!("{place} is empty; {REMEDY}")));
    }
    if !(4..=20_000).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(fail(format!(
            "{place} holds no token, which is one line of 4 to 20000 characters; {REMEDY}"
        )));
    }
    Ok(SecretString::from(token))
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, CODE, message)
}

const CODE: &str = "WebIdentityToken";

const REMEDY: &str = "see to whoever writes it; it is read anew for each session";

/// How long a token command may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest token that is read, in bytes: what the STS takes, and white space around it.
const CAP: usize = 20_100;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_token_file_is_trimmed_and_what_is_no_token_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let source = TokenSource::File(path.clone());
        let oidc = Oidc::new(crate::model::Clock::system());
        let missing = read(&source, &oidc).await.unwrap_err();
        assert!(missing.message.contains("does not exist"), "{missing}");
        assert_eq!(missing.kind, FailureKind::Unreachable, "somebody may be about to write it");
        fs::write(&path, "eyJ.abc.def\n").unwrap();
        assert_eq!(read(&source, &oidc).await.unwrap().expose_secret(), "eyJ.abc.def");
        for (text, reason) in
            [("\n", "is empty"), ("a b c d", "no token"), (&"x".repeat(30_000), "larger")]
        {
            fs::write(&path, text).unwrap();
            let failure = read(&source, &oidc).await.unwrap_err();
            assert!(failure.message.contains(reason), "{failure}");
            assert!(failure.message.contains(path.to_str().unwrap()), "{failure}");
            assert!(failure.message.contains("see to whoever writes it"), "{failure}");
        }
    }
}
