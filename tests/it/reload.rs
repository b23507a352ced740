//! A running daemon whose files change: real files and the kernel's own word on them, real sockets, and an STS of ours
//! that counts its calls.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use credbroker::broker::{Broker, Held};
use credbroker::config::{self, Surroundings};
use credbroker::daemon::{Daemon, Reload};
use credbroker::endpoint::About;
use credbroker::endpoint::control::wire::ConfigurationStatus;
use credbroker::endpoint::server::{Shutdown, Stop};
use credbroker::model::{Caller, FailureKind};
use credbroker::policy::{Access, Action, Decision};
use credbroker::systemd::Sockets;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::fake_daemon::now;
use crate::wire::{Step, Sts, name};

/// A daemon that runs by the files of a directory of its own.
struct Stand {
    directory: tempfile::TempDir,
    sts: Arc<Sts>,
    broker: Broker,
    reload: Reload,
    about: watch::Receiver<About>,
    stop: Stop,
    serving: JoinHandle<()>,
}

impl Stand {
    /// By the configuration `text`, which `lay` may put elsewhere than into `config.toml` of the directory it is given.
    fn laid(text: &str, lay: impl FnOnce(&Path, &str)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("base.json"), KEY).unwrap();
        private(&directory.path().join("base.json"));
        lay(directory.path(), &in_full(text));
        let surroundings = Surroundings {
            home: Some(directory.path().to_owned()),
            user: "me".to_owned(),
            host: "here".to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            ..Surroundings::default()
        };
        let config = config::load(&directory.path().join("config.toml"), &surroundings).unwrap();
        let sts = Sts::at(now());
        let (source, clock) = (Arc::<Sts>::clone(&sts), sts.clock());
        let daemon =
            Daemon::build(config, &surroundings, source, clock, Arc::new(Sockets::none())).unwrap();
        let (broker, reload, about) = (daemon.broker().clone(), daemon.reload(), daemon.about());
        let (stop, shutdown) = Shutdown::new();
        let serving = tokio::spawn(daemon.run(shutdown));
        Self { directory, sts, broker, reload, about, stop, serving }
    }

    fn new(text: &str) -> Self {
        Self::laid(text, |directory, text| {
            fs::write(directory.join("config.toml"), text).unwrap();
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("config.toml"), in_full(text)).unwrap();
    }

    fn profiles(&self) -> Vec<String> {
        self.broker.plans().iter().map(|plan| plan.profile.to_string()).collect()
    }

    fn configuration(&self) -> ConfigurationStatus {
        self.about.borrow().configuration.clone()
    }

    fn address(&self, endpoint: &str) -> SocketAddr {
        let about = self.about.borrow();
        let found = about.endpoints.iter().find(|it| it.name == endpoint).unwrap();
        found.address.parse().unwrap()
    }

    /// What the owner is lent.
    async fn lent(&self, profile: &str) -> Arc<Held> {
        let owner = nix::unistd::geteuid().as_raw();
        let caller = Caller::at_control(owner);
        let decision =
            Access::new(owner).decide(&caller, &name(profile), Action::Use, SystemTime::UNIX_EPOCH);
        let Decision::Allow(grant) = decision else { panic!("the owner may") };
        self.broker.lease(&grant).unwrap().credentials(DEADLINE).await.unwrap()
    }

    async fn end(self) {
        self.stop.now();
        self.serving.await.unwrap();
    }
}

#[tokio::test]
async fn every_way_in_which_a_file_is_written_is_noticed() {
    let stand = Stand::new(&role("first"));
    let (path, beside) = (stand.path("config.toml"), stand.path("config.toml.tmp"));
    let text = |name| in_full(&role(name));

    fs::write(&path, text("in-place")).unwrap();
    until("what was written in place", || stand.profiles() == ["in-place"]).await;

    fs::write(&beside, text("renamed")).unwrap();
    fs::rename(&beside, &path).unwrap();
    until("what was renamed over it", || stand.profiles() == ["renamed"]).await;

    // As vim does by default: the old file moves away, and a new one is made.
    fs::rename(&path, stand.path("config.toml~")).unwrap();
    fs::write(&path, text("moved-away")).unwrap();
    until("what was made anew", || stand.profiles() == ["moved-away"]).await;

    fs::write(stand.path("elsewhere"), text("linked")).unwrap();
    symlink("elsewhere", &beside).unwrap();
    fs::rename(&beside, &path).unwrap();
    until("what a link leads to", || stand.profiles() == ["linked"]).await;

    fs::write(stand.path("elsewhere"), text("behind-the-link")).unwrap();
    until("what was written behind the link", || stand.profiles() == ["behind-the-link"]).await;
    stand.end().await;
}

/// As Kubernetes renews what it mounts: a link to a directory, `..data`, is swapped for one to another.
#[tokio::test]
async fn a_directory_that_is_swapped_under_its_files_is_noticed() {
    let make = |mount: &Path, version: &str, text: &str| {
        fs::create_dir_all(mount.join(version)).unwrap();
        fs::write(mount.join(version).join("config.toml"), text).unwrap();
        symlink(version, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    let stand = Stand::laid(&role("first"), |directory, text| {
        make(directory, "..1", text);
        symlink("..data/config.toml", directory.join("config.toml")).unwrap();
    });
    make(stand.directory.path(), "..2", &in_full(&role("second")));
    fs::remove_dir_all(stand.path("..1")).unwrap();
    until("the second", || stand.profiles() == ["second"]).await;
    make(stand.directory.path(), "..3", &in_full(&role("third")));
    fs::remove_dir_all(stand.path("..2")).unwrap();
    until("the third", || stand.profiles() == ["third"]).await;
    stand.end().await;
}

#[tokio::test]
async fn a_touch_changes_nothing() {
    let stand = Stand::new(&role("reader"));
    let before = stand.broker.plans();
    stand.configure(&role("reader"));
    // What comes after it has been noticed, so that has been passed over.
    stand.configure("[profile.x]\nrole_arn = 3\n");
    until("the fault", || !stand.configuration().faults.is_empty()).await;
    stand.configure(&role("reader"));
    until("the old text", || stand.configuration().faults.is_empty()).await;
    assert!(Arc::ptr_eq(&stand.broker.plans()[0], &before[0]), "nothing was put in its place");
    stand.end().await;
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_until_it_is_mended() {
    let stand = Stand::new(&role("reader"));
    let held = stand.lent("reader").await;
    stand.configure(&format!("{}durration_seconds = 900\n", role("other")));
    until("the fault", || !stand.configuration().faults.is_empty()).await;
    let shown = stand.configuration();
    let place = format!("{}:9:1: unknown key", stand.path("config.toml").display());
    assert!(shown.faults[0].starts_with(&place), "{:?}", shown.faults);
    assert!(shown.faulty_since.is_some());
    assert_eq!(stand.profiles(), ["reader"]);
    assert!(Arc::ptr_eq(&stand.lent("reader").await, &held));
    // Cut off in the middle of a key, as a reader may find a file that is being written.
    fs::write(stand.path("config.toml"), "[profile.bas").unwrap();
    until("the other fault", || stand.configuration().faults != shown.faults).await;
    assert_eq!(stand.profiles(), ["reader"]);
    fs::remove_file(stand.path("config.toml")).unwrap();
    let gone = |it: &ConfigurationStatus| it.faults.iter().any(|it| it.contains("does not exist"));
    until("its absence", || gone(&stand.configuration())).await;
    assert_eq!(stand.profiles(), ["reader"]);
    stand.configure(&format!("{}{}", role("reader"), role("other")));
    until("the good one", || stand.profiles() == ["other", "reader"]).await;
    assert!(stand.configuration().faults.is_empty());
    assert!(Arc::ptr_eq(&stand.lent("reader").await, &held), "what is held lives on");
    assert_eq!(stand.sts.calls(), 1);
    stand.end().await;
}

/// What a configuration names is part of it, also where it is missing.
#[tokio::test]
async fn a_file_that_is_named_mends_the_configuration_when_it_comes() {
    let stand = Stand::new(&role("reader"));
    let scoped = format!("{}policy = {{ file = \"policies/scope.json\" }}\n", role("scoped"));
    stand.configure(&scoped);
    until("the fault", || !stand.configuration().faults.is_empty()).await;
    fs::create_dir(stand.path("policies")).unwrap();
    let policy = |effect| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"s3:*","Resource":"*"}}]}}"#
        )
    };
    fs::write(stand.path("policies/scope.json"), policy("Allow")).unwrap();
    until("the profile", || stand.profiles() == ["scoped"]).await;
    let first = stand.lent("scoped").await;
    fs::write(stand.path("policies/scope.json"), policy("Deny")).unwrap();
    let before = stand.broker.plans();
    until("the other policy", || stand.broker.plans() != before).await;
    let second = stand.lent("scoped").await;
    assert_ne!(first.credentials().access_key_id, second.credentials().access_key_id);
    stand.end().await;
}

#[tokio::test]
async fn only_what_has_changed_is_touched() {
    let stand = Stand::new(&format!("{}{}", role("reader"), role("writer")));
    let (reader, writer) = (stand.lent("reader").await, stand.lent("writer").await);
    assert_eq!(stand.sts.calls(), 2);
    let changed = format!("{}{}duration_seconds = 900\n", role("reader"), role("writer"));
    let before = stand.broker.plans();
    stand.configure(&changed);
    until("the other plan", || stand.broker.plans() != before).await;
    assert!(Arc::ptr_eq(&stand.lent("reader").await, &reader));
    assert!(!Arc::ptr_eq(&stand.lent("writer").await, &writer));
    assert_eq!(stand.sts.calls(), 3);
    stand.end().await;
}

#[tokio::test]
async fn a_key_that_is_replaced_is_tried_at_once() {
    let stand = Stand::new(&format!("{}{}", role("reader"), role("writer")));
    // From here on the files are known.
    stand.reload.now().await;
    let reader = stand.lent("reader").await;
    stand.sts.then(Step::Fail(FailureKind::Refused, "InvalidClientTokenId", "no such key"));
    let owner = nix::unistd::geteuid().as_raw();
    let caller = Caller::at_control(owner);
    let decision =
        Access::new(owner).decide(&caller, &name("writer"), Action::Use, SystemTime::UNIX_EPOCH);
    let Decision::Allow(grant) = decision else { panic!("the owner may") };
    let lease = stand.broker.lease(&grant).unwrap();
    lease.credentials(DEADLINE).await.unwrap_err();
    assert_eq!(stand.sts.calls(), 2);
    fs::write(stand.path("new"), KEY.replace("AKIA", "AKIB")).unwrap();
    private(&stand.path("new"));
    fs::rename(stand.path("new"), stand.path("base.json")).unwrap();
    until("the session", || lease.view().held.is_some()).await;
    assert_eq!(stand.sts.calls(), 3);
    assert!(Arc::ptr_eq(&stand.lent("reader").await, &reader), "what is held lives on");
    stand.end().await;
}

#[tokio::test]
async fn a_listener_moves_and_the_others_do_not_notice() {
    let [first, second, third] = free_ports();
    let stand = Stand::new(&format!("{}{}{}", at("a", first), at("b", second), role("reader")));
    let mut connection = TcpStream::connect(("127.0.0.1", first)).await.unwrap();
    assert_eq!(ask(&mut connection).await, "401");
    stand.configure(&format!("{}{}{}", at("a", first), at("b", third), role("reader")));
    until("the move", || stand.address("b").port() == third).await;
    assert_eq!(ask(&mut TcpStream::connect(("127.0.0.1", third)).await.unwrap()).await, "401");
    closed(second).await;
    assert_eq!(ask(&mut connection).await, "401", "the same connection as before");
    // One goes, one comes.
    stand.configure(&format!("{}{}{}", at("a", first), at("c", second), role("reader")));
    until("the exchange", || stand.about.borrow().endpoints.iter().any(|it| it.name == "c")).await;
    assert_eq!(ask(&mut TcpStream::connect(("127.0.0.1", second)).await.unwrap()).await, "401");
    closed(third).await;
    assert_eq!(ask(&mut connection).await, "401");
    stand.end().await;
}

#[tokio::test]
async fn a_listener_that_cannot_move_stays_and_says_so() {
    let [first, second] = free_ports();
    let stand = Stand::new(&format!("{}{}", at("a", first), role("reader")));
    let other = TcpListener::bind(("127.0.0.1", second)).unwrap();
    stand.configure(&format!("{}{}{}", at("a", second), role("reader"), role("writer")));
    until("the rest of the change", || stand.profiles() == ["reader", "writer"]).await;
    let pending = stand.configuration().pending;
    assert!(pending[0].starts_with("endpoint a: something else listens on"), "{pending:?}");
    assert_eq!(stand.address("a").port(), first);
    assert_eq!(ask(&mut TcpStream::connect(("127.0.0.1", first)).await.unwrap()).await, "401");
    drop(other);
    stand.reload.now().await;
    assert_eq!(stand.configuration().pending, [""; 0]);
    assert_eq!(ask(&mut TcpStream::connect(("127.0.0.1", second)).await.unwrap()).await, "401");
    stand.end().await;
}

/// The port is never free for somebody else, and no connection to it is refused.
#[tokio::test]
async fn what_a_port_serves_changes_without_closing_it() {
    let [port] = free_ports();
    let serving = |profile: &str| {
        let imds = format!(
            "[[endpoint]]\nname = \"m\"\nkind = \"imds\"\naddress = \"127.0.0.1:{port}\"\n\
             http_tokens = \"optional\"\nprofiles = [\"{profile}\"]\n"
        );
        // Root, whom these tests may run as, is nobody there without a rule.
        let me = nix::unistd::geteuid();
        let rule = format!("[[allow]]\nprofiles = [\"{profile}\"]\nuser = {me}\n");
        format!("{imds}{rule}{}{}", role("reader"), role("writer"))
    };
    let stand = Stand::new(&serving("reader"));
    let offered = async || {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let path = "/latest/meta-data/iam/security-credentials/";
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    assert_eq!(offered().await, "reader");
    stand.configure(&serving("writer"));
    let deadline = Instant::now() + DEADLINE;
    while offered().await != "writer" {
        assert!(Instant::now() < deadline, "the port never served the other profile");
    }
    stand.end().await;
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_said() {
    let stand = Stand::new(&role("reader"));
    let moved = in_full(&role("reader")).replace("\"state\"", "\"other\"");
    fs::write(stand.path("config.toml"), moved).unwrap();
    let said = ["state_dir takes effect with the next start"];
    until("the word", || stand.configuration().pending == said).await;
    assert!(!stand.path("other").exists());
    stand.configure(&role("reader"));
    until("the old place", || stand.configuration().pending.is_empty()).await;
    stand.end().await;
}

/// Waits until `true_now`; the time it may take is for the slowest of machines.
async fn until(what: &str, true_now: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !true_now() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn closed(port: u16) {
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        assert!(Instant::now() < deadline, "somebody still listens on {port}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The status of an answer, on a connection that stays open.
async fn ask(connection: &mut TcpStream) -> String {
    let request = "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
    String::from_utf8(answer).unwrap().split(' ').nth(1).unwrap().to_owned()
}

fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn in_full(text: &str) -> String {
    format!(
        "[daemon]\nstate_dir = \"state\"\ncontrol = \"run/control.sock\"\n\
         [profile.base]\naccess_key = {{ file = \"base.json\" }}\n{text}"
    )
}

fn at(endpoint: &str, port: u16) -> String {
    format!(
        "[[endpoint]]\nname = \"{endpoint}\"\nkind = \"container\"\naddress = \"127.0.0.1:{port}\"\n"
    )
}

fn role(profile: &str) -> String {
    format!(
        "[profile.{profile}]\nsource_profile = \"base\"\n\
         role_arn = \"arn:aws:iam::123456789012:role/{profile}\"\n"
    )
}

const KEY: &str =
    r#"{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"topSecretKeyOfTheRoot"}"#;

const DEADLINE: Duration = Duration::from_secs(20);
