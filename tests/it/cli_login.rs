//! `login`, `logout`, `mfa`, and the questions that `exec`, `env` and `process --prompt` ask by themselves: by pipes, and
//! on terminals.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::fake_daemon::{FakeDaemon, credentials, refusal, refusal_of};

const HOUR: Duration = Duration::from_hours(1);
const DEVICE: &str = "arn:aws:iam::123456789012:mfa/me";
const PROMPT: &str = "MFA code of arn:aws:iam::123456789012:mfa/me (for admin, deploy): ";
const ASKED: &str =
    r#""mfa_serial":"arn:aws:iam::123456789012:mfa/me","profiles":["admin","deploy"]"#;
const WRONG: &str = "the MFA code was refused; wait for the next one";
const GOOD: &str = "135790";

/// A daemon that wants the code [`GOOD`] before it lends.
fn guarded() -> FakeDaemon {
    let mut logged_in = false;
    FakeDaemon::new(move |request| {
        if request.starts_with("POST") && request.contains("/login") {
            if request.ends_with("/login") {
                return (200, format!(r#"{{"step":"code",{ASKED}}}"#));
            }
            logged_in |= request.ends_with(&format!(r#"{{"code":"{GOOD}"}}"#));
            if logged_in {
                return (200, r#"{"step":"done","expires":"2999-01-01T00:00:00Z"}"#.to_owned());
            }
            (403, refusal_of("person_needed", "InvalidMfaCode", WRONG))
        } else if request.contains("/credentials") && logged_in {
            (200, credentials(HOUR))
        } else if request.contains("/credentials") {
            let message = format!("an MFA code of {DEVICE} is needed; run: credbroker login admin");
            (403, refusal_of("person_needed", "MfaRequired", &message))
        } else if request.contains("/client") {
            (200, r#"{"sts_region":"us-east-1","sts":"aws"}"#.to_owned())
        } else if request.contains("/ticket") {
            let ticket = r#"{"ticket":"topTicket","expires":"2999-01-01T00:00:00Z","url":"http://127.0.0.1:9911/v1/credentials","sts_region":"us-east-1","sts":"aws"}"#;
            (200, ticket.to_owned())
        } else {
            (404, refusal("unknown_profile", "there is no such thing; look again"))
        }
    })
}

/// The codes that the daemon was sent.
fn codes(daemon: &FakeDaemon) -> Vec<String> {
    let asked = daemon.asked();
    let codes = asked.iter().filter_map(|it| it.split_once(r#""code":""#));
    codes.map(|(_, code)| code.trim_end_matches("\"}").to_owned()).collect()
}

fn piped(daemon: &FakeDaemon, arguments: &[&str], input: &str) -> Output {
    let mut command = daemon.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What runs its arguments in a session of their own; a terminal is given to a session by its leader.
fn in_a_session(daemon: &FakeDaemon, options: &[&str]) -> Command {
    let mut leader = Command::new("setsid");
    leader.args(options).arg("--wait").env_clear();
    let like = daemon.command(&[]);
    leader.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    leader
}

/// A command whose controlling terminal the test holds the other end of.
struct AtTerminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    seen: String,
}

impl AtTerminal {
    fn start(daemon: &FakeDaemon, arguments: &[&str]) -> Self {
        let command = daemon.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Self::run(daemon, words.map(OsStr::to_owned).collect())
    }

    /// A shell's script, which may send the streams of what it runs elsewhere.
    fn shell(daemon: &FakeDaemon, script: &str) -> Self {
        Self::run(daemon, ["sh", "-c", script].map(OsString::from).to_vec())
    }

    fn run(daemon: &FakeDaemon, words: Vec<OsString>) -> Self {
        let pty = openpty(None, None).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut leader = in_a_session(daemon, &["--ctty"]);
        leader.args(words).stdin(slave()).stdout(slave()).stderr(slave());
        let child = leader.spawn().unwrap();
        Self { child, master: File::from(pty.master), slave: pty.slave, seen: String::new() }
    }

    /// Reads until `text` is on the screen as often as `times`.
    #[track_caller]
    fn sees(&mut self, text: &str, times: usize) {
        while self.seen.matches(text).count() < times {
            assert!(self.more(), "no {text:?} but {:?}", self.seen);
        }
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn more(&mut self) -> bool {
        use std::os::fd::AsFd;
        let patience = PollTimeout::from(20_000_u16);
        let ready = poll(&mut [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)], patience);
        if ready != Ok(1) {
            return false;
        }
        let mut chunk = [0; 1024];
        let count = self.master.read(&mut chunk).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
        count > 0
    }

    /// Waits for the end; all that was on the screen.
    fn ends(mut self) -> (ExitStatus, String, bool) {
        let status = self.child.wait().unwrap();
        let echoes = tcgetattr(&self.slave).unwrap().local_flags.contains(LocalFlags::ECHO);
        drop(self.slave);
        let mut rest = Vec::new();
        // EIO is how a terminal says that nobody is at its other end.
        let _ = self.master.read_to_end(&mut rest);
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        (status, self.seen.replace("\r\n", "\n"), echoes)
    }
}

#[test]
fn what_waits_is_shown_as_a_table_or_as_json() {
    let list = format!(r#"{{"waiting":[{{{ASKED},"since":"2026-01-01T00:00:00Z"}}]}}"#);
    let sent: serde_json::Value = serde_json::from_str(&list).unwrap();
    let daemon = FakeDaemon::new(move |_| (200, list.clone()));
    let output = daemon.command(&["login"]).output().unwrap();
    let said = text(&output.stdout);
    assert!(said.starts_with("WAITS FOR "), "{said}");
    assert!(said.contains(&format!("{DEVICE}  admin, deploy  ")), "{said}");
    assert!(said.ends_with("\nrun: credbroker login admin\n"), "{said}");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let output = daemon.command(&["login", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), sent);
    assert_eq!(daemon.asked(), ["GET /v1/waiting", "GET /v1/waiting"]);
}

#[test]
fn a_code_is_taken_from_a_pipe() {
    for input in [format!("{GOOD}\n"), GOOD.to_owned(), "135 790\r\nmore\n".to_owned()] {
        let daemon = guarded();
        let output = piped(&daemon, &["login", "admin", "--code", "-"], &input);
        let said = text(&output.stdout);
        let start = format!("admin: logged in with {DEVICE}; the session ends in 355");
        assert!(said.starts_with(&start), "{said} {}", text(&output.stderr));
        assert!(said.ends_with(" (2999-01-01T00:00:00Z)\n"), "{said}");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        assert_eq!(codes(&daemon), [GOOD]);
    }
}

#[test]
fn a_pipe_has_one_try() {
    let daemon = guarded();
    let output = piped(&daemon, &["login", "admin", "--code", "-"], "111111\n135790\n");
    assert_eq!(text(&output.stderr), format!("credbroker: {WRONG}\n"));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(80), 0));
    assert_eq!(codes(&daemon), ["111111"]);
    for none in ["", "12345\n", "12345x\n", &"1".repeat(1000)] {
        let daemon = guarded();
        let output = piped(&daemon, &["login", "admin", "--code", "-"], none);
        assert_eq!(text(&output.stderr), "credbroker: a code has six digits; try again\n");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(80), 0));
        assert!(codes(&daemon).is_empty());
    }
}

#[test]
fn a_code_in_an_argument_is_refused_and_not_repeated() {
    let daemon = guarded();
    let output = daemon.command(&["login", "admin", "--code", GOOD]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(64), 1));
    assert!(said.contains("--code -") && !said.contains(GOOD), "{said}");
    assert!(daemon.asked().is_empty());
}

#[test]
fn without_a_terminal_the_pipe_is_named() {
    let daemon = guarded();
    let mut command = in_a_session(&daemon, &[]);
    command.arg(daemon.command(&[]).get_program()).args(["login", "admin"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let expected = format!(
        "credbroker: there is no terminal to ask for the MFA code of {DEVICE}; pipe it in: credbroker login admin --code -\n"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(80), expected));
}

#[test]
fn at_a_terminal_a_wrong_code_is_told_and_asked_for_again() {
    let daemon = guarded();
    let mut terminal = AtTerminal::start(&daemon, &["login", "admin"]);
    terminal.sees(PROMPT, 1);
    terminal.types("1357\r");
    terminal.sees(PROMPT, 2);
    terminal.types("111111\r");
    terminal.sees(PROMPT, 3);
    terminal.types("135\x7f\x7f35790\r");
    terminal.sees("logged in", 1);
    let (status, seen, echoes) = terminal.ends();
    assert!(status.success() && echoes, "{status} {seen}");
    assert!(seen.contains("a code has six digits\n") && seen.contains(WRONG), "{seen}");
    for typed in ["1357", "111111", GOOD] {
        assert!(!seen.contains(typed), "{seen}");
    }
    assert_eq!(codes(&daemon), ["111111", GOOD]);
}

#[test]
fn three_wrong_codes_are_enough() {
    let daemon = guarded();
    let mut terminal = AtTerminal::start(&daemon, &["login", "admin"]);
    for (times, code) in ["111111", "222222", "333333"].into_iter().enumerate() {
        terminal.sees(PROMPT, times + 1);
        terminal.types(&format!("{code}\r"));
    }
    let (status, seen, echoes) = terminal.ends();
    assert!(status.code() == Some(80) && echoes, "{status} {seen}");
    assert!(seen.ends_with(&format!("credbroker: {WRONG}\n")), "{seen}");
}

#[test]
fn whoever_leaves_finds_the_terminal_as_it_was() {
    let daemon = guarded();
    let mut terminal = AtTerminal::start(&daemon, &["login", "admin"]);
    terminal.sees(PROMPT, 1);
    assert!(!tcgetattr(&terminal.slave).unwrap().local_flags.contains(LocalFlags::ECHO));
    terminal.types("13\x03");
    let (status, seen, echoes) = terminal.ends();
    assert!(!status.success() && echoes, "{status} {seen}");
    assert!(codes(&daemon).is_empty());
}

#[test]
fn exec_asks_by_itself_and_then_runs_the_command() {
    for options in [&[][..], &["--static"]] {
        let daemon = guarded();
        let line = [&["exec", "admin"], options, &["--", "echo", "ran"]].concat();
        let mut terminal = AtTerminal::start(&daemon, &line);
        terminal.sees(PROMPT, 1);
        terminal.types(&format!("{GOOD}\r"));
        terminal.sees("ran", 1);
        let (status, seen, _) = terminal.ends();
        assert_eq!((status.code(), seen), (Some(0), format!("{PROMPT}\nran\n")));
    }
}

#[test]
fn exec_without_a_person_says_what_to_run() {
    let daemon = guarded();
    let output =
        daemon.command(&["exec", "admin", "--", "true"]).stdin(Stdio::null()).output().unwrap();
    let said =
        format!("credbroker: an MFA code of {DEVICE} is needed; run: credbroker login admin\n");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(125), said));
}

#[test]
fn env_asks_on_the_terminal_while_its_output_is_read() {
    for options in ["", "--static"] {
        let daemon = guarded();
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let program = daemon.command(&[]).get_program().to_str().unwrap().to_owned();
        let line = format!("'{program}' env admin --shell sh {} >'{}'", options, out.display());
        let mut terminal = AtTerminal::shell(&daemon, &line);
        terminal.sees(PROMPT, 1);
        terminal.types(&format!("{GOOD}\r"));
        let (status, seen, _) = terminal.ends();
        assert_eq!((status.code(), seen), (Some(0), format!("{PROMPT}\n")));
        let written = std::fs::read_to_string(out).unwrap();
        assert!(written.contains("export AWS_") && !written.contains("MFA"), "{written}");
    }
}

/// As an SDK runs it: stdin is nothing, stdout and stderr are pipes, and a person sits at the terminal all the same.
#[test]
fn process_asks_on_the_terminal_and_writes_nothing_else() {
    let daemon = guarded();
    let directory = tempfile::tempdir().unwrap();
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    let program = daemon.command(&[]).get_program().to_str().unwrap().to_owned();
    let script = format!(
        "exec '{program}' process admin --prompt </dev/null >'{}' 2>'{}'",
        out.display(),
        err.display()
    );
    let mut terminal = AtTerminal::shell(&daemon, &script);
    terminal.sees(PROMPT, 1);
    terminal.types(&format!("{GOOD}\r"));
    let (status, seen, _) = terminal.ends();
    assert_eq!((status.code(), seen), (Some(0), format!("{PROMPT}\n")));
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap()["Version"], 1);
    assert_eq!(std::fs::read_to_string(&err).unwrap(), "");

    let daemon = guarded();
    let terminal = AtTerminal::shell(&daemon, &script.replace(" --prompt", ""));
    let (status, seen, _) = terminal.ends();
    assert_eq!(
        (status.code(), seen),
        (Some(80), String::new()),
        "without --prompt nobody is asked"
    );
    assert!(std::fs::read_to_string(&out).unwrap().is_empty());
}

#[test]
fn a_login_in_a_browser_shows_its_page_and_waits_for_its_end() {
    let mut asked = 0;
    let daemon = FakeDaemon::new(move |_| {
        asked += 1;
        if asked > 2 {
            return (200, r#"{"step":"done","expires":"2999-01-01T00:00:00Z"}"#.to_owned());
        }
        let body = r#"{"step":"authorize","waiting":{"issuer":"https://sso/realms/demo","profiles":["workload"]},"verification_uri":"https://sso/device","verification_uri_complete":"https://sso/device?code=ABCD-EFGH","user_code":"ABCD-EFGH","expires":"2999-01-01T00:00:00Z"}"#;
        (200, body.to_owned())
    });
    let output = daemon.command(&["login", "workload"]).stdin(Stdio::null()).output().unwrap();
    // With a terminal around it is said there; the tests may be run without one.
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    let end = "workload: logged in at https://sso/realms/demo; the session ends in 355";
    assert!(said.contains(end), "{said}");
    assert_eq!(daemon.asked(), vec!["POST /v1/profiles/workload/login"; 3]);
}

#[test]
fn a_page_that_nobody_opened_in_time_is_told() {
    let mut asked = 0;
    let daemon = FakeDaemon::new(move |_| {
        asked += 1;
        let body = format!(
            r#"{{"step":"authorize","waiting":{{"issuer":"https://sso","profiles":["w"]}},"verification_uri":"https://sso/device","user_code":"CODE-{asked}","expires":"2999-01-01T00:00:00Z"}}"#
        );
        (200, body)
    });
    let output = daemon.command(&["login", "w"]).stdin(Stdio::null()).output().unwrap();
    let said = "credbroker: the code has expired before it was entered; run: credbroker login w\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(80), said.to_owned()));
}

#[test]
fn a_profile_without_people_has_nothing_to_log_in_to() {
    let daemon = FakeDaemon::new(|_| (200, r#"{"step":"nothing"}"#.to_owned()));
    let output = daemon.command(&["login", "reader"]).output().unwrap();
    let said = "reader: nothing to do, no person is needed for it\n";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), said.to_owned()));
}

#[test]
fn watch_says_what_begins_to_wait_and_asks_for_it() {
    let mut looks = 0;
    let mut logged_in = false;
    let daemon = FakeDaemon::new(move |request| {
        if request == "GET /v1/waiting" {
            looks += 1;
            let list = match (logged_in, looks) {
                (_, 1) | (true, _) => String::new(),
                (false, _) => format!(r#"{{{ASKED},"expires":"2999-01-01T00:00:00Z"}}"#),
            };
            return (200, format!(r#"{{"waiting":[{list}]}}"#));
        }
        logged_in = request.contains(GOOD);
        let step = if logged_in {
            r#"{"step":"done","expires":"2999-01-01T00:00:00Z"}"#.to_owned()
        } else {
            format!(r#"{{"step":"code",{ASKED}}}"#)
        };
        (200, step)
    });
    let mut terminal = AtTerminal::start(&daemon, &["login", "--watch"]);
    terminal.sees(&format!("Z  the session of {DEVICE} (for admin, deploy) ends in 355"), 1);
    terminal.sees(PROMPT, 1);
    terminal.types(&format!("{GOOD}\r"));
    terminal.sees("logged in with", 1);
    terminal.types("\x03");
    let (status, seen, _) = terminal.ends();
    assert!(!status.success(), "{seen}");
    assert!(!seen.contains(GOOD), "{seen}");
}

#[test]
fn logout_says_what_has_ended() {
    let daemon = FakeDaemon::new(|request| {
        if request == "POST /v1/logout" {
            return (200, r#"{"profiles":["admin","deploy"],"tickets_ended":true}"#.to_owned());
        }
        (200, r#"{"profile":"admin","state":"idle","issuances":2}"#.to_owned())
    });
    let output = daemon.command(&["logout", "admin"]).output().unwrap();
    assert_eq!(
        text(&output.stdout),
        "admin: logged out, now idle; tickets live on, and end with: credbroker logout --all\n"
    );
    let output = daemon.command(&["logout", "--all"]).output().unwrap();
    assert_eq!(text(&output.stdout), "logged out of admin, deploy; every ticket has ended\n");
    assert_eq!(daemon.asked(), ["POST /v1/profiles/admin/logout", "POST /v1/logout"]);
    for wrong in [&["logout"][..], &["logout", "admin", "--all"]] {
        assert_eq!(daemon.command(wrong).output().unwrap().status.code(), Some(64));
    }
}

#[test]
fn a_devices_code_is_printed_and_nothing_else() {
    let body = r#"{"code":"135790","expires":"2999-01-01T00:00:00Z"}"#;
    let daemon = FakeDaemon::new(move |_| (200, body.to_owned()));
    let output = daemon.command(&["mfa", "code", "admin"]).output().unwrap();
    assert_eq!((text(&output.stdout), output.stderr.len()), ("135790\n".to_owned(), 0));
    assert_eq!(daemon.asked(), ["POST /v1/profiles/admin/code"]);
    let none = refusal("misconfigured", "`reader` has no MFA device; look");
    let daemon = FakeDaemon::new(move |_| (403, none.clone()));
    let output = daemon.command(&["mfa", "code", "reader"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
}
