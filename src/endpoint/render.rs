//! Documents with secrets in them, written by hand into memory that is wiped.
//!
//! A serializer grows its buffer as it goes and leaves the smaller copies behind; here the length is counted first,
//! so a document is written once and lies in one place.

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::broker::Held;
use crate::model::timestamp;

/// A member's value.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Flag(bool),
    Number(u32),
    Text(&'a str),
}

/// The document of an IMDS endpoint: exactly the seven members of the EC2 user guide, "Retrieve security
/// credentials from instance metadata".
///
/// s3fs counts the words `AccessKeyId`, `SecretAccessKey`, `Token`, `Expiration` and `RoleArn` in it and wants four
/// (contract A.3), so nothing is added.
pub(super) fn imds(held: &Held) -> Zeroizing<Vec<u8>> {
    let credentials = held.credentials();
    object(&[
        ("Code", Value::Text("Success")),
        ("LastUpdated", Value::Text(&timestamp(credentials.validity.issued()))),
        ("Type", Value::Text("AWS-HMAC")),
        ("AccessKeyId", Value::Text(&credentials.access_key_id)),
        ("SecretAccessKey", Value::Text(credentials.secret_access_key.expose_secret())),
        ("Token", Value::Text(credentials.session_token.expose_secret())),
        ("Expiration", Value::Text(&timestamp(credentials.validity.expires()))),
    ])
}

/// The answer of the container endpoint (ECS developer guide, "Task IAM role").
///
/// `Code` is for builds of .NET that insist on it, `RoleArn` for s3fs, `AccountId` for SDKs that route by account
/// (contract B.2).
pub(super) fn container(held: &Held) -> Zeroizing<Vec<u8>> {
    let credentials = held.credentials();
    let expiration = timestamp(credentials.validity.expires());
    let mut members = vec![("Code", Value::Text("Success"))];
    members.extend(held.role_arn().map(|arn| ("RoleArn", Value::Text(arn.as_str()))));
    members.extend([
        ("AccessKeyId", Value::Text(&credentials.access_key_id)),
        ("SecretAccessKey", Value::Text(credentials.secret_access_key.expose_secret())),
        ("Token", Value::Text(credentials.session_token.expose_secret())),
        ("Expiration", Value::Text(&expiration)),
    ]);
    members.extend(account(held));
    object(&members)
}

/// The output of `credential_process` (AWS SDKs and Tools Reference Guide, "Process credential provider").
pub(super) fn process(held: &Held) -> Zeroizing<Vec<u8>> {
    let credentials = held.credentials();
    let expiration = timestamp(credentials.validity.expires());
    let mut members = vec![
        ("Version", Value::Number(1)),
        ("AccessKeyId", Value::Text(&credentials.access_key_id)),
        ("SecretAccessKey", Value::Text(credentials.secret_access_key.expose_secret())),
        ("SessionToken", Value::Text(credentials.session_token.expose_secret())),
        ("Expiration", Value::Text(&expiration)),
    ];
    members.extend(account(held));
    object(&members)
}

/// A JSON object of `members`, in order, without a line break.
pub(super) fn object(members: &[(&str, Value<'_>)]) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    write_object(&mut length, members);
    let mut document = Zeroizing::new(Vec::with_capacity(length.0));
    write_object(&mut *document, members);
    document
}

fn account(held: &Held) -> Option<(&'static str, Value<'_>)> {
    held.credentials().account_id.as_ref().map(|id| ("AccountId", Value::Text(id.as_str())))
}

/// What a document is written into.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what is put in.
struct Length(usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

fn write_object(sink: &mut impl Sink, members: &[(&str, Value<'_>)]) {
    let mut before: &[u8] = b"{";
    for (name, value) in members {
        sink.put(before);
        before = b",";
        write_text(sink, name);
        sink.put(b":");
        match value {
            Value::Flag(flag) => sink.put(if *flag { b"true" } else { b"false" }),
            Value::Number(number) => sink.put(number.to_string().as_bytes()),
            Value::Text(text) => write_text(sink, text),
        }
    }
    if members.is_empty() {
        sink.put(before);
    }
    sink.put(b"}");
}

/// Escapes only what must be (RFC 8259, section 7): Rust compares `Code` as it is written.
fn write_text(sink: &mut impl Sink, text: &str) {
    sink.put(b"\"");
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0..=0x1f => "",
            _ => continue,
        };
        sink.put(text.as_bytes().get(plain..at).unwrap_or_default());
        plain = at + 1;
        if escape.is_empty() {
            sink.put(format!("\\u{byte:04x}").as_bytes());
        } else {
            sink.put(escape.as_bytes());
        }
    }
    sink.put(text.as_bytes().get(plain..).unwrap_or_default());
    sink.put(b"\"");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_stand_in_order_and_unadorned() {
        let document = object(&[
            ("Version", Value::Number(1)),
            ("fips", Value::Flag(false)),
            ("Token", Value::Text("a/b+c==")),
        ]);
        assert_eq!(document.as_slice(), br#"{"Version":1,"fips":false,"Token":"a/b+c=="}"#);
        assert_eq!(object(&[]).as_slice(), b"{}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_nothing_was_moved(text: String) {
            let document = object(&[("Token", Value::Text(&text))]);
            let read: serde_json::Value = serde_json::from_slice(&document).unwrap();
            prop_assert_eq!(read["Token"].as_str(), Some(text.as_str()));
            prop_assert_eq!(document.len(), document.capacity());
        }
    }
}
