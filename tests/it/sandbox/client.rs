//! A client of the sandbox that can do everything wrong: requests are made and signed by hand, from the documents
//! alone, over in-memory streams.

use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use credbroker::model::{Clock, parse_timestamp, timestamp};
use credbroker::sandbox::{Sandbox, SandboxConfig};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const DEMO: (&str, &str) =
    ("AKIASANDBOXEXAMPLE22", "sandbox/EXAMPLEKEY/not/a/secret/demo0000");
pub(crate) const ADMIN: (&str, &str) =
    ("AKIASANDBOXEXAMPLE33", "sandbox/EXAMPLEKEY/not/a/secret/admin000");
pub(crate) const MFA_SERIAL: &str = "arn:aws:iam::123456789012:mfa/admin";

/// The start of every simulated clock: the first second of a step of 30.
pub(crate) const START: &str = "2026-03-01T12:00:00Z";

/// A sandbox with the example's users and roles, on a clock that moves with tokio's.
pub(crate) fn example() -> Sandbox {
    with_config(SandboxConfig::example())
}

pub(crate) fn with_config(text: &str) -> Sandbox {
    let start = parse_timestamp(START).unwrap();
    Sandbox::new(SandboxConfig::parse(text).unwrap(), Clock::simulated(start))
}

pub(crate) fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// What a request is signed with, and when.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl From<(&str, &str)> for Keys {
    fn from((id, secret): (&str, &str)) -> Self {
        Self { id: id.into(), secret: secret.into(), token: None }
    }
}

/// A request before it is signed; every field may be made wrong.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) keys: Option<Keys>,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) terminator: String,
    pub(crate) signed_headers: Vec<String>,
    /// How far the client's clock is ahead of the sandbox's, in seconds.
    pub(crate) skew: i64,
    /// The date in the credential scope, where it is not that of the request.
    pub(crate) scope_date: Option<String>,
    pub(crate) content_type: String,
    /// Replaces the body once it is signed.
    pub(crate) other_body: Option<String>,
    /// Replaces the header `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) extra_headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn new(action: &str, keys: impl Into<Keys>) -> Self {
        let request = Self {
            parameters: Vec::new(),
            keys: Some(keys.into()),
            region: "eu-west-1".into(),
            service: "sts".into(),
            terminator: "aws4_request".into(),
            signed_headers: vec!["content-type".into(), "host".into(), "x-amz-date".into()],
            skew: 0,
            scope_date: None,
            content_type: "application/x-www-form-urlencoded".into(),
            other_body: None,
            authorization: None,
            extra_headers: Vec::new(),
        };
        request.with("Action", action).with("Version", "2011-06-15")
    }

    pub(crate) fn unsigned(action: &str) -> Self {
        Self { keys: None, ..Self::new(action, ("", "")) }
    }

    pub(crate) fn assume(role_arn: &str, keys: impl Into<Keys>) -> Self {
        Self::new("AssumeRole", keys).with("RoleArn", role_arn).with("RoleSessionName", "me")
    }

    /// Sets a parameter; an empty name would add one, so there is none.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.retain(|(old, _)| old != name);
        self.parameters.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(old, _)| old != name);
        self
    }

    /// The bytes of the request, signed at `now`.
    pub(crate) fn bytes(&self, now: SystemTime) -> String {
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        let at = if self.skew < 0 {
            now - Duration::from_secs(self.skew.unsigned_abs())
        } else {
            now + Duration::from_secs(self.skew.unsigned_abs())
        };
        let stamp = timestamp(at).replace(['-', ':'], "");
        let mut headers = vec![
            ("content-type".to_owned(), self.content_type.clone()),
            ("host".to_owned(), "127.0.0.1:1".to_owned()),
            ("x-amz-date".to_owned(), stamp.clone()),
        ];
        let mut signed = self.signed_headers.clone();
        if let Some(Keys { token: Some(token), .. }) = &self.keys {
            headers.push(("x-amz-security-token".into(), token.clone()));
            signed.push("x-amz-security-token".into());
        }
        headers.extend(self.extra_headers.clone());
        if let Some(keys) = &self.keys {
            let lines: String = signed
                .iter()
                .map(|name| {
                    let value =
                        headers.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
                    format!("{name}:{}\n", value.unwrap_or_default().trim())
                })
                .collect();
            let canonical =
                format!("POST\n/\n\n{lines}\n{}\n{}", signed.join(";"), sha256(body.as_bytes()));
            let date = self.scope_date.clone().unwrap_or_else(|| stamp[..8].to_owned());
            let scope = format!("{date}/{}/{}/{}", self.region, self.service, self.terminator);
            let to_sign =
                format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
            let key = generate_signing_key(&keys.secret, at, &self.region, &self.service);
            let signature = calculate_signature(key, to_sign.as_bytes());
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
                keys.id,
                signed.join(";")
            );
            headers.push(("authorization".into(), self.authorization.clone().unwrap_or(value)));
        }
        let body = self.other_body.clone().unwrap_or(body);
        headers.push(("content-length".into(), body.len().to_string()));
        let headers: String = headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        format!("POST / HTTP/1.1\r\n{headers}connection: close\r\n\r\n{body}")
    }

    pub(crate) async fn send(&self, sandbox: &Sandbox) -> Reply {
        send_bytes(sandbox, &self.bytes(sandbox.now())).await
    }

    /// Sends it and expects a refusal.
    pub(crate) async fn refused(&self, sandbox: &Sandbox, status: u16, code: &str, message: &str) {
        let reply = self.send(sandbox).await;
        assert_eq!(
            (reply.status, reply.text("Code").as_str(), reply.text("Message").as_str()),
            (status, code, message),
            "{}",
            reply.body
        );
    }

    /// Sends it and expects credentials.
    pub(crate) async fn keys(&self, sandbox: &Sandbox) -> Keys {
        let reply = self.send(sandbox).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.keys()
    }
}

/// An answer, read without any XML library: the documents are flat and known.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The text of the first element `name`, unescaped; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let text = self.body.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        let text = text.map(|(text, _)| text).unwrap_or_default();
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        text.replace("&apos;", "'").replace("&#x27;", "'").replace("&amp;", "&")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys {
            id: self.text("AccessKeyId"),
            secret: self.text("SecretAccessKey"),
            token: Some(self.text("SessionToken")),
        }
    }
}

/// Sends `bytes` over a stream of their own, and reads until its end.
pub(crate) async fn send_bytes(sandbox: &Sandbox, bytes: &str) -> Reply {
    let answer = exchange(sandbox, bytes).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// What comes back for `bytes`, which may be nothing.
pub(crate) async fn exchange(sandbox: &Sandbox, bytes: &str) -> String {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let sandbox = sandbox.clone();
    let serving = tokio::spawn(async move { sandbox.serve_connection(server).await });
    client.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// An admin request; gives the status and the JSON.
pub(crate) async fn admin(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, serde_json::Value) {
    let length = body.len();
    let bytes = format!(
        "{method} /_sandbox/{path} HTTP/1.1\r\nhost: localhost:80\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let reply = send_bytes(sandbox, &bytes).await;
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
