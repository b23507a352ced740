//! `check --policies`: the IAM policies that a profile needs, ready to paste.

use std::io::{self, IsTerminal};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::check::Form;
use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::print;
use crate::config::{self, Claims, Config, Surroundings};
use crate::files;
use crate::model::{Call, Dialect, Plan, ProfileName, TokenSource};

/// Prints the policies of `profile`.
pub(super) fn run(
    config: Option<&Path>,
    profile: &ProfileName,
    form: Form,
) -> Result<Exit, Complaint> {
    match config::find(config, &Surroundings::of_process()) {
        Ok(config) => {
            print::report(&said(&config, profile, form)?)?;
            Ok(Exit::Success)
        }
        Err(faults) => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            exit::warn(&faults.render(colour));
            Ok(Exit::Config)
        }
    }
}

fn said(config: &Config, profile: &ProfileName, form: Form) -> Result<String, Complaint> {
    let Some(plan) = config.plans.iter().find(|plan| plan.profile == *profile) else {
        let is_source = config.sources.iter().any(|(name, _)| name == profile);
        let message = if is_source {
            format!("{profile} is only a source for others; name a profile that begins with it")
        } else {
            format!("there is no profile {profile}; `credbroker check` shows those that there are")
        };
        return Err(Complaint::new(Exit::Config, message));
    };
    let policies = config::policies(plan, &claims(plan));
    Ok(match form {
        Form::Json => serde_json::to_string_pretty(&policies).unwrap_or_default() + "\n",
        Form::Words => policies.to_string(),
    })
}

/// What the token of `plan` says of itself, where it is in a file that can be read now; no signature is looked at, because
/// nothing is granted.
fn claims(plan: &Plan) -> Claims {
    plan.hops()
        .find_map(|hop| match &hop.call {
            Call::AssumeRoleWithWebIdentity { token: TokenSource::File(path), .. } => {
                let token = files::read_secret(path, MAX_TOKEN_BYTES).ok()?;
                claims_of(&token, hop.sts.dialect)
            }
            Call::AssumeRoleWithWebIdentity { .. }
            | Call::AssumeRole { .. }
            | Call::GetSessionToken { .. }
            | Call::Provided(_) => None,
        })
        .unwrap_or_default()
}

/// The claims of a JWT (RFC 7519, section 4.1). Where `azp` is set, it is what AWS compares with `aud` (IAM User Guide,
/// "Available keys for AWS OIDC federation").
fn claims_of(token: &str, dialect: Dialect) -> Option<Claims> {
    let payload = token.trim().split('.').nth(1)?;
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let audience = text("aud").or_else(|| {
        claims.get("aud")?.as_array()?.first().and_then(Value::as_str).map(str::to_owned)
    });
    let audience = match dialect {
        Dialect::Aws => text("azp").or(audience),
        Dialect::Ceph | Dialect::Generic | Dialect::Minio => audience,
    };
    Some(Claims { audience, issuer: text("iss"), subject: text("sub") })
}

/// More than any token that an STS takes (20,000 characters).
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2lnbmF0dXJl\n", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_names_its_issuer_its_audience_and_its_subject() {
        let one = token(r#"{"iss":"https://id.example","aud":["sts","x"],"sub":"job"}"#);
        let expected = Claims {
            audience: Some("sts".to_owned()),
            issuer: Some("https://id.example".to_owned()),
            subject: Some("job".to_owned()),
        };
        assert_eq!(claims_of(&one, Dialect::Aws), Some(expected));
        let two = token(r#"{"aud":"sts","azp":"app"}"#);
        let audience = |dialect| claims_of(&two, dialect).unwrap().audience.unwrap();
        assert_eq!((audience(Dialect::Aws), audience(Dialect::Ceph)), ("app".into(), "sts".into()));
    }

    #[test]
    fn what_is_no_token_names_nothing() {
        for text in ["", "a.b", "a.!!.c", "e30.W10.x"] {
            let claims = claims_of(text, Dialect::Aws).unwrap_or_default();
            assert_eq!(claims, Claims::default(), "{text}");
        }
    }
}
