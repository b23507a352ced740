//! An enrolment that is stopped or fails at every point, and is then run again: on real files, and the sandbox's IAM.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use credbroker::iam::enrolment::{
    Facts, Kept, Outcome, Progress, SeedFile, Step, World, journal, next, run,
};
use credbroker::iam::{Journal, NewDevice};
use credbroker::model::{
    CodeSource, Failure, FailureKind, MfaDevice, MfaSerial, ProfileName, SecretSource,
};
use credbroker::sandbox::{Fault, FaultKind, Operation, Sandbox};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::advance;

use crate::rotation::names;
use crate::sandbox::client::{DEMO, Reply, Request, example};
use crate::sandbox::iam::{done, iam};
use crate::sandbox::iam_devices::code;

const SERIAL: &str = "arn:aws:iam::123456789012:mfa/phone";

/// Where the seed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    File,
    FileWithAnother,
    Phone,
}

/// What happens at the point that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// This one call fails, and it is not known what became of it.
    Fails,
    /// The process is killed.
    Kills,
}

/// A user in the sandbox, and the files of an enrolment.
struct User {
    directory: tempfile::TempDir,
    goal: Goal,
    /// Whether the user may list devices that nobody has.
    may_list: bool,
    sandbox: Sandbox,
    /// The seeds that a person has seen.
    seen: Vec<String>,
}

impl User {
    fn new(goal: Goal, may_list: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if goal == Goal::FileWithAnother {
            fs::write(directory.path().join("phone.seed"), "ANOTHER\n").unwrap();
        }
        Self { directory, goal, may_list, sandbox: example(), seen: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("phone.seed")
    }

    async fn run(
        &mut self,
        mishap: Option<(usize, Mishap)>,
    ) -> (Result<Outcome, Failure>, Vec<String>) {
        let profile = ProfileName::parse("base").unwrap();
        let serial = MfaSerial::parse(SERIAL).unwrap();
        let code = match self.goal {
            Goal::File | Goal::FileWithAnother => CodeSource::Totp(SecretSource::File(self.path())),
            Goal::Phone => CodeSource::Prompt,
        };
        let mut runner = Runner {
            file: SeedFile::of(&MfaDevice { serial, code }).unwrap(),
            is_dead: false,
            journal: journal(self.directory.path(), &profile).unwrap(),
            mishap,
            points: Vec::new(),
            user: self,
        };
        let outcome = run(&mut runner).await.map(|(outcome, _)| outcome);
        (outcome, runner.points)
    }

    async fn idle(&self) -> Vec<String> {
        let list = iam("ListVirtualMFADevices", DEMO).with("AssignmentStatus", "Unassigned");
        serials(&done(&list, &self.sandbox).await)
    }

    async fn enabled(&self) -> Vec<String> {
        serials(&done(&iam("ListMFADevices", DEMO), &self.sandbox).await)
    }

    /// Asserts that all is as it was before.
    async fn check_nothing(&self, point: &str) {
        assert_eq!((self.enabled().await, self.idle().await), (vec![], vec![]), "{point}");
        let before: &[&str] = match self.goal {
            Goal::File | Goal::Phone => &["enrolment"],
            Goal::FileWithAnother => &["enrolment", "phone.seed"],
        };
        assert_eq!(names(self.directory.path()), before, "{point}");
        self.check_journal(point);
    }

    /// Asserts that there is one device, which works with the seed that was kept or shown, and nothing else.
    async fn check_enrolled(&self, point: &str) {
        assert_eq!(self.enabled().await, [SERIAL], "{point}");
        assert_eq!(self.idle().await, [""; 0], "{point}");
        let after: &[&str] = match self.goal {
            Goal::File => &["enrolment", "phone.seed"],
            Goal::FileWithAnother => &["enrolment", "phone.seed", "phone.seed.old"],
            Goal::Phone => &["enrolment"],
        };
        assert_eq!(names(self.directory.path()), after, "{point}");
        let seed = match self.goal {
            Goal::File | Goal::FileWithAnother => fs::read_to_string(self.path()).unwrap(),
            Goal::Phone => self.seen.last().unwrap().clone(),
        };
        advance(Duration::from_mins(1)).await;
        session(&self.sandbox, seed.trim()).keys(&self.sandbox).await;
        self.check_journal(point);
    }

    fn check_journal(&self, point: &str) {
        assert_eq!(names(&self.directory.path().join("enrolment")), ["base.lock"], "{point}");
    }
}

fn session(sandbox: &Sandbox, seed: &str) -> Request {
    let request = Request::new("GetSessionToken", DEMO).with("SerialNumber", SERIAL);
    request.with("TokenCode", &code(seed, sandbox, 0))
}

/// The world as a run sees it: before and after whatever changes it there is a point at which something may happen.
struct Runner<'a> {
    file: Option<SeedFile>,
    is_dead: bool,
    journal: Journal<Progress>,
    mishap: Option<(usize, Mishap)>,
    points: Vec<String>,
    user: &'a mut User,
}

impl Runner<'_> {
    fn point(&mut self, name: String) -> Result<(), Failure> {
        let journal = self.user.directory.path().join("enrolment/base.json");
        let journal = fs::read_to_string(journal).unwrap_or_default();
        assert!(!self.user.seen.iter().any(|seed| journal.contains(seed)), "{name}: {journal}");
        let at = self.points.len();
        self.points.push(name);
        match self.mishap {
            _ if self.is_dead => Err(killed()),
            Some((meant, Mishap::Kills)) if at == meant => {
                self.is_dead = true;
                Err(killed())
            }
            Some((meant, Mishap::Fails)) if at == meant => {
                Err(Failure::new(FailureKind::Unreachable, "Failed", "it failed"))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn around<T>(
        &mut self,
        name: &str,
        act: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.point(format!("before {name}"))?;
        let done = act(self).await?;
        self.point(format!("after {name}"))?;
        Ok(done)
    }

    async fn ask(&self, request: Request) -> Result<Reply, Failure> {
        let reply = request.send(&self.user.sandbox).await;
        if reply.status == 200 {
            return Ok(reply);
        }
        Err(Failure::new(FailureKind::Refused, reply.text("Code"), reply.text("Message")))
    }

    /// The same, where what is not there need not be.
    async fn end(&self, request: Request) -> Result<(), Failure> {
        match self.ask(request).await {
            Err(failure) if failure.code == "NoSuchEntity" => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl World for Runner<'_> {
    fn can_prove(&self, _: Option<&Kept>) -> bool {
        true
    }

    async fn check(&mut self) -> Result<(), Failure> {
        self.file.as_ref().map_or(Ok(()), |file| file.check(true))
    }

    async fn create(&mut self) -> Result<NewDevice, Failure> {
        self.around("create", async |it| {
            let create = iam("CreateVirtualMFADevice", DEMO).with("VirtualMFADeviceName", "phone");
            let reply = it.ask(create).await?;
            let seed = STANDARD.decode(reply.text("Base32StringSeed")).unwrap();
            let seed = SecretString::from(String::from_utf8(seed).unwrap());
            Ok(NewDevice { seed, serial: reply.text("SerialNumber") })
        })
        .await
    }

    async fn delete(&mut self, serial: &str) -> Result<(), Failure> {
        let delete = iam("DeleteVirtualMFADevice", DEMO).with("SerialNumber", serial);
        self.around("delete", async |it| it.end(delete).await).await
    }

    async fn disable(&mut self, serial: &str) -> Result<(), Failure> {
        let disable = iam("DeactivateMFADevice", DEMO).with("SerialNumber", serial);
        self.around("disable", async |it| it.end(disable).await).await
    }

    async fn enable(&mut self, made: &NewDevice) -> Result<(), Failure> {
        let seed = made.seed.expose_secret();
        let request = iam("EnableMFADevice", DEMO)
            .with("UserName", "demo")
            .with("SerialNumber", &made.serial)
            .with("AuthenticationCode1", &code(seed, &self.user.sandbox, -30))
            .with("AuthenticationCode2", &code(seed, &self.user.sandbox, 0));
        self.around("enable", async |it| it.ask(request).await.map(drop)).await
    }

    async fn journal(&mut self) -> Result<Option<Progress>, Failure> {
        self.journal.read()
    }

    async fn keep(&mut self, made: &NewDevice, kept: Option<&Kept>) -> Result<(), Failure> {
        self.around("keep", async |it| {
            it.user.seen.push(made.seed.expose_secret().to_owned());
            kept.map_or(Ok(()), |kept| kept.put(&made.seed))
        })
        .await
    }

    fn kept(&self, made: &NewDevice) -> Option<Kept> {
        self.file.as_ref().map(|file| file.kept(&made.seed))
    }

    async fn look(&mut self) -> Result<Facts, Failure> {
        let idle = if self.user.may_list { Some(self.user.idle().await) } else { None };
        let (enabled, wanted) = (self.user.enabled().await, SERIAL.to_owned());
        Ok(Facts { enabled, idle, wanted, ..Facts::default() })
    }

    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure> {
        let name = match progress {
            None => "forget",
            Some(Progress::Made { .. }) => "note made",
            Some(Progress::Making { .. }) => "note making",
        };
        self.around(name, async |it| it.journal.note(progress)).await
    }

    async fn prove(&mut self, _: &str, kept: Option<&Kept>) -> Result<(), Failure> {
        let seed = kept.map_or_else(
            || self.user.seen.last().unwrap().clone(),
            |kept| kept.seed().unwrap().expose_secret().to_owned(),
        );
        // A code works once.
        advance(Duration::from_secs(30)).await;
        let request = session(&self.user.sandbox, &seed);
        self.around("prove", async |it| it.ask(request).await.map(drop)).await
    }

    async fn take_back(&mut self, kept: &Kept) -> Result<(), Failure> {
        self.around("take back", async |_| kept.take_back().map_err(|_| killed())).await
    }

    fn tell(&mut self, _: &Step) {}
}

/// Has `mishap` happen at every point in turn, and runs it again; the points there were.
async fn everywhere(goal: Goal, may_list: bool, mishap: Mishap) -> Vec<String> {
    let mut points = Vec::new();
    for at in 0.. {
        let mut user = User::new(goal, may_list);
        let (outcome, mut passed) = user.run(Some((at, mishap))).await;
        if passed.len() <= at {
            assert_eq!(outcome, Ok(Outcome::Done));
            return points;
        }
        let name = passed.swap_remove(at);
        let point = format!("{goal:?}, {may_list}, {mishap:?} {at}: {name}");
        assert!(outcome.is_err(), "{point}");
        let is_done = name.ends_with("forget");
        let is_begun = name != "after note making";
        if mishap == Mishap::Fails && is_begun && !is_done && may_list {
            user.check_nothing(&point).await;
        }
        let (outcome, _) = user.run(None).await;
        match outcome {
            // Without a look at the list nobody knows whose device it is.
            Ok(Outcome::Taken) => {
                assert!(
                    !may_list && ["after create", "before note made"].contains(&&*name),
                    "{point}"
                );
            }
            Ok(Outcome::Already) => assert!(is_done, "{point}"),
            Ok(Outcome::Done) => user.check_enrolled(&point).await,
            other => panic!("{point}: {other:?}"),
        }
        points.push(point);
    }
    points
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_anywhere_and_goes_on_has_one_device_that_works() {
    for goal in [Goal::File, Goal::FileWithAnother, Goal::Phone] {
        for may_list in [true, false] {
            let points = everywhere(goal, may_list, Mishap::Kills).await;
            assert_eq!(points.len(), 14, "{points:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_anywhere_is_taken_back_at_once() {
    for goal in [Goal::File, Goal::FileWithAnother, Goal::Phone] {
        for may_list in [true, false] {
            let points = everywhere(goal, may_list, Mishap::Fails).await;
            assert_eq!(points.len(), 14, "{points:#?}");
        }
    }
}

/// A run that fails when the device is tried, and is killed while it takes that back.
#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_all_is_taken_back_goes_on_all_the_same() {
    for goal in [Goal::File, Goal::FileWithAnother, Goal::Phone] {
        for at in 11.. {
            let mut user = User::new(goal, true);
            user.sandbox.inject(unproven());
            let (outcome, passed) = user.run(Some((at, Mishap::Kills))).await;
            assert!(outcome.is_err(), "{at}");
            if passed.len() <= at {
                user.check_nothing("a device that cannot be tried").await;
                assert!(at > 15, "{passed:#?}");
                break;
            }
            let (outcome, _) = user.run(None).await;
            assert_eq!(outcome, Ok(Outcome::Done), "{goal:?} {at}: {}", passed[at]);
            user.check_enrolled(&format!("{goal:?} {at}: {}", passed[at])).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_enabled_is_left_alone() {
    let mut user = User::new(Goal::File, true);
    assert_eq!(user.run(None).await.0, Ok(Outcome::Done));
    let seed = fs::read_to_string(user.path()).unwrap();
    let (outcome, points) = user.run(None).await;
    assert_eq!(
        (outcome, points),
        (Ok(Outcome::Already), vec!["before forget".into(), "after forget".into()])
    );
    assert_eq!(fs::read_to_string(user.path()).unwrap(), seed);
    user.check_enrolled("again").await;
}

#[tokio::test(start_paused = true)]
async fn a_device_of_somebody_else_is_not_taken_for_a_leftover() {
    for may_list in [true, false] {
        let mut user = User::new(Goal::File, may_list);
        let create = iam("CreateVirtualMFADevice", DEMO).with("VirtualMFADeviceName", "phone");
        done(&create, &user.sandbox).await;
        for _ in 0..2 {
            assert_eq!(user.run(None).await.0, Ok(Outcome::Taken));
            assert_eq!(user.idle().await, [SERIAL]);
        }
    }
}

#[test]
fn two_enrolments_of_one_user_do_not_meet() {
    let directory = tempfile::tempdir().unwrap();
    let profile = ProfileName::parse("base").unwrap();
    let _first = journal(directory.path(), &profile).unwrap();
    let second = journal(directory.path(), &profile).unwrap_err();
    assert!(second.message.contains("another enrolment of base is running"), "{second}");
    assert_eq!(second.kind, FailureKind::Throttled);
}

/// What an earlier run left of another device is cleared up, and one that is enabled is left to the person.
#[test]
fn another_device_is_not_forgotten() {
    let other = || "arn:aws:iam::123456789012:mfa/other".to_owned();
    let made = Progress::Made { kept: None, serial: other() };
    let facts = |enabled: Vec<String>| Facts {
        enabled,
        idle: Some(vec![other()]),
        wanted: SERIAL.to_owned(),
        ..Facts::default()
    };
    assert_eq!(next(Some(&made), &facts(vec![])), Step::RollBack(other()));
    assert_eq!(next(Some(&made), &facts(vec![other()])), Step::Leave(other()));
    let making = |was_free| Progress::Making { serial: other(), was_free };
    assert_eq!(next(Some(&making(true)), &facts(vec![])), Step::Delete(other()));
    assert_eq!(next(Some(&making(false)), &facts(vec![])), Step::Forget);
    assert_eq!(next(Some(&making(true)), &facts(vec![other()])), Step::Forget);
}

fn serials(reply: &Reply) -> Vec<String> {
    let parts = reply.body.split("<SerialNumber>").skip(1);
    parts.filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect()
}

fn unproven() -> Fault {
    Fault::new(FaultKind::ServerError(503)).on(Operation::GetSessionToken).times(1)
}

fn killed() -> Failure {
    Failure::new(FailureKind::Refused, "Killed", "killed")
}
