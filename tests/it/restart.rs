//! Sessions outlive a restart: the daemon's own broker, source and store, which are dropped as a SIGKILL would, against the
//! sandbox, which counts every call; codes come from a person, who is asked once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use credbroker::model::{Clock, FailureKind};
use credbroker::policy::{Access, Action, Decision, Grant};
use credbroker::seal::Key;
use credbroker::store::{Keeping, Store};
use tokio::time::sleep;

use crate::mfa::World;
use crate::wire::{name, user};

/// A world in which a person has logged in, and `a` and `b` were asked for.
async fn logged_in() -> World {
    let mut world = World::new("\"prompt\"");
    kill(&mut world, 1).await;
    assert_eq!(world.ask("a").await.unwrap_err().kind, FailureKind::PersonNeeded);
    log_in(&world).await;
    for profile in ["a", "b"] {
        world.ask(profile).await.unwrap();
    }
    assert_eq!((world.sessions(), world.roles()), (1, 2));
    world
}

async fn log_in(world: &World) {
    world.deliver(&world.shown(0)).unwrap();
    world.renew().await.unwrap();
}

/// Ends the daemon without a word, and starts another, whose store has another key if `key` is another.
async fn kill(world: &mut World, key: u8) {
    let (clock, store) = (world.clock, store(world, key));
    kill_at(world, clock, store).await;
}

async fn kill_at(world: &mut World, clock: Clock, store: Store) {
    // What was answered is being written.
    sleep(Duration::from_secs(1)).await;
    world.start(clock, store);
    sleep(Duration::from_secs(1)).await;
}

fn store(world: &World, key: u8) -> Store {
    let store = Store::sealed(sessions(world), Key::new([9; 32]));
    store.unlock(Key::new([key; 32]), "a test");
    store
}

fn sessions(world: &World) -> PathBuf {
    world.directory.path().join("state/sessions")
}

fn files(world: &World) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(sessions(world)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

fn configure(world: &World, from: &str, to: &str) {
    let path = world.directory.path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

fn grant(profile: &str) -> Grant {
    let caller = user(1000);
    match Access::new(1000).decide(&caller, &name(profile), Action::Login, SystemTime::UNIX_EPOCH) {
        Decision::Allow(grant) => grant,
        Decision::Refuse(reason) => panic!("{reason}"),
    }
}

/// The key id of `profile`, from whatever the daemon does for it.
async fn key_id(world: &World, profile: &str) -> String {
    world.ask(profile).await.unwrap().credentials().access_key_id.clone()
}

async fn needs_a_person(world: &World, profile: &str) -> bool {
    world.ask(profile).await.is_err_and(|failure| failure.kind == FailureKind::PersonNeeded)
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_no_code_is_asked_and_the_sts_is_not_either() {
    let mut world = logged_in().await;
    let held = world.ask("a").await.unwrap();
    let validity = held.credentials().validity;
    let before = [key_id(&world, "a").await, key_id(&world, "b").await];
    for _ in 0..3 {
        sleep(Duration::from_mins(5)).await;
        kill(&mut world, 1).await;
        assert_eq!([key_id(&world, "a").await, key_id(&world, "b").await], before);
        let again = world.ask("a").await.unwrap();
        assert_eq!(again.credentials().validity, validity);
        assert_eq!(again.credentials().arn, held.credentials().arn);
        assert_eq!((world.sessions(), world.roles()), (1, 2));
    }
    // `c` was not asked for before: the session of the device serves it too.
    world.ask("c").await.unwrap();
    assert_eq!((world.sessions(), world.roles()), (1, 3));
    // Renewals go on, hour after hour.
    sleep(Duration::from_hours(5)).await;
    world.ask("a").await.unwrap();
    kill(&mut world, 1).await;
    world.ask("a").await.unwrap();
    assert_eq!(world.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_device_is_there_before_anybody_asks() {
    let mut world = logged_in().await;
    kill(&mut world, 1).await;
    assert!(world.lease("session").view().held.is_some());
    assert!(world.lease("a").view().held.is_none(), "the rest is read when it is asked for");
    assert!(world.broker.waiting().is_empty());
    // Its end is announced though nobody has asked since.
    kill(&mut world, 1).await;
    assert!(world.broker.next_warning().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_changed_plan_loses_its_role_and_keeps_the_session_of_the_device() {
    let mut world = logged_in().await;
    let (a, b) = (key_id(&world, "a").await, key_id(&world, "b").await);
    configure(&world, "[profile.a]", "[profile.a]\nduration_seconds = 1800");
    kill(&mut world, 1).await;
    assert_ne!(key_id(&world, "a").await, a);
    assert_eq!(key_id(&world, "b").await, b);
    assert_eq!((world.sessions(), world.roles()), (1, 3));
    // How codes are had, and how long the next session shall live, is nothing to this one.
    configure(&world, "session = \"auto\"", "session = \"24h\"");
    kill(&mut world, 1).await;
    assert_eq!(key_id(&world, "b").await, b);
    assert_eq!(world.sessions(), 1);
    configure(&world, "key.json", "other.json");
    fs::copy(world.directory.path().join("key.json"), world.directory.path().join("other.json"))
        .unwrap();
    kill(&mut world, 1).await;
    assert!(needs_a_person(&world, "a").await, "another base");
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_nothing() {
    let mut world = logged_in().await;
    let clock = world.clock;
    kill_at(&mut world, clock, Store::none()).await;
    assert!(needs_a_person(&world, "a").await);
}

#[tokio::test(start_paused = true)]
async fn another_key_makes_all_files_foreign_and_nothing_worse() {
    let mut world = logged_in().await;
    kill(&mut world, 2).await;
    assert!(needs_a_person(&world, "a").await);
    let aside =
        files(&world).iter().filter(|it| it.extension().is_some_and(|it| it == "bad")).count();
    assert_eq!(aside, 2, "those that were looked at");
    assert_eq!(world.broker.store().condition().aside, 2);
    sleep(Duration::from_mins(1)).await;
    log_in(&world).await;
    world.ask("a").await.unwrap();
    kill(&mut world, 2).await;
    world.ask("a").await.unwrap();
    assert_eq!((world.sessions(), world.roles()), (2, 3));
}

/// A hundred times one of the files is changed at a random byte, or cut there.
#[tokio::test(start_paused = true)]
async fn a_corrupt_file_costs_its_session_and_nothing_else() {
    let mut world = logged_in().await;
    let seed = credbroker::seal::random::<8>().unwrap();
    let mut draw = u64::from_be_bytes(seed);
    for round in 0..100 {
        sleep(Duration::from_secs(40)).await;
        if world.lease("session").view().held.is_none() {
            log_in(&world).await;
        }
        for profile in ["a", "b"] {
            world.ask(profile).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let whole: Vec<_> =
            files(&world).into_iter().filter(|it| it.extension().is_none()).collect();
        assert_eq!(whole.len(), 3, "{seed:?} {round}");
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = usize::try_from(draw >> 33).unwrap();
        let file = &whole[random % whole.len()];
        let mut bytes = fs::read(file).unwrap();
        let at = random / whole.len() % bytes.len();
        if random % 7 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << (random % 8);
        }
        fs::write(file, bytes).unwrap();
        let (sessions, roles) = (world.sessions(), world.roles());
        kill(&mut world, 1).await;
        for profile in ["a", "b"] {
            let _ = world.ask(profile).await;
        }
        let lost = (world.sessions() - sessions, world.roles() - roles);
        assert!(lost.0 == 0 && lost.1 <= 1, "{seed:?} {round} {lost:?}");
    }
    assert!(files(&world).iter().filter(|it| it.extension().is_some()).count() <= 16);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_or_signed_out_of_stays_so_after_a_kill() {
    let mut world = logged_in().await;
    let b = key_id(&world, "b").await;
    world.lease("a").forget().await;
    assert_eq!(files(&world).len(), 2);
    kill(&mut world, 1).await;
    world.ask("a").await.unwrap();
    assert_eq!(key_id(&world, "b").await, b);
    assert_eq!((world.sessions(), world.roles()), (1, 3));
    // Right after a start, when nothing was read yet.
    kill(&mut world, 1).await;
    world.broker.sign_out(&grant("a")).await;
    assert!(files(&world).is_empty(), "{:?}", files(&world));
    assert!(needs_a_person(&world, "b").await);
    kill(&mut world, 1).await;
    assert!(needs_a_person(&world, "a").await && needs_a_person(&world, "b").await);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_swept() {
    let mut world = logged_in().await;
    configure(&world, "role/B", "role/C");
    kill(&mut world, 1).await;
    assert_eq!(files(&world).len(), 3, "nothing is in a hurry");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(files(&world).len(), 2, "the role that no plan has any more");
    sleep(Duration::from_hours(12)).await;
    assert!(needs_a_person(&world, "a").await, "the session has ended");
    sleep(Duration::from_hours(26)).await;
    assert!(files(&world).is_empty(), "{:?}", files(&world));
    assert_eq!(world.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_nobody_asks_for_is_let_go_on_disk_too() {
    let world = logged_in().await;
    sleep(Duration::from_hours(3)).await;
    assert!(world.lease("a").view().held.is_none());
    assert_eq!(files(&world).len(), 1, "the session of the device");
}

/// Nobody knows how long a session lives that was issued in the future.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_uses_nothing_and_loses_nothing() {
    let mut world = logged_in().await;
    let a = key_id(&world, "a").await;
    let (right, store_then) = (world.clock, store(&world, 1));
    let behind = Clock::simulated(right.now() - Duration::from_hours(2));
    kill_at(&mut world, behind, store_then).await;
    assert!(needs_a_person(&world, "a").await);
    kill(&mut world, 1).await;
    assert_eq!(key_id(&world, "a").await, a);
    assert_eq!((world.sessions(), world.roles()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_late_finds_what_is_held_and_what_is_kept() {
    let mut world = World::new("\"prompt\"");
    let clock = world.clock;
    let closed = Store::sealed(sessions(&world), Key::new([9; 32]));
    closed.lock("the keyring is locked; sign in to the desktop");
    kill_at(&mut world, clock, closed.clone()).await;
    log_in(&world).await;
    world.ask("a").await.unwrap();
    assert!(files(&world).is_empty());
    assert_eq!(closed.condition().keeping, Keeping::Waiting);
    closed.unlock(Key::new([1; 32]), "a test");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(files(&world).len(), 2);

    // The next start has no key at first, so that a person is asked for, and none when it comes.
    let closed = Store::sealed(sessions(&world), Key::new([9; 32]));
    kill_at(&mut world, clock, closed.clone()).await;
    assert!(needs_a_person(&world, "a").await);
    closed.unlock(Key::new([1; 32]), "a test");
    sleep(Duration::from_secs(1)).await;
    world.ask("a").await.unwrap();
    assert_eq!((world.sessions(), world.roles()), (1, 1));
}
