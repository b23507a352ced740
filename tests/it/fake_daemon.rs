//! A control socket that answers what a test tells it to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use credbroker::model::{Clock, timestamp};

/// The secrets that the fake lends; no output but the wanted one may hold them.
pub(crate) const SECRETS: [&str; 3] = ["topSecretKey", "topSessionToken", "topTicket"];

pub(crate) struct FakeDaemon {
    directory: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    server: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    /// Answers each request, given as `METHOD PATH BODY`, with a status and a body.
    pub(crate) fn new(answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = std::thread::spawn(move || serve(&listener, &log, answer));
        Self { directory, asked, server: Some(server) }
    }

    /// A daemon that lends for an hour: credentials, and tickets numbered from 1 that live `ticket_life`.
    pub(crate) fn lending(client: &str, ticket_life: Duration) -> Self {
        let client = client.to_owned();
        let mut tickets = 0;
        Self::new(move |request| {
            if request.contains("/credentials") {
                (200, credentials(Duration::from_hours(1)))
            } else if request.contains("/client") {
                (200, format!("{{{client}}}"))
            } else if request.starts_with("POST") && request.contains("/ticket") {
                tickets += 1;
                let expires = timestamp(now() + ticket_life);
                let body = format!(
                    r#"{{"ticket":"topTicket{tickets}","expires":"{expires}","url":"http://127.0.0.1:9911/v1/credentials",{client}}}"#
                );
                (200, body)
            } else {
                (404, refusal("unknown_profile", "there is no such thing; look again"))
            }
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The command line, in an environment that names this daemon and little else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = credbroker(arguments);
        command.env("CREDBROKER_CONTROL", self.socket());
        command
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        if let Ok(mut stream) = UnixStream::connect(self.socket()) {
            let _ = stream.write_all(b"STOP / HTTP/1.1\r\n\r\n");
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// The binary under test, in an environment of only PATH and HOME.
pub(crate) fn credbroker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credbroker"));
    command.args(arguments).env_clear().env("PATH", path()).env("HOME", "/nonexistent");
    command
}

/// Where the tests' own tools are.
pub(crate) fn path() -> String {
    std::env::vars_os()
        .find(|(name, _)| name == "PATH")
        .and_then(|(_, value)| value.into_string().ok())
        .unwrap_or_else(|| "/usr/bin:/bin".to_owned())
}

pub(crate) fn now() -> SystemTime {
    Clock::system().now()
}

/// Credentials with spaces of their own, so that a copy can be told from a rendering.
pub(crate) fn credentials(life: Duration) -> String {
    let expires = timestamp(now() + life);
    format!(
        r#"{{ "Version":1,"AccessKeyId":"ASIAEXAMPLE", "SecretAccessKey":"topSecretKey","SessionToken":"topSessionToken","Expiration":"{expires}"}}"#
    )
}

pub(crate) fn refusal(reason: &str, message: &str) -> String {
    refusal_of(reason, "Code", message)
}

pub(crate) fn refusal_of(reason: &str, code: &str, message: &str) -> String {
    format!(r#"{{"reason":"{reason}","code":"{code}","message":"{message}"}}"#)
}

/// Fails if `text` holds a secret.
pub(crate) fn assert_tells_no_secret(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The names in a directory.
pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn serve(
    listener: &UnixListener,
    asked: &Mutex<Vec<String>>,
    mut answer: impl FnMut(&str) -> (u16, String),
) {
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let Some(request) = read_request(&stream) else { continue };
        if request.starts_with("STOP") {
            return;
        }
        asked.lock().unwrap().push(request.clone());
        let (status, body) = answer(&request);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        // A client that has gone is a case under test.
        let _ = (&stream).write_all((head + &body).as_bytes());
    }
}

fn read_request(stream: &UnixStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let first = first.trim().strip_suffix(" HTTP/1.1")?;
    Some(format!("{first} {}", String::from_utf8(body).ok()?).trim().to_owned())
}
