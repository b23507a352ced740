//! Who asks, by the kernel's word: real sockets at real doors, with the rules of a policy behind them.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::listener::TcpDoor;
use credbroker::endpoint::server::{Shutdown, Stop};
use credbroker::endpoint::{Container, Desk, Endpoint, Imds};
use credbroker::model::Channel;
use credbroker::policy::{Access, Account, Action, Condition, Profiles, Rule};
use nix::unistd::{getegid, geteuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::{World, server};

/// Neither who runs the tests nor anybody whom a test names.
const SOMEBODY: u32 = 54_321;

fn me() -> u32 {
    geteuid().as_raw()
}

/// The rules of a daemon that runs as somebody else.
fn rules(conditions: Vec<Condition>) -> Access {
    let rule = Rule::new(Profiles::All, conditions, BTreeSet::from([Action::Use])).unwrap();
    Access::with_rules(SOMEBODY, vec![rule])
}

fn user(uid: u32) -> Condition {
    Condition::User(Account { name: uid.to_string(), id: uid })
}

/// An endpoint at a door that the kernel knows.
struct House {
    world: World,
    desk: Desk,
    port: u16,
    _stop: Stop,
    serving: JoinHandle<()>,
}

impl House {
    fn of<E: Endpoint>(access: Access, channel: Channel, endpoint: fn(&World, Desk) -> E) -> Self {
        let world = World::new();
        let desk = Desk::new(access, world.broker.clone());
        let endpoint = Arc::new(endpoint(&world, desk.clone()));
        let door = TcpDoor::bind(([127, 0, 0, 1], 0).into(), channel).unwrap().named("here");
        let port = door.address().port();
        let (stop, shutdown) = Shutdown::new();
        let serving = server(door, endpoint, shutdown);
        Self { world, desk, port, _stop: stop, serving }
    }

    fn imds(access: Access) -> Self {
        Self::of(access, Channel::Imds, |world, desk| Imds {
            token_required: false,
            desk,
            ..world.imds(&["reader"])
        })
    }

    fn container(access: Access) -> Self {
        Self::of(access, Channel::Container, |world, desk| Container { desk, ..world.container() })
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The status of the answer to `GET path` on a connection that stays open.
async fn get(stream: &mut TcpStream, path: &str, ticket: &str) -> u16 {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let read = async {
        loop {
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the connection was closed");
            answer.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if line.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    };
    timeout(Duration::from_secs(10), read).await.expect("an answer comes soon")
}

/// The role list.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

#[tokio::test]
async fn at_a_metadata_endpoint_a_user_gets_what_a_rule_gives_it_and_no_other_does() {
    let house = House::imds(rules(vec![user(me())]));
    assert_eq!(get(&mut house.connect().await, ROLES, "").await, 200);
    let house = House::imds(rules(vec![user(SOMEBODY + 1)]));
    assert_eq!(get(&mut house.connect().await, ROLES, "").await, 404);
    let house = House::imds(Access::new(me()));
    let own = if geteuid().is_root() { 404 } else { 200 };
    assert_eq!(get(&mut house.connect().await, ROLES, "").await, own, "root needs a rule");
}

#[tokio::test]
async fn another_user_is_told_apart_by_its_connection() {
    if !geteuid().is_root() {
        eprintln!("another user was not tried: only root can be somebody else");
        return;
    }
    let house = House::imds(rules(vec![user(4242)]));
    let ask = |uid| {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET {ROLES} HTTP/1.0\\r\\n\\r\\n' >&3; head -n1 <&3",
            house.port
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).uid(uid).stderr(Stdio::inherit());
        async move {
            let output = tokio::process::Command::from(command).output().await.unwrap();
            String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
        }
    };
    assert_eq!(ask(4242).await, "200");
    assert_eq!(ask(4243).await, "404");
    assert_eq!(ask(0).await, "404");
    // Whoever stands for all who have no name here is nobody, even to a rule.
    house.desk.govern(rules(vec![user(65534)]));
    assert_eq!(ask(65534).await, "404");
}

#[tokio::test]
async fn rules_that_want_to_know_more_hold_for_connections_that_are_open() {
    let house = House::imds(rules(vec![user(SOMEBODY + 1)]));
    let mut stream = house.connect().await;
    assert_eq!(get(&mut stream, ROLES, "").await, 404);
    let id = getegid().as_raw();
    let group = |id: u32| Condition::Group(Account { name: id.to_string(), id });
    house.desk.govern(rules(vec![group(id)]));
    assert_eq!(get(&mut stream, ROLES, "").await, 200, "its user is in the group {id}");
    house.desk.govern(rules(vec![group(SOMEBODY)]));
    assert_eq!(get(&mut stream, ROLES, "").await, 404);
}

#[tokio::test]
async fn a_ticket_is_good_for_the_processes_of_its_user_and_no_others() {
    let house = House::container(rules(vec![user(me()), Condition::Endpoint("here".to_owned())]));
    let ticket = |uid| house.world.ticket_for("reader", uid, Duration::from_hours(1));
    let mut stream = house.connect().await;
    assert_eq!(get(&mut stream, "/v1/credentials", &ticket(me())).await, 200);
    // Root may stand for others, who have forwarded their request.
    house.desk.govern(rules(vec![user(SOMEBODY + 1)]));
    let stolen = if geteuid().is_root() { 200 } else { 403 };
    assert_eq!(get(&mut stream, "/v1/credentials", &ticket(SOMEBODY + 1)).await, stolen);
    assert_eq!(get(&mut stream, "/v1/credentials", &ticket(SOMEBODY + 2)).await, 403);
}
