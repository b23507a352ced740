//! `credbroker whoami`, against an STS that knows the question and ones that do not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::fake_daemon::{FakeDaemon, assert_tells_no_secret, credentials};

#[test]
fn the_sts_is_asked_with_the_profiles_credentials() {
    let xml = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/R/me</Arn><UserId>AROA:me</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#;
    let (output, request) = whoami("generic", 200, xml);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", String::from_utf8_lossy(&output.stderr));
    let expected = "\
identity    arn:aws:sts::123456789012:assumed-role/R/me
account     123456789012
user id     AROA:me
role        arn:aws:iam::123456789012:role/R
key         ASIAEXAMPLE
expires     in 59 min (";
    assert!(text.starts_with(expected), "{text}");
    assert_tells_no_secret(text.as_bytes());
    assert!(request.contains("Credential=ASIAEXAMPLE/"), "{request}");
    assert!(request.contains("x-amz-security-token: topSessionToken"), "{request}");
    assert!(request.ends_with("Action=GetCallerIdentity&Version=2011-06-15"), "{request}");
}

#[test]
fn an_sts_without_the_question_is_no_failure() {
    let xml = "<Error><Code>MethodNotAllowed</Code><RequestId>r</RequestId></Error>";
    let (output, _) = whoami("ceph", 405, xml);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("identity    not known: this STS cannot be asked"), "{text}");
    assert!(text.contains("\nrole        arn:aws:iam::123456789012:role/R\n"), "{text}");
}

#[test]
fn a_refusal_is_told_in_one_line() {
    let xml = r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid</Message></Error></ErrorResponse>"#;
    let (output, _) = whoami("aws", 403, xml);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(81), 0), "{said}");
    assert!(said.contains("InvalidClientTokenId"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_tells_no_secret(said.as_bytes());
}

/// Runs the command for a profile of an STS that gives this one answer; what it was asked.
fn whoami(dialect: &str, status: u16, answer: &'static str) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sts: JoinHandle<String> =
        std::thread::spawn(move || answer_once(&listener, status, answer));
    let client =
        format!(r#"{{"sts_endpoint_url":"{url}","sts_region":"us-east-1","sts":"{dialect}"}}"#);
    let daemon = FakeDaemon::new(move |request| {
        let profile = r#"{"profile":"reader","role_arn":"arn:aws:iam::123456789012:role/R","state":"held","issuances":1}"#;
        let body = match request.rsplit('/').next() {
            Some("client") => client.clone(),
            Some("credentials") => credentials(Duration::from_hours(1)),
            _ => profile.to_owned(),
        };
        (200, body)
    });
    let output = daemon.command(&["whoami", "reader"]).output().unwrap();
    (output, sts.join().unwrap())
}

fn answer_once(listener: &TcpListener, status: u16, answer: &str) -> String {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    let mut length = 0;
    while !request.ends_with("\r\n\r\n") {
        let start = request.len();
        reader.read_line(&mut request).unwrap();
        if let Some(value) = request[start..].to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    (&stream).write_all((head + answer).as_bytes()).unwrap();
    request + &String::from_utf8(body).unwrap()
}
