//! A rotation that is stopped at every point, and then run again: on real files, and the sandbox's IAM or a gateway that
//! keeps keys as Ceph does.

mod ceph;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use credbroker::iam::KeyStatus;
use credbroker::iam::rotation::{
    Awaited, Desk, Facts, Maker, Outcome, Progress, Rehearsal, Seen, Step, Terms, World, next, run,
};
use credbroker::model::{
    Failure, FailureKind, KeySource, LongTermKey, ProfileName, parse_timestamp,
};
use credbroker::sandbox::{Sandbox, SandboxConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::advance;

use crate::sandbox::client::{DEMO, Keys, Reply, Request, START, with_config};

/// Where a user's keys are kept.
trait Remote {
    async fn create(&self, signer: &LongTermKey, named: Option<&str>) -> LongTermKey;

    async fn deactivate(&self, signer: &LongTermKey, id: &str);

    async fn delete(&self, signer: &LongTermKey, id: &str);

    async fn keys(&self, signer: &LongTermKey) -> Vec<Seen>;

    /// Whether the journal stays when a rotation is over.
    fn is_ageless(&self) -> bool {
        false
    }

    fn maker(&self) -> Maker {
        Maker::Iam
    }

    /// Keys of the user that are no business of the rotation.
    fn others(&self) -> Vec<String> {
        Vec::new()
    }

    async fn serves(&self, key: &LongTermKey) -> bool;
}

/// A user, and the files of a rotation of its key.
struct User<R> {
    directory: tempfile::TempDir,
    remote: R,
    started: tokio::time::Instant,
}

/// The keys that a user begins with.
#[derive(Clone, Copy, Debug)]
enum Start {
    One,
    SpareIsIdle,
    SpareIsOff,
}

impl Start {
    /// A user of the sandbox.
    async fn user(self) -> User<Sandbox> {
        let text = SandboxConfig::example();
        let text = text.replace("propagation  = \"0s\"", "propagation  = \"10s\"");
        let demo = key(DEMO.0, DEMO.1);
        let user = User::new(with_config(&text), &demo);
        match self {
            Self::One => {}
            Self::SpareIsIdle => {
                user.remote.create(&demo, None).await;
                advance(91 * DAY).await;
            }
            Self::SpareIsOff => {
                let spare = user.remote.create(&demo, None).await;
                user.remote.deactivate(&demo, &spare.access_key_id).await;
            }
        }
        user
    }
}

async fn send(sandbox: &Sandbox, action: &str, key: &LongTermKey, more: &[(&str, &str)]) -> Reply {
    let mut request = Request::new(action, keys(key));
    if action != "GetCallerIdentity" {
        request = request.with("Version", "2010-05-08");
        (request.service, request.region) = ("iam".into(), "us-east-1".into());
    }
    for (name, value) in more {
        request = request.with(name, value);
    }
    request.send(sandbox).await
}

async fn iam(sandbox: &Sandbox, action: &str, key: &LongTermKey, more: &[(&str, &str)]) -> Reply {
    let reply = send(sandbox, action, key, more).await;
    assert_eq!(reply.status, 200, "{action}: {}", reply.body);
    reply
}

impl Remote for Sandbox {
    async fn create(&self, signer: &LongTermKey, named: Option<&str>) -> LongTermKey {
        assert_eq!(named, None);
        let made = iam(self, "CreateAccessKey", signer, &[]).await;
        key(&made.text("AccessKeyId"), &made.text("SecretAccessKey"))
    }

    async fn deactivate(&self, signer: &LongTermKey, id: &str) {
        let off = [("AccessKeyId", id), ("Status", "Inactive")];
        iam(self, "UpdateAccessKey", signer, &off).await;
    }

    async fn delete(&self, signer: &LongTermKey, id: &str) {
        iam(self, "DeleteAccessKey", signer, &[("AccessKeyId", id)]).await;
    }

    async fn keys(&self, signer: &LongTermKey) -> Vec<Seen> {
        let list = iam(self, "ListAccessKeys", signer, &[]).await.body;
        let (ids, states) = (texts(&list, "AccessKeyId"), texts(&list, "Status"));
        let mut seen = Vec::new();
        for ((id, status), created) in ids.iter().zip(states).zip(texts(&list, "CreateDate")) {
            let used = iam(self, "GetAccessKeyLastUsed", signer, &[("AccessKeyId", id)]).await;
            let is_active = status == "Active";
            seen.push(Seen {
                created: parse_timestamp(&created),
                id: id.clone(),
                last_used: parse_timestamp(&used.text("LastUsedDate")),
                status: Some(if is_active { KeyStatus::Active } else { KeyStatus::Inactive }),
            });
        }
        seen
    }

    async fn serves(&self, key: &LongTermKey) -> bool {
        send(self, "GetCallerIdentity", key, &[]).await.status == 200
    }
}

impl<R: Remote> User<R> {
    /// A user whose key is `key`.
    fn new(remote: R, key: &LongTermKey) -> Self {
        let (directory, started) = (tempfile::tempdir().unwrap(), tokio::time::Instant::now());
        let user = Self { directory, remote, started };
        let json = serde_json::json!({
            "Version": 1,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key.expose_secret(),
        });
        fs::write(user.path(), json.to_string()).unwrap();
        fs::set_permissions(user.path(), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        user
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("base.json")
    }

    fn now(&self) -> SystemTime {
        parse_timestamp(START).unwrap() + self.started.elapsed()
    }

    /// Somebody to run it, who is stopped at the point of that number.
    fn runner(&self, stop_at: Option<usize>) -> Runner<'_, R> {
        let source = KeySource::File(self.path());
        let desk = Desk::open(self.directory.path(), &source, &profile()).unwrap();
        Runner { desk, points: Vec::new(), stop_at, user: self }
    }

    /// Runs it whenever it is due, until it is done.
    async fn finish(&self) {
        for _ in 0..8 {
            match run(&mut self.runner(None), &Terms::usual(None)).await {
                Ok(Outcome::Done { .. }) => return,
                Ok(Outcome::Waiting { until, .. }) => {
                    advance(until.duration_since(self.now()).unwrap()).await;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("it never ends");
    }

    /// Asserts that one key is left of those that the rotation is about, which is in its place and works.
    async fn check(&self, before: &str, point: &str) {
        let stored = self.runner(None).desk.stored().await.unwrap();
        let mut ids: Vec<_> =
            self.remote.keys(&stored).await.into_iter().map(|key| key.id).collect();
        ids.retain(|id| !self.remote.others().contains(id));
        assert_eq!(ids, [stored.access_key_id.as_str()], "{point}");
        assert_ne!(stored.access_key_id, before, "{point}");
        assert_eq!(names(self.directory.path()), ["base.json", "rotation"], "{point}");
        let mut left = vec!["base.json", "base.lock"];
        left.retain(|name| *name != "base.json" || self.remote.is_ageless());
        assert_eq!(names(&self.directory.path().join("rotation")), left, "{point}");
    }
}

/// The world as a run sees it: before and after whatever changes it there is a point at which the run may be stopped.
struct Runner<'a, R> {
    desk: Desk,
    points: Vec<String>,
    stop_at: Option<usize>,
    user: &'a User<R>,
}

impl<R: Remote> Runner<'_, R> {
    /// A point: whoever uses the stored key here is served.
    async fn point(&mut self, name: String) -> Result<(), Failure> {
        let stored = self.desk.stored().await?;
        assert!(self.user.remote.serves(&stored).await, "{name}");
        let secret = stored.secret_access_key.expose_secret();
        let journal = self.user.directory.path().join("rotation/base.json");
        assert!(!fs::read_to_string(journal).unwrap_or_default().contains(secret), "{name}");
        self.points.push(name);
        let is_stopped = self.stop_at.is_some_and(|at| self.points.len() > at);
        if is_stopped { Err(stopped()) } else { Ok(()) }
    }

    async fn around<T>(
        &mut self,
        name: &str,
        act: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.point(format!("before {name}")).await?;
        let done = act(self).await?;
        self.point(format!("after {name}")).await?;
        Ok(done)
    }
}

impl<R: Remote> World for Runner<'_, R> {
    async fn commit(&mut self, old: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.around("commit", async |it| it.desk.commit(old, new).await).await
    }

    async fn create(&mut self, named: Option<&str>) -> Result<LongTermKey, Failure> {
        self.around("create", async |it| {
            let stored = it.desk.stored().await?;
            Ok(it.user.remote.create(&stored, named).await)
        })
        .await
    }

    async fn deactivate(&mut self, id: &str) -> Result<(), Failure> {
        self.around("deactivate", async |it| {
            let stored = it.desk.stored().await?;
            it.user.remote.deactivate(&stored, id).await;
            Ok(())
        })
        .await
    }

    async fn delete(&mut self, id: &str) -> Result<(), Failure> {
        self.around("delete", async |it| {
            let stored = it.desk.stored().await?;
            it.user.remote.delete(&stored, id).await;
            Ok(())
        })
        .await
    }

    async fn discard(&mut self) -> Result<(), Failure> {
        self.around("discard", async |it| it.desk.discard().await).await
    }

    async fn journal(&mut self) -> Result<Option<Progress>, Failure> {
        self.desk.journal()
    }

    async fn keys(&mut self) -> Result<Vec<Seen>, Failure> {
        let stored = self.desk.stored().await?;
        Ok(self.user.remote.keys(&stored).await)
    }

    async fn knows(&mut self, key: &LongTermKey) -> Result<bool, Failure> {
        Ok(self.user.remote.serves(key).await)
    }

    fn maker(&mut self) -> Result<Maker, Failure> {
        Ok(self.user.remote.maker())
    }

    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure> {
        let text = format!("{progress:?}");
        let word = text.trim_start_matches("Some(").split([' ', ')']).next().unwrap();
        self.around(&format!("note {word}"), async |it| it.desk.note(progress)).await
    }

    fn now(&self) -> SystemTime {
        self.user.now()
    }

    async fn stage(&mut self, key: &LongTermKey) -> Result<(), Failure> {
        self.around("stage", async |it| it.desk.stage(key).await).await
    }

    async fn staged(&mut self) -> Result<Option<LongTermKey>, Failure> {
        self.desk.staged().await
    }

    async fn stored(&mut self) -> Result<String, Failure> {
        Ok(self.desk.stored().await?.access_key_id)
    }

    fn tell(&mut self, _: &Step) {}

    async fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        advance(time).await;
        Ok(())
    }
}

/// Stops a rotation of the key `before` at every point in turn, and runs it again after `pause`; the points there were.
async fn stop_everywhere<R: Remote>(
    user: impl AsyncFn() -> User<R>,
    before: &str,
    pause: Duration,
) -> Vec<String> {
    let mut points = Vec::new();
    for stop_at in 0.. {
        let user = user().await;
        // Runs follow one another as they are due, until one is stopped.
        let mut passed = 0;
        let point = loop {
            let mut runner = user.runner(Some(stop_at - passed));
            match run(&mut runner, &Terms::usual(None)).await {
                Ok(Outcome::Waiting { until, .. }) => {
                    passed += runner.points.len();
                    advance(until.duration_since(user.now()).unwrap()).await;
                }
                Ok(Outcome::Done { .. }) => return points,
                Err(failure) if failure.code == "Stopped" => {
                    break runner.points.swap_remove(stop_at - passed);
                }
                other => panic!("{stop_at}: {other:?}"),
            }
        };
        let point = format!("{stop_at}: {point}");
        advance(pause).await;
        user.finish().await;
        user.check(before, &point).await;
        points.push(point);
    }
    points
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stopped_with_one_key_and_goes_on_loses_nothing() {
    for pause in [Duration::ZERO, Duration::from_hours(1), 30 * DAY] {
        let points = stop_everywhere(async || Start::One.user().await, DEMO.0, pause).await;
        assert!(points.len() >= 20, "{points:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stopped_with_two_keys_and_goes_on_loses_nothing() {
    for start in [Start::SpareIsIdle, Start::SpareIsOff] {
        for pause in [Duration::ZERO, Duration::from_hours(1)] {
            let points = stop_everywhere(async || start.user().await, DEMO.0, pause).await;
            assert!(points.len() >= 26, "{points:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_tells_it_all_and_changes_nothing() {
    let user = Start::One.user().await;
    let mut runner = user.runner(None);
    let mut rehearsal = Rehearsal::of(&mut runner).await.unwrap();
    while let Outcome::Waiting { until, .. } =
        run(&mut rehearsal, &Terms::usual(None)).await.unwrap()
    {
        rehearsal.pass(until);
    }
    let days: Vec<_> = rehearsal
        .steps()
        .iter()
        .filter(|(_, step)| matches!(step, Step::Deactivate(id) | Step::Delete(id) if id == DEMO.0))
        .map(|(at, _)| at.duration_since(user.now()).unwrap().as_secs() / DAY.as_secs())
        .collect();
    assert_eq!(days, [1, 8]);
    assert!(runner.points.is_empty());
    assert_eq!(fs::read_to_string(user.path()).unwrap().matches(DEMO.0).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_rotations_of_one_key_do_not_meet() {
    let user = Start::One.user().await;
    let _first = user.runner(None);
    let source = KeySource::File(user.path());
    let second = Desk::open(user.directory.path(), &source, &profile()).unwrap_err();
    assert!(second.message.contains("another rotation of base is running"), "{second}");
}

fn facts(keys: &[(&str, KeyStatus, u64, Option<u64>)]) -> Facts {
    let day = |days: u64| parse_timestamp(START).unwrap() - DAY * u32::try_from(days).unwrap();
    let keys = keys.iter().map(|&(id, status, created, used)| Seen {
        created: Some(day(created)),
        id: id.to_owned(),
        last_used: used.map(day),
        status: Some(status),
    });
    Facts {
        keys: keys.collect(),
        maker: Maker::Iam,
        now: day(0),
        proven: false,
        staged: None,
        stored: "OLD".to_owned(),
    }
}

fn days_ago(days: u32) -> SystemTime {
    parse_timestamp(START).unwrap() - DAY * days
}

#[test]
fn a_young_key_is_left_alone() {
    let facts = facts(&[("OLD", KeyStatus::Active, 89, Some(0))]);
    let until = facts.now + DAY;
    let not_due = Step::End(Outcome::NotDue { key: "OLD".to_owned(), until });
    assert_eq!(next(None, &facts, &Terms::usual(Some(90 * DAY))), not_due);
    assert!(matches!(
        next(None, &facts, &Terms::usual(Some(89 * DAY))),
        Step::Note(Progress::Making { .. })
    ));
}

#[test]
fn a_second_key_that_is_used_is_not_taken_away() {
    for terms in [Terms::usual(None), Terms::hasty(None)] {
        for (created, used) in [(400, Some(89)), (89, None)] {
            let keys = [
                ("OLD", KeyStatus::Active, 400, Some(0)),
                ("SPARE", KeyStatus::Active, created, used),
            ];
            let step = next(None, &facts(&keys), &terms);
            let Step::End(Outcome::Stuck { why }) = step else { panic!("{step:?}") };
            assert!(why.contains("credbroker keys deactivate PROFILE SPARE"), "{why}");
        }
    }
}

#[test]
fn an_old_key_that_is_still_used_stays_and_one_that_was_turned_on_again_too() {
    let new = ("NEW", KeyStatus::Active, 9, Some(0));
    let mut facts = facts(&[("OLD", KeyStatus::Active, 400, Some(0)), new]);
    facts.stored = "NEW".to_owned();
    let (key, replaced_by) = ("OLD".to_owned(), Some("NEW".to_owned()));
    let since = days_ago(9);
    let retiring = Progress::Retiring { key: key.clone(), new: replaced_by.clone(), since };
    let step = next(Some(&retiring), &facts, &Terms::usual(None));
    let until = facts.now + DAY;
    let what = Awaited::Quiet(true);
    assert_eq!(step, Step::End(Outcome::Waiting { key: key.clone(), until, what }));
    let off = Progress::Off { key: key.clone(), new: replaced_by.clone(), since };
    let again = Progress::Retiring { key, new: replaced_by, since: facts.now };
    assert_eq!(next(Some(&off), &facts, &Terms::usual(None)), Step::Note(again));
}

#[test]
fn the_key_in_use_is_never_turned_off_or_deleted() {
    let facts =
        facts(&[("OLD", KeyStatus::Active, 400, None), ("NEW", KeyStatus::Active, 99, None)]);
    let (key, since) = ("OLD".to_owned(), days_ago(99));
    for new in [None, Some("NEW".to_owned())] {
        let off = Progress::Off { key: key.clone(), new: new.clone(), since };
        let retiring = Progress::Retiring { key: key.clone(), new, since };
        for progress in [off, retiring] {
            assert_eq!(next(Some(&progress), &facts, &Terms::hasty(None)), Step::Forget);
        }
    }
}

#[test]
fn a_key_that_somebody_else_made_meanwhile_is_not_taken_for_a_lost_one() {
    let making = |since| Progress::Making {
        before: vec!["OLD".into()],
        named: None,
        old: "OLD".into(),
        since,
    };
    let other = |created, used| {
        facts(&[("OLD", KeyStatus::Active, 400, None), ("OTHER", KeyStatus::Active, created, used)])
    };
    let terms = Terms::usual(None);
    let lost = next(Some(&making(days_ago(3))), &other(3, None), &terms);
    assert_eq!(lost, Step::Delete("OTHER".to_owned()));
    for facts in [other(2, None), other(3, Some(1))] {
        assert_eq!(next(Some(&making(days_ago(3))), &facts, &terms), Step::Forget);
    }
}

fn profile() -> ProfileName {
    ProfileName::parse("base").unwrap()
}

fn key(id: &str, secret: &str) -> LongTermKey {
    LongTermKey { access_key_id: id.to_owned(), secret_access_key: SecretString::from(secret) }
}

fn keys(key: &LongTermKey) -> Keys {
    Keys {
        id: key.access_key_id.clone(),
        secret: key.secret_access_key.expose_secret().to_owned(),
        token: None,
    }
}

/// What is in `directory`.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What stands between the tags `name`, in its order.
fn texts(body: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let texts = body.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0));
    texts.map(str::to_owned).collect()
}

fn stopped() -> Failure {
    Failure::new(FailureKind::Unreachable, "Stopped", "stopped")
}

const DAY: Duration = Duration::from_hours(24);
