//! `credbroker process`, as an SDK runs it.

use std::fs;
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::fake_daemon::{FakeDaemon, assert_tells_no_secret, credbroker, credentials, refusal};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn the_daemons_json_is_printed_as_it_came() {
    let body = credentials(HOUR);
    let expected = format!("{body}\n");
    let daemon = FakeDaemon::new(move |_| (200, body.clone()));
    let socket = daemon.socket();
    let socket = socket.to_str().unwrap();
    let named = format!("--control={socket}");
    let forms: [&[&str]; 4] = [
        &["process", "team/a b"],
        &["process", "--prompt", "team/a b"],
        &["process", "team/a b", "--control", socket],
        &["process", "team/a b", &named],
    ];
    for form in forms {
        let output = daemon.command(form).stdin(Stdio::null()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{form:?}");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{form:?}");
    }
    let asked = daemon.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|it| it == "GET /v1/profiles/team%2Fa%20b/credentials"), "{asked:?}");
}

#[test]
fn each_reason_has_its_exit_code_and_one_line() {
    let codes = [
        ("bad_request", 70),
        ("forbidden", 77),
        ("misconfigured", 78),
        ("not_now", 75),
        ("person_needed", 80),
        ("refused", 81),
        ("unknown_profile", 78),
    ];
    for (reason, code) in codes {
        let daemon = FakeDaemon::new(move |_| (403, refusal(reason, "no such luck; try another")));
        let output = daemon.command(&["process", "reader"]).output().unwrap();
        assert_fails(&output, code, "credbroker: no such luck; try another\n");
    }
}

#[test]
fn without_a_daemon_the_remedy_is_told() {
    let runtime = tempfile::tempdir().unwrap();
    let missing = runtime.path().join("none.sock");
    let missing = missing.to_str().unwrap();
    let output = credbroker(&["process", "reader", "--control", missing]).output().unwrap();
    let expected = format!(
        "credbroker: no daemon answers at {missing}; run: systemctl --user enable --now \
         credbroker.socket, or: credbroker serve\n"
    );
    assert_fails(&output, 69, &expected);
}

#[test]
fn a_users_own_daemon_is_found() {
    let runtime = tempfile::tempdir().unwrap();
    let daemon = FakeDaemon::new(|_| (200, credentials(HOUR)));
    fs::create_dir(runtime.path().join("credbroker")).unwrap();
    fs::rename(daemon.socket(), runtime.path().join("credbroker/control.sock")).unwrap();
    let output =
        credbroker(&["process", "reader"]).env("XDG_RUNTIME_DIR", runtime.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    fs::rename(runtime.path().join("credbroker/control.sock"), daemon.socket()).unwrap();
}

#[test]
fn credentials_that_are_about_to_end_are_not_printed() {
    for (life, code) in [(Duration::from_secs(50), 75), (Duration::from_secs(70), 0)] {
        let daemon = FakeDaemon::new(move |_| (200, credentials(life)));
        let output = daemon.command(&["process", "reader"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(output.stdout.is_empty(), code != 0);
        assert_tells_no_secret(&output.stderr);
    }
}

#[test]
fn what_is_no_daemon_is_not_believed() {
    let answers = [
        "",
        "{}",
        "[]",
        r#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"topSecretKey","SessionToken":"t","Expiration":"2999-01-01T00:00:00Z"}"#,
    ];
    for answer in answers {
        let daemon = FakeDaemon::new(move |_| (200, answer.to_owned()));
        let output = daemon.command(&["process", "reader"]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(70), 0), "{answer}");
        assert_tells_no_secret(&output.stderr);
    }
    let daemon = FakeDaemon::new(|_| (500, "<html>".to_owned()));
    let output = daemon.command(&["process", "reader"]).output().unwrap();
    assert_eq!(output.status.code(), Some(70));
}

#[test]
fn a_reader_that_has_gone_is_an_error_and_no_panic() {
    let daemon = FakeDaemon::new(|_| (200, credentials(HOUR)));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = daemon
        .command(&["process", "reader"])
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_fails(&output, 70, "credbroker: stdout cannot be written: Broken pipe (os error 32)\n");
}

#[test]
fn no_thread_is_started() {
    let (arrived, arrival) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let daemon = FakeDaemon::new(move |_| {
        arrived.send(()).unwrap();
        gone.recv().unwrap();
        (200, credentials(HOUR))
    });
    let mut child = daemon.command(&["process", "reader"]).stdout(Stdio::null()).spawn().unwrap();
    arrival.recv().unwrap();
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    go.send(()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(threads, 1);
}

fn assert_fails(output: &Output, code: i32, said: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), said);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0));
}
