//! `credbroker env`, evaluated by real shells.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fake_daemon::{FakeDaemon, path};

const CLIENT: &str = r#""region":"eu-west-1","ca_bundle":"/it's a\\b $(x)/ca.pem","sts_region":"eu-west-1","sts":"aws""#;

const EXPECTED: [&str; 9] = [
    r"AWS_CA_BUNDLE=/it's a\b $(x)/ca.pem",
    "AWS_CONFIG_FILE=/dev/null",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN=topTicket1",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/v1/credentials",
    "AWS_CREDENTIAL_PROFILES_FILE=/dev/null",
    "AWS_DEFAULT_REGION=eu-west-1",
    "AWS_EC2_METADATA_DISABLED=true",
    "AWS_REGION=eu-west-1",
    "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
];

#[test]
fn every_shell_at_hand_ends_up_with_the_same_environment() {
    let mut tried = Vec::new();
    for shell in ["sh", "bash", "zsh", "fish"] {
        let script = match shell {
            "fish" => "$CREDBROKER env reader --shell fish | source; env".to_owned(),
            _ => format!("eval \"$($CREDBROKER env reader --shell {shell})\"; env"),
        };
        if let Some(after) = evaluated(shell, &script, "") {
            assert_eq!(after, EXPECTED, "{shell}");
            tried.push(shell);
        }
    }
    assert!(tried.contains(&"sh"), "{tried:?}");
}

#[test]
fn the_login_shells_syntax_is_the_default() {
    let after = evaluated("sh", "eval \"$($CREDBROKER env reader)\"; env", "/bin/dash").unwrap();
    assert_eq!(after, EXPECTED);
    let fish = "$CREDBROKER env reader | grep -c '^set -gx AWS_REGION '; true";
    assert_eq!(output_of("sh", fish, "/usr/bin/fish").unwrap().trim(), "1");
}

#[test]
fn a_shell_that_is_not_known_is_a_usage_error() {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    let output = daemon.command(&["env", "reader"]).env("SHELL", "/bin/tcsh").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
    assert!(daemon.asked().is_empty());
}

#[test]
fn the_tickets_life_can_be_chosen_up_to_twelve_hours() {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    for (ttl, code) in [("12h", 0), ("90m", 0), ("13h", 64)] {
        let output = daemon.command(&["env", "reader", "--ttl", ttl]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{ttl}");
    }
    assert_eq!(
        daemon.asked(),
        [
            r#"POST /v1/profiles/reader/ticket {"ttl_seconds":43200}"#,
            r#"POST /v1/profiles/reader/ticket {"ttl_seconds":5400}"#
        ]
    );
}

#[test]
fn plain_keys_are_exported_when_told_so() {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    let output =
        daemon.command(&["env", "reader", "--static", "--keep-aws-files"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("export AWS_SECRET_ACCESS_KEY='topSecretKey';\n"), "{text}");
    assert!(text.contains("unset AWS_CONTAINER_CREDENTIALS_FULL_URI;\n"), "{text}");
    assert!(!text.contains("AWS_CONFIG_FILE"), "{text}");
}

/// The AWS variables that `shell` has after `script`, with others planted before; `None` without such a shell.
fn evaluated(shell: &str, script: &str, login: &str) -> Option<Vec<String>> {
    let output = output_of(shell, script, login)?;
    let mut lines: Vec<_> =
        output.lines().filter(|line| line.starts_with("AWS_")).map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

fn output_of(shell: &str, script: &str, login: &str) -> Option<String> {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    let output = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", path())
        .env("HOME", "/nonexistent")
        .env("SHELL", login)
        .env("CREDBROKER", env!("CARGO_BIN_EXE_credbroker"))
        .env("CREDBROKER_CONTROL", daemon.socket())
        .env("AWS_PROFILE", "planted")
        .env("AWS_ACCESS_KEY_ID", "planted")
        .env("AWS_CONTAINER_SOMETHING_NEW", "planted")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).ok()
}

const HOUR: Duration = Duration::from_hours(1);
