//! `credbroker exec`: what the child sees, and what passes through.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use credbroker::model::timestamp;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::fake_daemon::{
    FakeDaemon, assert_tells_no_secret, credbroker, credentials, entries, now, refusal,
};

const HOUR: Duration = Duration::from_hours(1);

const CLIENT: &str = r#""region":"eu-west-1","endpoint_url":"http://all:1","sts_endpoint_url":"http://sts:2","ca_bundle":"/ca.pem","sts_region":"eu-west-1","sts":"generic""#;

const BARE: &str = r#""sts_region":"us-east-1","sts":"aws""#;

const WINNERS: [&str; 16] = [
    "AMAZON_ACCESS_KEY_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_SOMETHING_NEW",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

#[test]
fn the_child_sees_the_profile_and_nothing_that_would_win() {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let mut command = exec(&daemon, runtime.path(), &["reader", "--", "env"]);
    for name in WINNERS {
        command.env(name, "planted");
    }
    command.env("AWS_REGION", "planted").env("AWS_ENDPOINT_URL_S3", "planted");
    let output = succeed(&mut command);
    assert!(!output.contains("planted"), "{output}");
    let shown = aws(&output.replace(&scratch_of(&output), "DIR"));
    let expected = [
        "AWS_CA_BUNDLE=/ca.pem",
        "AWS_CONFIG_FILE=DIR/config",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=DIR/token",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/v1/credentials",
        "AWS_CREDENTIAL_PROFILES_FILE=DIR/credentials",
        "AWS_DEFAULT_REGION=eu-west-1",
        "AWS_EC2_METADATA_DISABLED=true",
        "AWS_ENDPOINT_URL=http://all:1",
        "AWS_ENDPOINT_URL_STS=http://sts:2",
        "AWS_REGION=eu-west-1",
        "AWS_SHARED_CREDENTIALS_FILE=DIR/credentials",
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        daemon.asked(),
        [
            "GET /v1/profiles/reader/credentials",
            r#"POST /v1/profiles/reader/ticket {"ttl_seconds":3600}"#
        ]
    );
}

/// Contract F 37; `exec` itself runs without threads and, as far as root can see, without
/// a socket or an event loop.
#[test]
fn the_files_are_private_exact_and_gone_afterwards() {
    let daemon = FakeDaemon::lending(CLIENT, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let script = r#"
        cd "${AWS_CONFIG_FILE%/*}" && stat -c '%n %a' . * && cat config credentials token && echo .
        tr '\0' ' ' </proc/$$/cmdline; tr '\0' ' ' </proc/$PPID/cmdline
        ls -l /proc/$PPID/fd 2>/dev/null | grep -c -e socket: -e eventpoll; grep Threads: /proc/$PPID/status"#;
    let output = succeed(&mut exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", script]));
    let expected = "\
. 700
config 600
credentials 600
token 600
[default]
region = eu-west-1
endpoint_url = http://all:1
ca_bundle = /ca.pem
services = credbroker

[services credbroker]
sts =
  endpoint_url = http://sts:2
topTicket1.
";
    let rest = output.strip_prefix(expected).unwrap_or_else(|| panic!("{output}"));
    assert_tells_no_secret(rest.as_bytes());
    assert!(rest.ends_with(" 0\nThreads:\t1\n"), "exec runs threads or keeps sockets: {rest}");
    assert_eq!(entries(runtime.path()), Vec::<String>::new());
}

/// Contract F 37: replaced at once, with nothing beside it.
#[test]
fn the_ticket_is_renewed_while_the_child_runs() {
    let daemon = FakeDaemon::lending(BARE, Duration::from_secs(4));
    let runtime = tempfile::tempdir().unwrap();
    let script = r#"
        file=$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; tries=0
        while [ "$(cat "$file")" = topTicket1 ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.05; done
        cat "$file"; stat -c ' %a' "$file"; ls -A "${file%/*}""#;
    let output = succeed(&mut exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", script]));
    assert_eq!(output, "topTicket2 600\nconfig\ncredentials\ntoken\n");
}

#[test]
fn a_ticket_in_the_variable_lives_longer() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let output =
        succeed(&mut exec(&daemon, runtime.path(), &["reader", "--env-token", "--", "env"]));
    assert!(output.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN=topTicket2\n"), "{output}");
    assert!(output.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="), "{output}");
    let arguments = ["reader", "--env-token", "--ttl", "30m", "--", "true"];
    succeed(&mut exec(&daemon, runtime.path(), &arguments));
    let asked = daemon.asked().into_iter().filter(|request| request.starts_with("POST"));
    let lives: Vec<_> = asked.map(|it| it.rsplit(' ').next().unwrap().to_owned()).collect();
    let life = |seconds: u32| format!(r#"{{"ttl_seconds":{seconds}}}"#);
    assert_eq!(lives, [life(3600), life(43200), life(3600), life(1800)]);
}

#[test]
fn plain_keys_come_without_the_container_endpoint() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let mut command = exec(&daemon, runtime.path(), &["reader", "--static", "--", "env"]);
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "planted")
        .env("AWS_ACCESS_KEY_ID", "planted");
    let output = succeed(&mut command);
    let names: Vec<_> =
        aws(&output).into_iter().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    let expected = [
        "AWS_ACCESS_KEY_ID",
        "AWS_CONFIG_FILE",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CREDENTIAL_PROFILES_FILE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
    ];
    assert_eq!(names, expected);
    assert!(output.contains("AWS_SECRET_ACCESS_KEY=topSecretKey\n"));
    assert!(daemon.asked().iter().all(|request| !request.contains("ticket")));
}

#[test]
fn the_users_files_stay_when_told_so() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let mut command = exec(&daemon, runtime.path(), &["reader", "--keep-aws-files", "--", "env"]);
    let output = succeed(command.env("AWS_CONFIG_FILE", "/mine"));
    assert!(output.contains("AWS_CONFIG_FILE=/mine\n"), "{output}");
    assert!(!output.contains("AWS_SHARED_CREDENTIALS_FILE"), "{output}");
}

#[test]
fn keys_in_botos_old_file_do_not_win() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let boto = runtime.path().join("boto");
    let shown = |content: &str| {
        fs::write(&boto, content).unwrap();
        let mut command =
            exec(&daemon, runtime.path(), &["reader", "--", "printenv", "BOTO_CONFIG"]);
        succeed(command.env("BOTO_CONFIG", &boto))
    };
    assert_eq!(shown("[GSUtil]\n"), format!("{}\n", boto.display()));
    assert!(shown("[Credentials]\naws_access_key_id = A\n").ends_with("/credentials\n"));
}

#[test]
fn an_exit_code_passes_through() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    for code in [0, 1, 64, 255] {
        let script = format!("exit {code}");
        let output = exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", &script]).output();
        let output = output.unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(code), 0));
    }
}

#[test]
fn a_signal_that_ends_the_child_ends_exec() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    // The last one Rust catches itself, to tell a stack overflow; it becomes the code that shells give.
    let signals = [
        ("INT", Some(2), None),
        ("KILL", Some(9), None),
        ("TERM", Some(15), None),
        ("SEGV", None, Some(139)),
    ];
    for (name, signal, code) in signals {
        let script = format!("kill -s {name} $$");
        let mut command = exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", &script]);
        let status = command.output().unwrap().status;
        assert_eq!((status.signal(), status.code()), (signal, code), "{name}");
        assert_eq!(entries(runtime.path()), Vec::<String>::new());
    }
}

#[test]
fn signals_are_passed_on_to_the_child() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let passed = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ];
    for signal in passed {
        let name = signal.as_str().trim_start_matches("SIG");
        let script =
            format!("trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.02; done");
        let mut command = exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        send(&child, signal);
        assert_eq!(lines.next().unwrap().unwrap(), "got", "{signal}");
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal}");
        assert_eq!(entries(runtime.path()), Vec::<String>::new());
    }
}

#[test]
fn an_interrupt_from_the_terminal_is_delivered_once() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let script = "n=0; trap 'n=$((n + 1))' INT; echo ready; \
                  while [ $n = 0 ]; do sleep 0.02; done; sleep 0.3; echo interrupts $n";
    let inner = exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", script]);
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdin(terminal.slave).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    nix::unistd::write(&terminal.master, b"\x03").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "interrupts 1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_child_that_stops_stops_exec_and_is_woken_with_it() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let script = "kill -s TSTP $$; echo resumed";
    let mut command = exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", script]);
    // A group of its own, with a parent outside: a job, as a shell makes one.
    let child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGTSTP));
    kill(pid, Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"resumed\n".to_vec()));
}

#[test]
fn a_ticket_that_cannot_be_renewed_is_complained_of_once() {
    let mut lending = 0;
    let expires = timestamp(now() + Duration::from_secs(4));
    let daemon = FakeDaemon::new(move |request| {
        lending += 1;
        match lending {
            1 => (200, credentials(HOUR)),
            2 => {
                assert!(request.starts_with("POST"), "{request}");
                let url = "http://127.0.0.1:1/";
                (
                    200,
                    format!(
                        r#"{{"ticket":"topTicket","expires":"{expires}","url":"{url}",{BARE}}}"#
                    ),
                )
            }
            _ => (503, refusal("not_now", "the daemon is leaving; start it again")),
        }
    });
    let runtime = tempfile::tempdir().unwrap();
    let script = "sleep 4; cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    let output =
        exec(&daemon, runtime.path(), &["reader", "--", "sh", "-c", script]).output().unwrap();
    assert_eq!(output.stderr, b"credbroker: the daemon is leaving; start it again\n");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"topTicket".to_vec()));
}

#[test]
fn the_child_starts_with_the_signals_that_exec_was_given() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let blocked = ["reader", "--", "grep", "SigBlk", "/proc/self/status"];
    let blocked = succeed(&mut exec(&daemon, runtime.path(), &blocked));
    assert_eq!(blocked, "SigBlk:\t0000000000000000\n");

    let inner =
        exec(&daemon, runtime.path(), &["reader", "--", "grep", "SigIgn", "/proc/self/status"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ignored = succeed(&mut command);
    let ignored = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // HUP as inherited, PIPE not; above 31 are signals that the C library keeps for itself.
    assert_eq!(ignored & 0x7fff_ffff, 1);
}

#[test]
fn what_cannot_be_run_is_told_as_env_tells_it() {
    let daemon = FakeDaemon::lending(BARE, HOUR);
    let runtime = tempfile::tempdir().unwrap();
    let plain = runtime.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let fails = |program: &str, code| {
        let output = exec(&daemon, runtime.path(), &["reader", "--", program]).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("credbroker: {program} ")), "{said}");
        assert_eq!(said.lines().count(), 1);
    };
    fails("no-such-command-anywhere", 127);
    fails("/nonexistent/command", 127);
    fails(plain.to_str().unwrap(), 126);
    fails("/etc", 126);
    assert_eq!(entries(runtime.path()), ["plain"]);
}

#[test]
fn its_own_failures_are_125_and_start_nothing() {
    let runtime = tempfile::tempdir().unwrap();
    let marker = runtime.path().join("ran");
    let marker = marker.to_str().unwrap();
    let daemon = FakeDaemon::new(|_| (403, refusal("refused", "the role says no; ask its owner")));
    let output =
        exec(&daemon, runtime.path(), &["reader", "--", "touch", marker]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(output.stderr, b"credbroker: the role says no; ask its owner\n");
    drop(daemon);
    let arguments = ["exec", "reader", "--control", "/nonexistent/s", "--", "touch", marker];
    let output = credbroker(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(entries(runtime.path()), Vec::<String>::new());
}

fn exec(daemon: &FakeDaemon, runtime: &Path, arguments: &[&str]) -> Command {
    let arguments: Vec<&str> = ["exec"].iter().chain(arguments).copied().collect();
    let mut command = daemon.command(&arguments);
    command.env("XDG_RUNTIME_DIR", runtime).stdin(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

fn aws(environment: &str) -> Vec<String> {
    let mut lines: Vec<_> =
        environment.lines().filter(|line| line.starts_with("AWS_")).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn scratch_of(environment: &str) -> String {
    let line = environment.lines().find_map(|line| line.strip_prefix("AWS_CONFIG_FILE=")).unwrap();
    Path::new(line).parent().unwrap().to_str().unwrap().to_owned()
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}
