//! What the policies of each kind of plan say, word for word.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::config::{Surroundings, parse};

fn found(text: &str, name: &str, claims: &Claims) -> Policies {
    let surroundings = Surroundings {
        home: Some("/home/me".into()),
        env_has_keys: true,
        host: "laptop".into(),
        uid: 1000,
        user: "me".into(),
        ..Surroundings::default()
    };
    let text = format!("[profile.key]\naccess_key = {{ env = true }}\n{text}");
    let config = parse(&text, Path::new("/etc/credbroker/config.toml"), &surroundings)
        .unwrap_or_else(|faults| panic!("{faults}"));
    let plan = config.plans.iter().find(|plan| plan.profile.as_str() == name).unwrap();
    policies(plan, claims)
}

fn role(name: &str, source: &str, rest: &str) -> String {
    format!(
        "[profile.{name}]\nsource_profile = \"{source}\"\n\
         role_arn = \"arn:aws:iam::123456789012:role/{name}\"\n{rest}\n"
    )
}

fn documents(found: &Policies, purpose: Purpose) -> Vec<&Value> {
    let fitting = found.policies.iter().filter(|policy| policy.purpose == purpose);
    fitting.map(|policy| &policy.document["Statement"]).collect()
}

#[test]
fn a_role_trusts_the_user_whose_name_is_left_to_be_filled_in() {
    let found =
        found(&role("Reader", "key", "external_id = \"pact\""), "Reader", &Claims::default());
    let trust = json!([{
        "Action": "sts:AssumeRole",
        "Condition": { "StringEquals": { "sts:ExternalId": "pact" } },
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::<ACCOUNT_ID>:user/<USER_NAME>" },
    }]);
    assert_eq!(documents(&found, Purpose::Trust), [&trust]);
    let calls = json!([{
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Resource": "arn:aws:iam::123456789012:role/Reader",
    }]);
    assert_eq!(documents(&found, Purpose::Calls), [&calls]);
    let keys = documents(&found, Purpose::Keys)[0][0].clone();
    assert_eq!(keys["Resource"], "arn:aws:iam::*:user/${aws:username}");
    assert_eq!(keys["Condition"], Value::Null);
}

#[test]
fn a_device_is_a_condition_of_the_first_role_alone_and_of_the_keys() {
    let mfa = "[mfa.phone]\nserial = \"arn:aws:iam::999999999999:mfa/phone\"\ncode = \"prompt\"\n\
        [profile.mine]\naccess_key = { env = true }\nmfa = \"phone\"\n";
    let text = mfa.to_owned() + &role("A", "mine", "") + &role("B", "A", "");
    let found = found(&text, "B", &Claims::default());
    let trust = documents(&found, Purpose::Trust);
    assert_eq!(trust[0][0]["Condition"], json!({ "Bool": mfa_present() }));
    assert_eq!(trust[0][0]["Principal"]["AWS"], "arn:aws:iam::999999999999:user/<USER_NAME>");
    assert_eq!(trust[1][0]["Condition"], Value::Null);
    assert_eq!(trust[1][0]["Principal"]["AWS"], "arn:aws:iam::123456789012:role/A");
    let keys = documents(&found, Purpose::Keys)[0];
    assert_eq!(keys[0]["Condition"], json!({ "Bool": mfa_present() }));
    assert_eq!(keys[0]["Resource"], "arn:aws:iam::999999999999:user/${aws:username}");
    let devices = documents(&found, Purpose::Mfa)[0];
    assert_eq!(devices[0]["Resource"], "arn:aws:iam::999999999999:mfa/*");
    assert_eq!(devices[0]["Condition"], Value::Null, "who enrols has no code yet");
}

#[test]
fn what_sticks_to_a_session_must_be_allowed_by_every_later_role() {
    let first = "source_identity = \"me\"\ntags = { team = \"infra\" }";
    let text = role("A", "key", first) + &role("B", "A", "");
    let found = found(&text, "B", &Claims::default());
    let trust = documents(&found, Purpose::Trust);
    assert_eq!(trust[0][1]["Action"], json!(["sts:TagSession", "sts:SetSourceIdentity"]));
    assert_eq!(trust[1][1]["Action"], json!(["sts:SetSourceIdentity"]));
    let calls = documents(&found, Purpose::Calls);
    assert_eq!(calls[1][0]["Action"], json!(["sts:AssumeRole", "sts:SetSourceIdentity"]));
}

#[test]
fn a_web_identity_names_its_provider_by_the_issuer() {
    let text = "[profile.job]\nweb_identity_token = { file = \"/etc/hostname\" }\n\
        role_arn = \"arn:aws-cn:iam::123456789012:role/Job\"\nregion = \"cn-north-1\"\n";
    let claims = Claims {
        audience: Some("sts".to_owned()),
        issuer: Some("https://id.example/realms/a".to_owned()),
        subject: None,
    };
    let found = found(text, "job", &claims);
    let trust = json!([{
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": {
            "id.example/realms/a:aud": "sts",
            "id.example/realms/a:sub": "<SUBJECT>",
        } },
        "Effect": "Allow",
        "Principal": {
            "Federated": "arn:aws-cn:iam::123456789012:oidc-provider/id.example/realms/a",
        },
    }]);
    assert_eq!(documents(&found, Purpose::Trust), [&trust]);
    assert_eq!(found.policies.len(), 1);
}

#[test]
fn ceph_takes_the_word_of_the_trust_policy_about_a_user_without_an_account() {
    let text = "[profile.bucket]\nsource_profile = \"key\"\nsts = \"ceph\"\n\
        endpoint_url = \"https://rgw.example\"\nrole_arn = \"arn:aws:iam:::role/S3Access\"\n";
    let found = found(text, "bucket", &Claims::default());
    let [only] = &found.policies[..] else { panic!("{found}") };
    assert_eq!(only.purpose, Purpose::Trust);
    let principal = &only.document["Statement"][0]["Principal"]["AWS"];
    assert_eq!(principal, "arn:aws:iam:::user/<USER_NAME>");
    let [note] = &found.notes[..] else { panic!("{found}") };
    assert!(note.contains("radosgw-admin caps add --uid=<USER_NAME> --caps=\"users=*\""), "{note}");
}

#[test]
fn minio_has_no_trust_policies() {
    let text = "[profile.bucket]\nsource_profile = \"key\"\nsts = \"minio\"\n\
        endpoint_url = \"https://minio.example\"\nrole_arn = \"arn:aws:iam:::role/any\"\n";
    let found = found(text, "bucket", &Claims::default());
    assert_eq!(found.policies, []);
    assert!(found.to_string().starts_with("# a role of MinIO has no trust policy"), "{found}");
}

#[test]
fn each_document_stands_under_a_line_that_says_where_it_belongs() {
    let text = found(&role("Reader", "key", ""), "Reader", &Claims::default()).to_string();
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings[1], "# trust policy of arn:aws:iam::123456789012:role/Reader");
    assert_eq!(headings.len(), 4);
    for block in text.split("\n\n") {
        let (_, document) = block.split_once('\n').unwrap();
        assert!(serde_json::from_str::<Value>(document).unwrap().is_object());
    }
}
