//! Faults: each kind does what it says, as often as it says.

use std::time::Duration;

use credbroker::sandbox::{Fault, FaultKind, Operation, Sandbox, SandboxConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::sandbox::client::{DEMO, Request, example, exchange, role, with_config};

fn assume() -> Request {
    Request::assume(&role("Reader"), DEMO)
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_on_the_clock_of_the_test() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Delay(Duration::from_secs(90))).times(1));
    let before = Instant::now();
    assume().keys(&sandbox).await;
    assert_eq!(before.elapsed().as_secs(), 90);
    assume().keys(&sandbox).await;
    assert_eq!(before.elapsed().as_secs(), 90, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn throttling_lasts_for_its_calls() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Throttling).on(Operation::AssumeRole).times(2));
    assert_eq!(Request::new("GetCallerIdentity", DEMO).send(&sandbox).await.status, 200);
    for _ in 0..2 {
        assume().refused(&sandbox, 400, "Throttling", "Rate exceeded").await;
    }
    assume().keys(&sandbox).await;
    let count = sandbox.counts().of(Operation::AssumeRole);
    assert_eq!((count.asked, count.succeeded, count.failed_with("Throttling")), (3, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_server_error_lasts_until_it_is_cleared() {
    let sandbox = example();
    for (status, code) in
        [(500, "InternalFailure"), (502, "InternalFailure"), (503, "ServiceUnavailable")]
    {
        sandbox.inject(Fault::new(FaultKind::ServerError(status)));
        for _ in 0..3 {
            let reply = assume().send(&sandbox).await;
            assert_eq!((reply.status, reply.text("Code").as_str()), (status, code));
            assert_eq!(reply.text("Type"), "Receiver");
        }
        sandbox.clear_faults();
        assume().keys(&sandbox).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_answer_looks_good_and_has_ended() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Expired).times(1));
    let reply = assume().send(&sandbox).await;
    assert_eq!((reply.status, reply.text("Expiration").as_str()), (200, "2026-03-01T11:59:00Z"));
    Request::new("GetCallerIdentity", reply.keys())
        .refused(
            &sandbox,
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn garbage_is_200_and_no_document() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Garbage));
    let reply = assume().send(&sandbox).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html")));
    assert!(!reply.body.contains("AssumeRole"), "{}", reply.body);
    let count = sandbox.counts().of(Operation::AssumeRole);
    assert_eq!((count.succeeded, count.failed_with("(garbage)")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_huge_body_is_as_long_as_it_says() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Huge));
    let reply = assume().send(&sandbox).await;
    assert_eq!(reply.header("content-length"), Some("67108864"));
    assert_eq!(reply.body.len(), 64 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_without_an_answer() {
    let sandbox = example();
    sandbox.inject(Fault::new(FaultKind::Reset).times(1));
    let request = assume();
    assert_eq!(exchange(&sandbox, &request.bytes(sandbox.now())).await, "");
    request.keys(&sandbox).await;
    assert_eq!(sandbox.counts().of(Operation::AssumeRole).failed_with("(reset)"), 1);
}

#[tokio::test]
async fn a_tcp_connection_is_reset() {
    let sandbox = Sandbox::new(
        SandboxConfig::parse(SandboxConfig::example()).unwrap(),
        credbroker::model::Clock::system(),
    );
    sandbox.inject(Fault::new(FaultKind::Reset).times(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(sandbox.clone().serve(listener, async move {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(assume().bytes(sandbox.now()).as_bytes()).await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap();
    drop(idle);
    assert!(TcpStream::connect(address).await.is_err(), "it listens no more");
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_configuration_are_there_from_the_start_and_after_a_reset() {
    let text = format!(
        "{}\n[[fault]]\nkind = \"server-error\"\nstatus = 503\ntimes = 1\n",
        SandboxConfig::example()
    );
    let sandbox = with_config(&text);
    for _ in 0..2 {
        assert_eq!(assume().send(&sandbox).await.status, 503);
        assert_eq!(assume().send(&sandbox).await.status, 200);
        sandbox.reset();
        assert_eq!(sandbox.counts().asked(), 0);
        assert!(sandbox.sessions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let sandbox = example();
    let before = Instant::now();
    let answer = exchange(&sandbox, "POST / HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!((answer.as_str(), before.elapsed().as_secs()), ("", 60));
    let stuck = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12345";
    assert_eq!(exchange(&sandbox, stuck).await, "");
    assert_eq!(before.elapsed().as_secs(), 70);
}
