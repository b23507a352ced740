//! What the container endpoint costs beyond HTTP itself: a held lease, its ticket checked, against a bare hyper server
//! with a body of the same length. Both in one run over loopback TCP, with the same client; medians of several rounds.
//!
//! ```sh
//! cargo bench --bench hot_path
//! ```
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench speaks on stdout, and a broken one may panic"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credbroker::broker::{Broker, Habits};
use credbroker::config::{self, Surroundings};
use credbroker::endpoint::budget::{Budget, Purpose};
use credbroker::endpoint::listener::TcpDoor;
use credbroker::endpoint::server::{Shutdown, serve};
use credbroker::endpoint::ticket::TicketClaims;
use credbroker::endpoint::{Container, Desk, Epoch};
use credbroker::model::{
    Base, Channel, Clock, Hop, LongTermKey, ProfileName, RoleArn, SessionCredentials, Signer,
    Validity,
};
use credbroker::policy::Access;
use credbroker::seal::Key;
use credbroker::source::{Asking, Source};
use credbroker::telemetry::meters::Meters;
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A source whose sessions live for an hour, with a token as long as AWS's.
#[derive(Debug)]
struct Hour;

impl Source for Hour {
    fn root<'a>(&'a self, _base: &'a Base) -> Asking<'a, Signer> {
        let key = LongTermKey {
            access_key_id: "AKIABENCH".to_owned(),
            secret_access_key: "bench".into(),
        };
        Box::pin(async { Ok(Signer::LongTerm(Arc::new(key))) })
    }

    fn assume<'a>(&'a self, _from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async {
            let now = Clock::system().now();
            Ok(SessionCredentials {
                access_key_id: "ASIABENCHBENCHBENCH0".to_owned(),
                secret_access_key: "s".repeat(40).into(),
                session_token: "t".repeat(800).into(),
                validity: Validity::new(now, now + Duration::from_hours(1)).expect("an hour"),
                account_id: hop.call.role_arn().and_then(RoleArn::account),
                arn: None,
            })
        })
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let (_stop, shutdown) = Shutdown::new();
    let key = Key::new([7; 32]);
    let broker = broker();
    let room = Budget::default().room(Purpose::Lending);
    let container = Container {
        desk: Desk::new(Access::new(1), broker.clone()).within(&room),
        key: key.clone(),
        epoch: Epoch::new(0),
    };
    let door = TcpDoor::bind(([127, 0, 0, 1], 0).into(), Channel::Container).unwrap();
    let ours = door.address();
    let serving = tokio::spawn(serve(
        door,
        Arc::new(container),
        room,
        Meters::default().door("bench"),
        shutdown,
    ));
    let expires = broker.clock().now() + Duration::from_hours(1);
    let profile = ProfileName::parse("bench").unwrap();
    let ticket = TicketClaims { profile, uid: 1, expires, epoch: 0 }.issue(&key).unwrap();

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let bare = listener.local_addr().unwrap();
    let baseline = tokio::spawn(bare_server(listener, body(ours, ticket.expose_secret()).await));

    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let bare = requests_per_second(bare, ticket.expose_secret()).await;
        let ours = requests_per_second(ours, ticket.expose_secret()).await;
        println!(
            "bare hyper {bare:>8.0}/s   container endpoint {ours:>8.0}/s   ratio {:.3}",
            ours / bare
        );
        ratios.push(ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios.get(ROUNDS / 2).unwrap());
    baseline.abort();
    serving.abort();
}

fn broker() -> Broker {
    let directory = std::env::temp_dir().join(format!("credbroker-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("config.toml");
    let text = "[profile.bench]\naccess_key = { env = true }\nrole_arn = \"arn:aws:iam::123456789012:role/Bench\"\n";
    std::fs::write(&path, text).unwrap();
    let surroundings = Surroundings { env_has_keys: true, ..Surroundings::of_process() };
    let config = config::load(&path, &surroundings).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    Broker::start(config.plans, Arc::new(Hour), Clock::system(), Habits::default())
}

async fn bare_server(listener: TcpListener, body: Bytes) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let body = body.clone();
        connections.spawn(async move {
            let service = service_fn(move |_| {
                let body = Full::new(body.clone());
                async { Ok::<_, Infallible>(http::Response::new(body)) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn body(address: std::net::SocketAddr, ticket: &str) -> Bytes {
    let mut sender = connect(address).await;
    ask(&mut sender, ticket).await
}

async fn requests_per_second(address: std::net::SocketAddr, ticket: &str) -> f64 {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let ticket = ticket.to_owned();
        clients.spawn(async move {
            let mut sender = connect(address).await;
            for _ in 0..REQUESTS {
                ask(&mut sender, &ticket).await;
            }
        });
    }
    clients.join_all().await;
    f64::from(CONNECTIONS * REQUESTS) / begun.elapsed().as_secs_f64()
}

type Sender = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

async fn connect(address: std::net::SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    // Ends when its sender is dropped.
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, ticket: &str) -> Bytes {
    let request = http::Request::get("/v1/credentials")
        .header("host", "127.0.0.1")
        .header("authorization", ticket)
        .body(Empty::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap().to_bytes()
}

const ROUNDS: usize = 7;

/// Keep-alive connections at once.
const CONNECTIONS: u32 = 64;

/// Requests on each connection in a round.
const REQUESTS: u32 = 500;
