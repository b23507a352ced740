//! AWS's own test vectors, verified as a server does.

use std::fs;
use std::path::Path;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::model::parse_timestamp;

struct Vector {
    name: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
    canonical: String,
}

impl Vector {
    fn received(&self) -> Received<'_> {
        Received { method: &self.method, uri: &self.uri, headers: &self.headers, body: &self.body }
    }
}

fn vectors() -> Vec<Vector> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/sigv4");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).map(|path| read(&path)).collect()
}

fn read(path: &Path) -> Vector {
    let text = fs::read_to_string(path.join("signed-request.txt")).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let start: Vec<_> = lines.next().unwrap().split(' ').collect();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::try_from(name).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    Vector {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        method: start[0].parse().unwrap(),
        uri: start[1].parse().unwrap(),
        headers,
        body: body.as_bytes().to_vec(),
        canonical: fs::read_to_string(path.join("canonical-request.txt")).unwrap(),
    }
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const RULES: Rules<'_> = Rules { service: "service", regions: &[], skew: Duration::from_mins(5) };

fn now() -> SystemTime {
    parse_timestamp("2015-08-30T12:36:00Z").unwrap()
}

#[test]
fn every_vector_of_aws_is_accepted_and_has_its_canonical_form() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 20);
    for vector in vectors {
        let received = vector.received();
        let authorization = Authorization::read(received).unwrap();
        assert_eq!(authorization.access_key_id, "AKIDEXAMPLE");
        let canonical = received.canonical(&authorization.signed_headers);
        assert_eq!(canonical, vector.canonical, "{}", vector.name);
        let at = authorization.check_scope(received, RULES, now()).unwrap();
        let checked = authorization.check_signature(received, SECRET, at);
        assert_eq!(checked, Ok(()), "{}", vector.name);
    }
}

#[test]
fn a_vector_is_refused_when_anything_that_was_signed_changes() {
    for mut vector in vectors() {
        let name = vector.name.clone();
        let check = |vector: &Vector, secret: &str| {
            let received = vector.received();
            let authorization = Authorization::read(received).unwrap();
            authorization.check_signature(received, secret, now()).map_err(|refusal| refusal.code)
        };
        assert_eq!(check(&vector, "other"), Err("SignatureDoesNotMatch"), "{name}");
        vector.body.push(b' ');
        assert_eq!(check(&vector, SECRET), Err("SignatureDoesNotMatch"), "{name}");
        vector.body.pop();
        let host = vector.headers.insert("host", HeaderValue::from_static("other"));
        assert_eq!(check(&vector, SECRET), Err("SignatureDoesNotMatch"), "{name}");
        vector.headers.insert("host", host.unwrap());
        assert_eq!(check(&vector, SECRET), Ok(()), "{name}");
        vector.method = Method::PUT;
        assert_eq!(check(&vector, SECRET), Err("SignatureDoesNotMatch"), "{name}");
    }
}

#[test]
fn a_truncated_signature_is_refused() {
    let mut vector = vectors().remove(0);
    let value = vector.headers["authorization"].to_str().unwrap().to_owned();
    let shorter = HeaderValue::from_str(&value[..value.len() - 1]).unwrap();
    vector.headers.insert("authorization", shorter);
    let authorization = Authorization::read(vector.received()).unwrap();
    assert!(authorization.check_signature(vector.received(), SECRET, now()).is_err());
}

#[test]
fn a_date_that_is_none_is_refused() {
    let mut vector = vectors().remove(0);
    for (stamp, code) in [
        ("2015-08-30T12:36:00Z", "IncompleteSignature"),
        ("yesterday", "IncompleteSignature"),
        ("20150830T123600Z", "none"),
    ] {
        vector.headers.insert("x-amz-date", HeaderValue::from_static(stamp));
        let authorization = Authorization::read(vector.received()).unwrap();
        let checked = authorization.check_scope(vector.received(), RULES, now());
        assert_eq!(checked.err().map_or("none", |refusal| refusal.code), code, "{stamp}");
    }
}

proptest! {
    #[test]
    fn any_header_is_refused_in_good_order(
        rest in r"[ -~]{0,200}",
        credential in r"[ -~]{0,40}(/[ -~]{0,10}){3,5}",
        stamp in r"[ -~]{0,20}|20150830T[0-9]{6}Z",
    ) {
        for header in [
            rest.clone(),
            format!("AWS4-HMAC-SHA256 {rest}"),
            format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={rest},Signature=0"),
        ] {
            let mut vector = Vector { headers: HeaderMap::new(), ..vectors().remove(0) };
            vector.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
            vector.headers.insert("x-amz-date", HeaderValue::from_str(&stamp).unwrap());
            let received = vector.received();
            let verdict = Authorization::read(received).and_then(|authorization| {
                let at = authorization.check_scope(received, RULES, now())?;
                authorization.check_signature(received, SECRET, at)
            });
            let status = verdict.unwrap_err().status.as_u16();
            prop_assert!(status == 400 || status == 403);
        }
    }
}
