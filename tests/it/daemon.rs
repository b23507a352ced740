//! The daemon as it is wired together: real sockets, a key of its own in a state directory, an STS of ours.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credbroker::config::{self, Config, Surroundings};
use credbroker::daemon::Daemon;
use credbroker::endpoint::control::wire::Ticket;
use credbroker::endpoint::server::{Shutdown, Stop};
use credbroker::systemd::Sockets;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::fake_daemon::{credbroker, now};
use crate::wire::{Step, Sts};

/// A daemon that runs.
struct Running {
    sts: Arc<Sts>,
    stop: Stop,
    serving: JoinHandle<()>,
}

impl Running {
    fn start(directory: &Path) -> Self {
        let sts = Sts::at(now());
        let surroundings = Surroundings {
            home: Some(directory.to_owned()),
            env_has_keys: true,
            user: "me".to_owned(),
            host: "here".to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            ..Surroundings::default()
        };
        let config = config(directory, &surroundings);
        let (source, clock) = (Arc::<Sts>::clone(&sts), sts.clock());
        let daemon =
            Daemon::build(config, &surroundings, source, clock, Arc::new(Sockets::none())).unwrap();
        let (stop, shutdown) = Shutdown::new();
        Self { sts, stop, serving: tokio::spawn(daemon.run(shutdown)) }
    }

    async fn end(self) {
        self.stop.now();
        self.serving.await.unwrap();
    }
}

/// Contract F 36: the address that clients are given has numbers in it, not a name; and it is the same after a restart,
/// for tickets that were given out before.
#[tokio::test]
async fn the_published_address_is_numeric_and_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path());
    let ticket = ticket(directory.path()).await;
    let port = ticket.url.strip_prefix("http://127.0.0.1:").unwrap();
    let port: u16 = port.strip_suffix("/v1/credentials").unwrap().parse().unwrap();
    assert_ne!(port, 0);
    assert_eq!(redeem(port, &ticket).await, "200 OK");
    running.end().await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
    let running = Running::start(directory.path());
    assert_eq!(redeem(port, &ticket).await, "200 OK");
    assert_eq!(running.sts.calls(), 0, "the session outlives it too");
    running.end().await;
    assert!(!directory.path().join("run/control.sock").exists(), "left behind");
}

/// Contract F 56: by the real program over the real socket.
#[tokio::test]
async fn two_runs_at_once_make_one_call() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path());
    running.sts.then(Step::Slow(Duration::from_millis(300)));
    let process = || {
        let mut command = Command::from(credbroker(&["process", "reader"]));
        command.env("CREDBROKER_CONTROL", directory.path().join("run/control.sock"));
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        async move { command.output().await.unwrap() }
    };
    let (one, two) = tokio::join!(process(), process());
    for output in [&one, &two] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""));
    }
    assert_eq!(one.stdout, two.stdout);
    assert_eq!(running.sts.calls(), 1);
    running.end().await;
}

fn config(directory: &Path, surroundings: &Surroundings) -> Config {
    let path = directory.join("config.toml");
    std::fs::write(&path, CONFIG).unwrap();
    config::load(&path, surroundings).unwrap()
}

async fn ticket(directory: &Path) -> Ticket {
    let stream = UnixStream::connect(directory.join("run/control.sock")).await.unwrap();
    let wish = r#"{"ttl_seconds":3600}"#;
    let request = format!(
        "POST /v1/profiles/reader/ticket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{wish}",
        wish.len()
    );
    let answer = exchange(stream, &request).await;
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The status that the ticket gets at the container endpoint.
async fn redeem(port: u16, ticket: &Ticket) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Authorization: {}\r\n\r\n",
        ticket.ticket.expose_secret()
    );
    let answer = exchange(stream, &request).await;
    answer.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned()
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const CONFIG: &str = r#"
[daemon]
state_dir = "state"
control   = "run/control.sock"

[profile.base]
access_key = { env = true }

[profile.reader]
source_profile = "base"
role_arn       = "arn:aws:iam::123456789012:role/Reader"
"#;
