//! `list`, `status`, `refresh`, `forget`, and what the command line itself answers.

use std::process::Stdio;

use credbroker::model::timestamp;

use crate::fake_daemon::{FakeDaemon, credbroker, entries, now, refusal};

fn profile(state: &str, rest: &str) -> String {
    format!(
        r#"{{"profile":"reader","role_arn":"arn:aws:iam::123456789012:role/R","state":"{state}","issuances":2{rest}}}"#
    )
}

fn status() -> String {
    let started = timestamp(now());
    let held = profile(
        "held",
        r#","access_key_id":"ASIAEXAMPLE","issued":"2026-01-01T00:00:00Z","expires":"2999-01-01T00:00:00Z","remaining_seconds":9"#,
    );
    format!(
        r#"{{"version":"9.9.9","pid":7,"started":"{started}","endpoints":[{{"name":"local","kind":"container","address":"127.0.0.1:9911"}}],"store":{{"kind":"memory","set_aside":0}},"profiles":[{held}]}}"#
    )
}

#[test]
fn status_is_a_table_or_the_daemons_json() {
    let daemon = FakeDaemon::new(|_| (200, status()));
    let output = daemon.command(&["status"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("credbroker 9.9.9, process 7, started "), "{text}");
    assert!(text.contains("\nreader   held   ASIAEXAMPLE  in 355"), "{text}");
    assert_eq!(output.status.code(), Some(0));

    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&status()).unwrap();
    assert_eq!(json["profiles"], sent["profiles"]);
    assert_eq!(json["endpoints"], sent["endpoints"]);
    assert_eq!(daemon.asked(), ["GET /v1/status", "GET /v1/status"]);
}

/// A daemon that changes twice, of which the second is none, and then ends.
fn changing() -> FakeDaemon {
    let (mut looks, status) = (0, status());
    FakeDaemon::new(move |request| {
        if request.starts_with("GET /v1/changes") {
            let ending = looks == 3;
            return (200, format!(r#"{{"change":{looks},"ending":{ending}}}"#));
        }
        looks += 1;
        let status = match looks {
            1 => status.clone(),
            2 => status.replace("\"remaining_seconds\":9", "\"remaining_seconds\":8"),
            _ => status.replace("ASIAEXAMPLE", "ASIASECOND"),
        };
        (200, status)
    })
}

#[test]
fn a_watch_shows_each_change_and_ends_with_the_daemon() {
    let daemon = changing();
    let output = daemon.command(&["status", "--watch"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let [first, second] = lines.as_slice() else { panic!("{text}") };
    assert!(first.starts_with("reader: held, ASIAEXAMPLE, expires in 355"), "{first}");
    assert!(second.starts_with("reader: held, ASIASECOND, expires in 355"), "{second}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "credbroker: the daemon has ended; start it, and run this again\n");
    assert_eq!(output.status.code(), Some(69));
    let asked = daemon.asked();
    assert_eq!(asked[..3], ["GET /v1/changes", "GET /v1/status", "GET /v1/changes?after=0"]);

    let output = changing().command(&["status", "--watch", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let keys: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|json| json["profiles"][0]["access_key_id"].clone())
        .collect();
    assert_eq!(keys, ["ASIAEXAMPLE", "ASIASECOND"]);
}

#[test]
fn status_of_a_profile_exits_by_its_state() {
    let codes = [
        ("asking", 75),
        ("held", 0),
        ("idle", 0),
        ("misconfigured", 78),
        ("person_needed", 80),
        ("refused", 81),
        ("unreachable", 75),
    ];
    for (state, code) in codes {
        let daemon = FakeDaemon::new(move |_| (200, profile(state, "")));
        for form in [["status", "reader"].as_slice(), &["status", "reader", "--json"]] {
            let output = daemon.command(form).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{state}");
            assert!(String::from_utf8(output.stdout).unwrap().contains("role/R"));
            assert!(output.stderr.is_empty());
        }
    }
}

#[test]
fn an_unknown_profile_is_told_in_the_daemons_words() {
    let said = "there is no profile raeder; did you mean reader";
    let daemon = FakeDaemon::new(move |_| (404, refusal("unknown_profile", said)));
    for command in ["status", "refresh", "forget", "whoami", "env", "process"] {
        let output = daemon.command(&[command, "raeder"]).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("credbroker: {said}\n"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    }
}

#[test]
fn list_shows_what_the_caller_may_have() {
    let list = r#"{"profiles":[{"profile":"reader","role_arn":"arn:r","region":"eu-west-1","eager":false}]}"#;
    let daemon = FakeDaemon::new(move |_| (200, list.to_owned()));
    let output = daemon.command(&["list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "PROFILE  REGION     HELD       ROLE\nreader   eu-west-1  on demand  arn:r\n");
    let output = daemon.command(&["list", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, serde_json::from_str::<serde_json::Value>(list).unwrap());
}

#[test]
fn refresh_and_forget_say_what_became_of_it() {
    let held = r#","access_key_id":"ASIANEW","expires":"2999-01-01T00:00:00Z""#;
    let daemon = FakeDaemon::new(move |_| (200, profile("held", held)));
    let output = daemon.command(&["refresh", "reader"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("reader: renewed, key ASIANEW, expires in 355"), "{text}");
    let output = daemon.command(&["forget", "reader"]).output().unwrap();
    assert_eq!(output.stdout, b"reader: forgotten, now held\n");
    assert_eq!(
        daemon.asked(),
        ["POST /v1/profiles/reader/refresh", "POST /v1/profiles/reader/forget"]
    );

    let trouble =
        r#","trouble":{"code":"Throttling","message":"slow down","at":"2026-01-01T00:00:00Z"}"#;
    let daemon = FakeDaemon::new(move |_| (200, profile("held", trouble)));
    let output = daemon.command(&["refresh", "reader"]).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr),
        (Some(75), b"credbroker: slow down\n".to_vec())
    );
}

#[test]
fn a_reader_of_a_table_may_leave_early() {
    let daemon = FakeDaemon::new(|_| (200, status()));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = daemon.command(&["status"]);
    let output =
        command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_wrong_command_line_is_one_line_and_64_or_125_of_exec() {
    let wrong: [(&[&str], &str); 8] = [
        (&[], "--help"),
        (&["statsu"], "'status'"),
        (&["process"], "<PROFILE>"),
        (&["process", "a", "b"], "'b'"),
        (&["process", "a\nb"], "control characters"),
        (&["exec", "reader"], "<CMD>..."),
        (&["exec", "reader", "--static", "--env-token", "--", "true"], "--env-token"),
        (&["status", "--jsno"], "'--json'"),
    ];
    for (arguments, hint) in wrong {
        let output = credbroker(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let code = if arguments.first() == Some(&"exec") { 125 } else { 64 };
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(code), 0),
            "{arguments:?} {said}"
        );
        assert!(said.starts_with("credbroker: ") && said.contains(hint), "{arguments:?} {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn help_and_version_are_no_failure() {
    let output = credbroker(&["--version"]).output().unwrap();
    let version = format!("credbroker {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((output.status.code(), output.stdout), (Some(0), version.into_bytes()));
    for arguments in [["--help"].as_slice(), &["exec", "--help"], &["process", "-h"]] {
        let output = credbroker(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: credbroker"));
    }
}

#[test]
fn manual_and_completions_come_from_the_same_source() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = credbroker(&["man", pages.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let names = entries(&pages);
    for page in ["credbroker.1", "credbroker-exec.1", "credbroker-process.1"] {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    for shell in ["bash", "fish", "zsh"] {
        let output = credbroker(&["completions", shell]).output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().contains("whoami"), "{shell}");
    }
}
