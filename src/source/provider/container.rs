//! The container credentials endpoint of ECS and EKS (AWS SDKs and Tools Reference Guide, "Container credential
//! provider"), whose clients have rules of their own (contract B.1).

use std::net::IpAddr;
use std::path::PathBuf;

use aws_smithy_types::body::SdkBody;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use secrecy::ExposeSecret;

use crate::files;
use crate::model::{Failure, FailureKind, container_url};
use crate::source::blocking;
use crate::source::provider::Variables;
use crate::source::provider::given::{CONTAINER, Given};
use crate::source::provider::web::Web;

/// Asks the endpoint that `variables` name.
///
/// # Errors
/// `Misconfigured` where none is named, or one that a token must not be sent to; `Refused` where it says no.
pub(super) async fn ask(variables: &Variables, web: &Web) -> Result<Given, Failure> {
    let url = container_url(|name| variables.text(name)).ok_or_else(|| {
        fail(
            FailureKind::Misconfigured,
            "is not there: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor \
             AWS_CONTAINER_CREDENTIALS_FULL_URI is set in the daemon's environment",
        )
    })?;
    let uri: http::Uri = url.parse().map_err(|_| {
        fail(
            FailureKind::Misconfigured,
            "has no such address; see AWS_CONTAINER_CREDENTIALS_FULL_URI",
        )
    })?;
    if !is_trusted(&uri) {
        let host = uri.host().unwrap_or_default();
        return Err(fail(
            FailureKind::Misconfigured,
            &format!("is asked over https, or on this machine, and not at http://{host}"),
        ));
    }
    let mut request = Request::builder().uri(uri).header(ACCEPT, "application/json");
    if let Some(authorization) = authorization(variables).await? {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request
        .body(SdkBody::empty())
        .map_err(|_| fail(FailureKind::Misconfigured, "cannot be asked at its address"))?;
    let answer = web.ask(WHAT, CONTAINER, request).await?;
    if let Some(failure) = answer.refusal(WHAT, CONTAINER) {
        return Err(failure);
    }
    Given::of_service(&answer.body)
        .map_err(|what| fail(FailureKind::Unreachable, &format!("gave a document that {what}")))
}

/// The raw token, from a file that is read anew each time or from the environment; a newline in it is a mistake
/// (contract B.1).
async fn authorization(variables: &Variables) -> Result<Option<HeaderValue>, Failure> {
    let token = match variables.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from) {
        Some(path) => Some(
            blocking(move || {
                files::read_token(&path, TOKEN_CAP).map_err(|fault| {
                    fail(FailureKind::Misconfigured, &format!("wants a token, but {fault}"))
                })
            })
            .await?,
        ),
        None => variables
            .secret("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(|token| token.expose_secret().to_owned().into()),
    };
    let Some(token) = token else { return Ok(None) };
    let mut value = HeaderValue::from_str(&token).map_err(|_| {
        fail(
            FailureKind::Misconfigured,
            "wants a token of one line, without a newline at its end; see \
             AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        )
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether a token may go there: encrypted, to this machine, or to the addresses of ECS and EKS.
fn is_trusted(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_near = match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || NEAR.iter().any(|near| near.parse() == Ok(address)),
        Err(_) => host == "localhost",
    };
    uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_near
}

fn fail(kind: FailureKind, what: &str) -> Failure {
    Failure::new(kind, CONTAINER, format!("{WHAT} {what}"))
}

const WHAT: &str = "the container credentials endpoint";

/// The addresses of the agents of ECS and EKS.
const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Largest token file, in bytes.
const TOKEN_CAP: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_this_machine_or_over_https() {
        for (url, trusted) in [
            ("http://127.0.0.1:9911/v1", true),
            ("http://localhost/", true),
            ("http://[::1]:80/", true),
            ("http://169.254.170.2/v2", true),
            ("http://169.254.170.23/v1", true),
            ("http://[fd00:ec2::23]/v1", true),
            ("https://broker.example/", true),
            ("http://broker.example/", false),
            ("http://169.254.169.254/", false),
            ("http://localhost.example/", false),
            ("ftp://127.0.0.1/", false),
            ("/v1", false),
        ] {
            assert_eq!(is_trusted(&url.parse().unwrap()), trusted, "{url}");
        }
    }

    #[tokio::test]
    async fn a_token_with_a_newline_is_a_mistake() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        let variables: Variables = [(name, path.display().to_string())].into_iter().collect();
        assert!(authorization(&variables).await.unwrap_err().message.contains("does not exist"));
        std::fs::write(&path, "tick et").unwrap();
        assert_eq!(authorization(&variables).await.unwrap().unwrap(), "tick et");
        std::fs::write(&path, "ticket\n").unwrap();
        assert!(authorization(&variables).await.unwrap_err().message.contains("newline"));
    }
}
