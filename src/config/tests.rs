//! What plans come out, and that nothing goes wrong with what comes in.

mod devices;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::model::{Base, Call, Dialect, SessionDuration, TokenSource};

fn surroundings() -> Surroundings {
    Surroundings {
        home: Some("/home/me".into()),
        env_has_keys: true,
        user: "jörg".into(),
        host: "laptop".into(),
        uid: 1000,
        ..Surroundings::default()
    }
}

fn load_text(text: &str) -> Config {
    let text = format!("[profile.key]\naccess_key = {{ env = true }}\n{text}");
    parse(&text, Path::new("/etc/credbroker/config.toml"), &surroundings())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn plan(text: &str, name: &str) -> Plan {
    let config = load_text(text);
    config.plans.into_iter().find(|plan| plan.profile.as_str() == name).unwrap()
}

fn role(name: &str, source: &str, rest: &str) -> String {
    format!(
        "[profile.{name}]\nsource_profile = \"{source}\"\n\
         role_arn = \"arn:aws:iam::123456789012:role/{name}\"\n{rest}\n"
    )
}

fn stations(plan: &Plan) -> Vec<(&str, Option<&str>, &str)> {
    plan.hops()
        .map(|hop| {
            let role = hop.call.role_arn().unwrap().role_name();
            (role, hop.sts.url.as_deref(), hop.sts.region.as_str())
        })
        .collect()
}

#[test]
fn one_role_with_nothing_said_has_every_default() {
    let config = load_text(&role("reader", "key", ""));
    let [plan] = config.plans.as_slice() else { panic!("{:?}", config.plans) };
    assert_eq!(plan.base, Base::Key(KeySource::Environment));
    assert_eq!(stations(plan), [("reader", None, "us-east-1")]);
    let request = plan.last.call.request().unwrap();
    assert_eq!(request.session_name.as_str(), "j-rg-laptop");
    assert_eq!(request.duration, None);
    assert!(!plan.eager);
    assert_eq!(plan.client.region.as_ref().unwrap().as_str(), "us-east-1");
    let [endpoint] = config.endpoints.as_slice() else { panic!("{:?}", config.endpoints) };
    assert_eq!(endpoint.listen, Listen::FreePort);
    assert_eq!(endpoint.kind, EndpointKind::Container);
    assert_eq!(config.daemon.state_dir, PathBuf::from("/home/me/.local/state/credbroker"));
    let sources: Vec<&str> = config.sources.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sources, ["key"]);
}

#[test]
fn a_chain_is_walked_from_its_key_and_each_hop_has_its_own_parameters() {
    let text = role("c", "b", "external_id = \"of-c\"")
        + &role("a", "key", "duration_seconds = 7200")
        + &role("b", "a", "duration_seconds = 1800");
    let plan = plan(&text, "c");
    let names: Vec<&str> = stations(&plan).iter().map(|station| station.0).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let seconds: Vec<Option<u32>> = plan
        .hops()
        .map(|hop| hop.call.request().unwrap().duration.map(SessionDuration::as_secs))
        .collect();
    assert_eq!(seconds, [Some(7200), Some(1800), None]);
    let ids: Vec<bool> =
        plan.hops().map(|hop| hop.call.request().unwrap().external_id.is_some()).collect();
    assert_eq!(ids, [false, false, true]);
}

#[test]
fn sts_is_called_where_the_profile_that_is_asked_for_says() {
    let text = role("a", "key", "") + &role("b", "a", "region = \"eu-west-1\"");
    let leaf = plan(&text, "b");
    assert_eq!(stations(&leaf), [("a", None, "eu-west-1"), ("b", None, "eu-west-1")]);
    assert_eq!(stations(&plan(&text, "a")), [("a", None, "us-east-1")]);
}

#[test]
fn an_arn_of_minio_is_for_minio() {
    let role = |lines: &str| {
        format!(
            "[profile.bucket]\nsource_profile = \"key\"\n\
             role_arn = \"arn:minio:iam:::role/bucket\"\n{lines}\n"
        )
    };
    let url = "endpoint_url = \"http://[::1]:9000\"";
    assert_eq!(plan(&role(url), "bucket").last.sts.dialect, Dialect::Minio);
    let stated = format!("{url}\nsts = \"generic\"");
    assert_eq!(plan(&role(&stated), "bucket").last.sts.dialect, Dialect::Generic);
}

#[test]
fn a_ceph_gateway_is_sent_no_arn_that_could_end_it() {
    let bucket = |length: usize| "x".repeat(length - "arn:aws:s3:::".len());
    let policy = |length| {
        format!(
            "endpoint_url = \"http://[::1]:1\"\nsts = \"ceph\"\n\
             policy = {{ Version = \"2012-10-17\", Statement = [{{ Effect = \"Allow\", \
             Action = \"s3:*\", Resource = \"arn:aws:s3:::{}\" }}] }}",
            bucket(length)
        )
    };
    plan(&role("bucket", "key", &policy(1200)), "bucket");
    let text = role("bucket", "key", &policy(1201));
    let text = format!("[profile.key]\naccess_key = {{ env = true }}\n{text}");
    let faults = parse(&text, Path::new("/etc/credbroker/config.toml"), &surroundings());
    assert!(faults.unwrap_err().to_string().contains("can end a Ceph gateway"));
}

#[test]
fn a_source_that_states_a_region_or_an_endpoint_keeps_it() {
    let text = role("a", "key", "region = \"eu-central-1\"\nendpoint_url = \"http://[::1]:1\"")
        + &role("b", "a", "region = \"eu-west-1\"");
    let plan = plan(&text, "b");
    assert_eq!(
        stations(&plan),
        [("a", Some("http://[::1]:1"), "eu-central-1"), ("b", None, "eu-west-1")]
    );
    assert_eq!(plan.through[0].sts.dialect, Dialect::Generic);
    assert_eq!(plan.last.sts.dialect, Dialect::Aws);
}

#[test]
fn profiles_behind_one_role_share_its_lease() {
    let text = role("a", "key", "") + &role("b", "a", "") + &role("c", "a", "");
    let config = load_text(&text);
    let parents: Vec<_> = config.plans.iter().map(|plan| plan.lease_key().parent()).collect();
    assert_eq!(parents[0], None);
    assert_eq!(parents[1], Some(config.plans[0].lease_key()));
    assert_eq!(parents[1], parents[2]);
}

#[test]
fn a_key_may_stand_beside_the_role() {
    let text = "[profile.both]\naccess_key = { aws_profile = \"x\" }\n\
                role_arn = \"arn:aws-cn:iam::123456789012:role/both\"\n";
    let plan = plan(text, "both");
    let Base::Key(KeySource::AwsProfile { credentials_file, .. }) = &plan.base else {
        panic!("{:?}", plan.base)
    };
    assert_eq!(credentials_file, Path::new("/home/me/.aws/credentials"));
    assert_eq!(stations(&plan), [("both", None, "cn-northwest-1")]);
}

#[test]
fn a_web_identity_starts_a_chain_without_a_key() {
    let text = "[profile.token]\nweb_identity_token_file = \"token\"\n\
                role_arn = \"arn:aws:iam::123456789012:role/token\"\nduration_seconds = 43200\n"
        .to_owned()
        + &role("next", "token", "");
    let plan = plan(&text, "next");
    assert_eq!(plan.base, Base::Anonymous);
    let Call::AssumeRoleWithWebIdentity { token, .. } = &plan.through[0].call else {
        panic!("{:?}", plan.through)
    };
    assert_eq!(*token, TokenSource::File("/etc/credbroker/token".into()));
    assert!(matches!(plan.last.call, Call::AssumeRole { .. }));
}

#[test]
fn another_system_is_told_by_its_address() {
    let url = "endpoint_url = \"https://rgw.example/\"\nregion = \"\"\n\
               services = { sts = { endpoint_url = \"https://sts.example\" } }";
    let plan = plan(&role("bucket", "key", url), "bucket");
    assert_eq!(stations(&plan), [("bucket", Some("https://sts.example"), "us-east-1")]);
    assert_eq!(plan.last.sts.dialect, Dialect::Generic);
    assert_eq!(plan.client.region, None);
    assert_eq!(plan.client.endpoint_url.as_deref(), Some("https://rgw.example"));
    assert_eq!(plan.client.sts_endpoint_url.as_deref(), Some("https://sts.example"));
}

#[test]
fn an_address_of_aws_gives_the_region_to_sign_for_and_clients_keep_theirs() {
    let url = "region = \"eu-west-1\"\n\
               services = { sts = { endpoint_url = \"https://sts.amazonaws.com\" } }";
    let plan = plan(&role("reader", "key", url), "reader");
    assert_eq!(plan.last.sts.region.as_str(), "us-east-1");
    assert_eq!(plan.last.sts.dialect, Dialect::Aws);
    assert_eq!(plan.client.region.as_ref().unwrap().as_str(), "eu-west-1");
}

#[test]
fn profiles_of_a_metadata_endpoint_are_eager_unless_they_say_otherwise() {
    let text = role("a", "key", "")
        + &role("b", "key", "eager = false")
        + &role("c", "key", "eager = true")
        + &role("d", "key", "")
        + "[[endpoint]]\nkind = \"container\"\n\
           [[endpoint]]\nkind = \"imds\"\nsocket = \"imds\"\nprofiles = [\"a\", \"b\"]\n";
    let config = load_text(&text);
    let eager: Vec<bool> = config.plans.iter().map(|plan| plan.eager).collect();
    assert_eq!(eager, [true, false, true, false]);
}

#[test]
fn a_policy_may_be_a_toml_table() {
    let policy = "policy = { Version = \"2012-10-17\", Statement = [{ Effect = \"Allow\", Action = [\"s3:Get*\"] }] }";
    let plan = plan(&role("reader", "key", policy), "reader");
    let policy = plan.last.call.request().unwrap().policy.as_ref().unwrap().as_str();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(policy).unwrap(),
        serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": ["s3:Get*"] }],
        })
    );
}

#[test]
fn a_missing_file_is_one_clear_fault() {
    let faults = load(Path::new("/nonexistent/config.toml"), &surroundings()).unwrap_err();
    let text = faults.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: /nonexistent/config.toml does not exist"), "{text}");
    assert!(text.contains("credbroker demo"), "{text}");
}

#[test]
fn a_file_that_may_not_be_read_is_told_from_one_that_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let text = load(directory.path(), &surroundings()).unwrap_err().to_string();
    assert!(text.ends_with("is not a regular file; name the right file with --config"), "{text}");
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let path = directory.path().join("config.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let text = load(&path, &surroundings()).unwrap_err().to_string();
    assert!(text.contains("Permission denied; let this user read it"), "{text}");
}

#[test]
fn each_fault_is_one_line_for_a_log() {
    let text = "[profile.a]\nquux = 2\n  rol = 1\nduration_seconds = 1\n";
    let faults = parse(text, Path::new("/c.toml"), &surroundings()).unwrap_err();
    let lines: Vec<String> = faults.lines().collect();
    assert_eq!(lines.len(), faults.len());
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.starts_with("/c.toml:3:3: unknown key `rol`; ")),
        "{lines:?}"
    );
    let missing = load(Path::new("/nonexistent"), &surroundings()).unwrap_err();
    assert!(missing.lines().eq([missing.to_string().replace("error: ", "")]));
}

/// Words that a configuration is made of, and a secret among them.
fn words() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "[profile.a]\n",
        "[[endpoint]]\n",
        "[daemon]\n",
        "role_arn",
        "source_profile",
        "access_key",
        "policy",
        "tags",
        "profiles",
        "services",
        "sts",
        "file",
        "command",
        "web_identity_token",
        "duration_seconds",
        "external_id",
        "secret_access_key",
        "idle",
        "kind",
        "\"a\"",
        "\"imds\"",
        "\"arn:aws:iam::1:role/x\"",
        "1",
        "true",
        " = ",
        " = ",
        " = ",
        "\n",
        "\n",
        "{ ",
        " }",
        "[",
        "]",
        ", ",
        ".",
        "\"",
        "'",
        "\"\"\"",
        "#",
        "\u{1b}",
        "ä",
    ]);
    let secret = Just(format!("\"{SECRET}\""));
    let word = prop_oneof![9 => known.prop_map(str::to_owned), 1 => secret];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_without_a_panic_and_without_a_secret(text in words()) {
        if let Err(faults) = parse(&text, Path::new("/nonexistent/config.toml"), &surroundings()) {
            prop_assert!(!faults.is_empty());
            for shown in [faults.render(false), faults.render(true), format!("{faults:?}")] {
                prop_assert!(!shown.contains(SECRET), "{}\n{}", text, shown);
            }
            let moves = |c: char| c.is_control() && c != '\n';
            prop_assert!(!faults.to_string().contains(moves), "{}\n{}", text, faults);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(!load(&path, &surroundings()).unwrap_err().to_string().is_empty());
    }

    #[test]
    fn a_plain_secret_under_any_key_is_not_shown(
        key in "(secret_access_key|password|token|external_id|aws_session_token|[a-z]{3,8})",
        secret in "[a-z]{4}-[a-z]{4}-[0-9]{4}",
        rest in "[\"'=\\[\\]{}, a-z]{0,6}",
    ) {
        let text = format!("[profile.a]\n{key} = \"{secret}\"{rest}\nrole_arn = \"arn\"\n");
        let faults = parse(&text, Path::new("/config.toml"), &surroundings()).unwrap_err();
        prop_assert!(!faults.to_string().contains(&secret), "{}\n{}", text, faults);
    }
}

#[test]
fn every_file_that_is_named_is_told_though_the_configuration_is_not_good() {
    let directory = tempfile::tempdir().unwrap();
    let arn = "role_arn = \"arn:aws:iam::123456789012:role/R\"\n";
    let text = format!(
        "[profile.base]\naccess_key = {{ file = \"keys/base.json\" }}\n\
         [profile.web]\nweb_identity_token = {{ file = \"token\" }}\n{arn}\
         [profile.scoped]\nsource_profile = \"base\"\npolicy = {{ file = \"/absent/policy\" }}\n{arn}\
         [profile.bucket]\nsource_profile = \"base\"\nca_bundle = \"ca.pem\"\n{arn}\
         [profile.wrong]\nrole_arn = 3\n\
         [daemon]\naws_profiles = true\n"
    );
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let reading = read(Some(&path), &surroundings());
    assert!(reading.outcome.is_err());
    let expected = [
        path,
        directory.path().join("keys/base.json"),
        directory.path().join("token"),
        "/absent/policy".into(),
        directory.path().join("ca.pem"),
        "/home/me/.aws/config".into(),
        "/home/me/.aws/credentials".into(),
    ];
    assert_eq!(reading.files, expected.into());
}

#[test]
fn a_configuration_that_is_not_there_yet_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let nobody = Surroundings { home: Some(home.path().to_owned()), uid: 1000, ..surroundings() };
    let reading = read(None, &nobody);
    assert!(reading.outcome.is_err());
    let at_home = |name: &str| home.path().join(name);
    let expected =
        [".config/credbroker/config.toml", ".aws/config", ".aws/credentials"].map(at_home);
    assert_eq!(reading.files, expected.into());
}
