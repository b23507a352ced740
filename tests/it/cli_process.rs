//! `credbroker process`, as an SDK runs it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::fake_daemon::{
    FakeDaemon, assert_tells_no_secret, credbroker, credentials, path, refusal,
};

const HOUR: Duration = Duration::from_hours(1);

/// Contract F 49.
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

/// Contract F 51.
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

/// A daemon that is ended, or started anew, while it is asked.
#[test]
fn a_daemon_that_hangs_up_is_asked_again_later() {
    let runtime = tempfile::tempdir().unwrap();
    let path = runtime.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let ending = std::thread::spawn(move || drop(listener.accept()));
    let output =
        credbroker(&["process", "reader", "--control", path.to_str().unwrap()]).output().unwrap();
    assert_fails(&output, 75, "credbroker: the daemon gave no answer; try again\n");
    ending.join().unwrap();
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

/// Contract F 58.
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
    let (reader, writer) = io::pipe().unwrap();
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

/// While they wait for the daemon: one thread, one socket, and nothing else open; so no runtime and no SDK is started.
#[test]
fn no_thread_is_started_and_nothing_is_opened() {
    for command in [&["process", "reader"][..], &["env", "reader", "--static"]] {
        let (arrived, arrival) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let daemon = FakeDaemon::new(move |request| {
            let _ = arrived.send(());
            let _ = gone.recv_timeout(Duration::from_mins(1));
            let client = r#"{"sts_region":"us-east-1","sts":"aws"}"#;
            let wanted = request.ends_with("/credentials");
            (200, if wanted { credentials(HOUR) } else { client.to_owned() })
        });
        let mut child = daemon.command(command);
        child.env("SHELL", "/bin/sh");
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        arrival.recv().unwrap();
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
        let open = open_files(&child.id().to_string());
        // `env` asks twice, and the fake forgets those whom it has answered.
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert!(child.wait().unwrap().success(), "{command:?}");
        assert_eq!(threads, 1, "{command:?}");
        match open {
            Ok(open) => {
                let inherited = open_files("self").unwrap();
                let own: Vec<_> = open.iter().filter(|it| !inherited.contains(it)).collect();
                assert_eq!(own.iter().filter(|it| it.starts_with("socket:")).count(), 1, "{own:?}");
                // An event loop would be one of these.
                assert!(!open.iter().any(|it| it.starts_with("anon_inode:")), "{open:?}");
            }
            // A process that may not be dumped, so that nobody reads the secrets off it, hides this from all but root.
            Err(error) => {
                let me = nix::unistd::geteuid();
                assert_eq!((error.kind(), me.is_root()), (ErrorKind::PermissionDenied, false));
            }
        }
    }
}

/// What a process has open.
fn open_files(process: &str) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"))?;
    // Other tests close theirs meanwhile.
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.map(|target| target.to_string_lossy().into_owned()).collect())
}

/// Contract F 53: room for the longest tokens that are known, and no flood.
#[test]
fn output_stays_within_what_sdks_read() {
    let token = "t".repeat(40_000);
    let long = credentials(HOUR).replace("topSessionToken", &token);
    let daemon = FakeDaemon::new(move |_| (200, long.clone()));
    let output = daemon.command(&["process", "reader"]).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!((40_000..64_000).contains(&output.stdout.len()));
    let daemon = FakeDaemon::new(|_| (403, refusal("refused", &"no ".repeat(100_000))));
    let output = daemon.command(&["process", "reader"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(81), 0));
    assert!(output.stderr.len() < 4096, "{} bytes", output.stderr.len());
}

/// Contract F 54, 55: as SDKs start it, by a shell and without, with no input, no terminal and no environment to
/// speak of.
#[test]
fn it_runs_however_an_sdk_starts_it() {
    let daemon = FakeDaemon::new(|_| (200, credentials(HOUR)));
    let program = daemon.command(&[]).get_program().to_str().unwrap().to_owned();
    let socket = daemon.socket();
    let line = format!("'{program}' process reader --control '{}'", socket.display());
    for script in [line.clone(), format!("{line} <&-"), format!("exec setsid --wait {line} <&-")] {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script]).env_clear().env("PATH", path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{script}");
        assert!(output.stdout.ends_with(b"}\n"), "{script}");
    }
}

fn assert_fails(output: &Output, code: i32, said: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), said);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0));
}
