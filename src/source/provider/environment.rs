//! Credentials in the daemon's own environment, and the variables by which AWS's tools are told where to ask.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::model::{Failure, FailureKind, parse_timestamp};
use crate::source::provider::given::{ENVIRONMENT, Given};

/// The variables of an environment that a provider may look at; an empty one counts as not set, as for AWS's tools.
///
/// All values are treated as secrets, since some are.
#[derive(Clone, Debug)]
pub struct Variables(Option<BTreeMap<String, SecretString>>);

impl Variables {
    /// Those of this process, read when they are asked for.
    #[must_use]
    pub fn of_process() -> Self {
        Self(None)
    }

    /// The value of `name`.
    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        match &self.0 {
            None => std::env::var_os(name)
                .and_then(|value| value.into_string().ok())
                .map(SecretString::from),
            Some(variables) => variables.get(name).cloned(),
        }
        .filter(|value| !value.expose_secret().is_empty())
    }

    /// The value of `name`, which is no secret.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.secret(name).map(|value| value.expose_secret().to_owned())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let secret = |(name, value): (K, V)| (name.into(), SecretString::from(value.into()));
        Self(Some(pairs.into_iter().map(secret).collect()))
    }
}

/// Reads the variables that AWS's tools read; `AWS_CREDENTIAL_EXPIRATION` is the one that `aws configure
/// export-credentials` writes.
///
/// # Errors
/// `Misconfigured` where one is missing or no good.
pub(super) fn read(variables: &Variables) -> Result<Given, Failure> {
    let missing = |name: &str| {
        let message = format!("{name} is not set in the daemon's environment");
        Failure::new(FailureKind::Misconfigured, ENVIRONMENT, message)
    };
    let expires = variables.text(EXPIRATION).map(|at| {
        parse_timestamp(&at).ok_or_else(|| {
            let message = format!("{EXPIRATION} in the daemon's environment is no time");
            Failure::new(FailureKind::Misconfigured, ENVIRONMENT, message)
        })
    });
    Ok(Given {
        access_key_id: variables.text(KEY_ID).ok_or_else(|| missing(KEY_ID))?,
        secret_access_key: variables.secret(SECRET).ok_or_else(|| missing(SECRET))?,
        session_token: variables.secret("AWS_SESSION_TOKEN"),
        expires: expires.transpose()?,
        account_id: None,
    })
}

const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";

const SECRET: &str = "AWS_SECRET_ACCESS_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    fn given(more: &[(&str, &str)]) -> Result<Given, Failure> {
        let key = [(KEY_ID, "AKIATEST"), (SECRET, "hush")];
        read(&key.iter().chain(more).copied().collect())
    }

    #[test]
    fn a_key_may_come_with_a_token_and_its_end() {
        assert!(given(&[("AWS_SESSION_TOKEN", "")]).unwrap().session_token.is_none());
        let session = [("AWS_SESSION_TOKEN", "t"), (EXPIRATION, "2026-03-01T12:00:00+00:00")];
        let given = given(&session).unwrap();
        assert!(given.session_token.is_some() && given.expires.is_some());
    }

    #[test]
    fn what_is_missing_or_no_time_is_named() {
        for (given, name) in [
            (given(&[(SECRET, "")]), SECRET),
            (given(&[(EXPIRATION, "soon")]), EXPIRATION),
            (read(&Variables::from_iter([("", "")])), KEY_ID),
        ] {
            let failure = given.unwrap_err();
            assert!(failure.message.starts_with(name), "{failure}");
        }
    }
}
