//! Answers of a gateway (16.2.15, and the form of newer ones), and what is asked of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::model::{Dialect, Region};

/// A gateway that gives the answers of a script, and notes what it is asked.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let authorization = request.headers().get("authorization").unwrap();
        assert!(
            authorization.contains("Credential=ONE/") && authorization.contains("/s3/aws4_request")
        );
        assert!(request.headers().get("x-amz-content-sha256").is_some());
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(body),
        )))
    }
}

fn gateway<const N: usize>(answers: [(u16, &str); N]) -> (Ceph, Script) {
    let script = Script::default();
    let answers = answers.map(|(status, body)| (status, body.to_owned()));
    script.answers.lock().unwrap().extend(answers);
    let endpoint = StsEndpoint {
        dialect: Dialect::Ceph,
        url: Some("http://rgw.example:8080/".into()),
        region: Region::fallback(),
        fips: false,
        dual_stack: false,
        ca_bundle: None,
    };
    let key = LongTermKey {
        access_key_id: "ONE".to_owned(),
        secret_access_key: SecretString::from("secret-of-one"),
    };
    let signer = Signer::LongTerm(Arc::new(key));
    let connector = SharedHttpConnector::new(script.clone());
    (Ceph(Gateway::through(connector, endpoint, signer, Clock::system())), script)
}

#[tokio::test]
async fn the_keys_of_the_one_who_signs_are_listed_and_no_others() {
    let (ceph, script) = gateway([(200, USER)]);
    let keys = ceph.list().await.unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["ONE", "TWO"]);
    assert!(keys.iter().all(|key| key.created.is_none() && key.status.is_none()));
    assert_eq!(keys[0].user, "ten$keeper");
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked, ["GET http://rgw.example:8080/admin/user?format=json&access-key=ONE"]);
}

#[tokio::test]
async fn a_newer_gateway_tells_age_and_status_in_either_form_of_a_flag() {
    let body = r#"{"keys":[
        {"user":"me","access_key":"NEW","secret_key":"s","active":false,"create_date":"2026-02-01T00:00:00.123456Z"},
        {"user":"me","access_key":"ONE","secret_key":"s","active":"true","create_date":"2026-01-01T00:00:00.000000Z"},
        {"user":"me","access_key":"ANCIENT","secret_key":"s","active":true,"create_date":"1970-01-01T00:00:00.000000Z"}]}"#;
    let (ceph, _) = gateway([(200, body)]);
    let keys = ceph.list().await.unwrap();
    let told: Vec<_> =
        keys.iter().map(|key| (key.id.as_str(), key.created.is_some(), key.status)).collect();
    let (on, off) = (Some(KeyStatus::Active), Some(KeyStatus::Inactive));
    assert_eq!(told, [("ANCIENT", false, on), ("ONE", true, on), ("NEW", true, off)]);
}

#[tokio::test]
async fn a_key_is_named_here_and_gets_its_secret_there() {
    let made = r#"[{"user":"ten$keeper","access_key":"ONE","secret_key":"secret-of-one"},
        {"user":"ten$keeper","access_key":"NAMED","secret_key":"made-there"}]"#;
    let (ceph, script) = gateway([(200, USER), (200, made)]);
    let new = ceph.create(Some("NAMED")).await.unwrap();
    assert_eq!((new.key.access_key_id.as_str(), new.user.as_str()), ("NAMED", "ten$keeper"));
    assert_eq!(new.key.secret_access_key.expose_secret(), "made-there");
    assert_eq!(
        script.asked.lock().unwrap()[1],
        "PUT http://rgw.example:8080/admin/user?format=json&key=&key-type=s3&uid=ten%24keeper&access-key=NAMED&generate-key=true"
    );
}

#[tokio::test]
async fn no_key_that_is_there_gets_another_secret_by_being_made_again() {
    let (ceph, script) = gateway([(200, USER)]);
    assert_eq!(ceph.create(Some("TWO")).await.unwrap_err().code, "KeyExists");
    assert_eq!(script.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_may_be_there_without_an_answer_is_named() {
    let exists = r#"{"Code":"KeyExists"}"#;
    for (status, body, id, is_named) in
        [(500, "", None, true), (409, exists, None, false), (500, "", Some("NAMED"), false)]
    {
        let (ceph, script) = gateway([(200, USER), (status, body)]);
        let failure = ceph.create(id).await.unwrap_err();
        let asked = script.asked.lock().unwrap()[1].clone();
        let (_, rest) = asked.split_once("access-key=").unwrap();
        let (made, _) = rest.split_once('&').unwrap();
        let says = failure.message.contains(&format!("`credbroker keys list` shows {made}"));
        assert_eq!(says, is_named, "{failure}");
    }
}

#[tokio::test]
async fn a_subuser_has_keys_of_its_own() {
    let body = USER.replace(
        r#""ten$keeper:sub","access_key":"SUB""#,
        r#""ten$keeper:sub","access_key":"ONE""#,
    );
    let body = body.replacen(r#""access_key":"ONE""#, r#""access_key":"MAIN""#, 1);
    let made = r#"[{"user":"ten$keeper:sub","access_key":"NAMED","secret_key":"made-there"}]"#;
    let (ceph, script) = gateway([(200, &body), (200, made)]);
    ceph.create(Some("NAMED")).await.unwrap();
    let asked = script.asked.lock().unwrap()[1].clone();
    assert!(asked.contains("&uid=ten%24keeper&") && asked.contains("&subuser=sub&"), "{asked}");
}

#[tokio::test]
async fn no_key_of_somebody_else_is_deleted() {
    for id in ["SUB", "ELSEWHERE"] {
        let (ceph, script) = gateway([(200, USER)]);
        let failure = ceph.delete(id).await.unwrap_err();
        assert_eq!(failure.code, "NoSuchEntity", "{id}");
        assert_eq!(script.asked.lock().unwrap().len(), 1, "{id}");
    }
    let (ceph, script) = gateway([(200, USER), (200, "")]);
    ceph.delete("TWO").await.unwrap();
    let asked = script.asked.lock().unwrap()[1].clone();
    assert!(
        asked.starts_with("DELETE ") && asked.ends_with("&uid=ten%24keeper&access-key=TWO"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_key_is_turned_off_only_where_the_gateway_can() {
    let (ceph, script) = gateway([(200, USER)]);
    let failure = ceph.set_status("TWO", KeyStatus::Inactive).await.unwrap_err();
    assert_eq!(failure.code, "NotSupported");
    assert!(failure.message.contains("`credbroker keys delete`"), "{failure}");
    assert_eq!(script.asked.lock().unwrap().len(), 1);

    let user = r#"{"keys":[{"user":"me","access_key":"ONE","secret_key":"s","active":true}]}"#;
    for (answer, is_set) in [("false", true), ("true", false)] {
        let set =
            format!(r#"[{{"user":"me","access_key":"ONE","secret_key":"s","active":{answer}}}]"#);
        let (ceph, script) = gateway([(200, user), (200, &set)]);
        let outcome = ceph.set_status("ONE", KeyStatus::Inactive).await;
        assert_eq!(outcome.is_ok(), is_set, "{outcome:?}");
        let asked = script.asked.lock().unwrap()[1].clone();
        assert!(asked.ends_with("&access-key=ONE&generate-key=false&active=false"), "{asked}");
    }
}

#[tokio::test]
async fn a_denial_names_the_capability_or_the_key() {
    let (ceph, script) = gateway([(403, DENIED), (200, BUCKETS)]);
    let failure = ceph.list().await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Refused, "AccessDenied"));
    let command = r#"radosgw-admin caps add --uid='ten$keeper' --caps="users=*""#;
    assert!(failure.message.contains(command), "{failure}");
    assert_eq!(script.asked.lock().unwrap()[1], "GET http://rgw.example:8080/");

    let (ceph, _) = gateway([(403, DENIED), (403, "<Error><Code>AccessDenied</Code></Error>")]);
    let failure = ceph.list().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsettled);
    assert!(failure.message.contains("does not know the access key ONE"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_failure_without_a_secret() {
    for (status, body) in [
        (200, "<html>"),
        (200, r#"{"keys":[{"user":"me","access_key":"OTHER","secret_key":"hush"}]}"#),
        (404, "<Error><Code>NoSuchBucket</Code></Error>"),
        (403, r#"{"Code":"UserSuspended","Message":"","RequestId":"tx"}"#),
        (500, ""),
    ] {
        let (ceph, _) = gateway([(status, body)]);
        let failure = ceph.list().await.unwrap_err();
        assert!(!failure.message.contains("hush"), "{failure}");
        assert!(failure.message.contains("rgw.example"), "{failure}");
    }
}

#[test]
fn an_id_has_twenty_capital_letters_and_digits() {
    let (one, two) = (Ceph::random_id().unwrap(), Ceph::random_id().unwrap());
    assert_ne!(one, two);
    assert!(one.len() == 20 && one.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
}

/// What 16.2.15 says of a user with two keys and a subuser with one.
const USER: &str = r#"{"tenant":"ten","user_id":"keeper","display_name":"Keeper","email":"","suspended":0,"max_buckets":1000,
"subusers":[{"id":"ten$keeper:sub","permissions":"full-control"}],
"keys":[{"user":"ten$keeper","access_key":"ONE","secret_key":"secret-of-one"},
{"user":"ten$keeper:sub","access_key":"SUB","secret_key":"secret-of-sub"},
{"user":"ten$keeper","access_key":"TWO","secret_key":"secret-of-two"}],
"swift_keys":[{"user":"ten$keeper:sub","secret_key":"secret-of-swift"}],"caps":[{"type":"users","perm":"*"}],
"op_mask":"read, write, delete","system":"false","admin":"false","type":"rgw","mfa_ids":[]}"#;

const DENIED: &str = r#"{"Code":"AccessDenied","Message":"","RequestId":"tx00000d45232c4efc0e638-006b0789b1-1008-default","HostId":"1008-default-default"}"#;

const BUCKETS: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>ten$keeper</ID><DisplayName>Keeper</DisplayName></Owner><Buckets></Buckets></ListAllMyBucketsResult>"#;
