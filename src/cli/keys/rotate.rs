//! `keys rotate`: one run of a rotation on a user's real keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::keys::arguments::Rotate;
use crate::cli::keys::user::User;
use crate::cli::whoami::complaint;
use crate::cli::{print, table};
use crate::config::Config;
use crate::iam::rotation::{
    Awaited, Desk, Maker, Outcome, Progress, Rehearsal, Seen, Step, Terms, World, run as rotate,
};
use crate::iam::{KeyStatus, Keys, LastUse};
use crate::model::{Clock, Dialect, Failure, FailureKind, LongTermKey, Signer, timestamp};
use crate::source::Sts;

/// Does what is due of the rotation of `user`'s key, or shows it.
pub(super) async fn run(
    mut user: User,
    wish: &Rotate,
    config: &Config,
    clock: Clock,
) -> Result<Exit, Complaint> {
    user.breaks.hold_off()?;
    let holder = user.holder();
    let asked = &wish.profile.name;
    // Whoever begins with the same key means the same rotation.
    let owner = config.sources.iter().find(|(_, key)| *key == holder.key);
    let owner = owner.map_or(asked, |(name, _)| name);
    let desk = Desk::open(&config.daemon.state_dir, &holder.key, owner).map_err(complaint)?;
    desk.check(user.key_in_use()).await.map_err(complaint)?;
    let terms = if wish.now { Terms::hasty(wish.max_age) } else { Terms::usual(wish.max_age) };
    let mut world = Real { clock, desk, sts: Sts::new(clock), user };
    if wish.dry_run {
        let mut rehearsal = Rehearsal::of(&mut world).await.map_err(complaint)?;
        return rehearse(&mut rehearsal, &terms, wish, clock.now()).await;
    }
    let outcome = rotate(&mut world, &terms).await.map_err(stopped)?;
    tell(&outcome, wish, world.user.key_in_use(), clock.now())
}

async fn rehearse(
    world: &mut Rehearsal,
    terms: &Terms,
    wish: &Rotate,
    now: SystemTime,
) -> Result<Exit, Complaint> {
    let mut unseen = String::new();
    let outcome = loop {
        match rotate(world, terms).await.map_err(complaint)? {
            Outcome::Waiting { key, until, what } => {
                if let Awaited::Kept | Awaited::Time = what {
                    unseen = format!("\n{}\n", awaited(what, &key, wish));
                }
                world.pass(until);
            }
            outcome @ (Outcome::Done { .. } | Outcome::NotDue { .. } | Outcome::Stuck { .. }) => {
                break outcome;
            }
        }
    };
    if let Outcome::NotDue { .. } | Outcome::Stuck { .. } = outcome {
        return tell(&outcome, wish, "", now);
    }
    let steps = world.steps().iter().filter_map(|(at, step)| Some((*at, sentence(step)?)));
    print::report(&if wish.json {
        let steps = steps.map(|(at, what)| WireStep { at: timestamp(at), what }).collect();
        print::json(&WireSteps { steps })
    } else {
        let when = |at: SystemTime| {
            if at <= now + Duration::from_mins(1) {
                "now".to_owned()
            } else {
                table::when(Some(&timestamp(at)), now)
            }
        };
        table::columns(&["WHEN", "WHAT"], steps.map(|(at, what)| vec![when(at), what])) + &unseen
    })?;
    Ok(Exit::Success)
}

fn tell(
    outcome: &Outcome,
    wish: &Rotate,
    in_use: &str,
    now: SystemTime,
) -> Result<Exit, Complaint> {
    let when = |at: &SystemTime| {
        let text = timestamp(*at);
        format!("{} ({text})", table::when(Some(&text), now))
    };
    let (state, key, until, said) = match outcome {
        Outcome::Done { key, .. } => {
            let said = format!("{key} is the key in use, and the one before it is deleted");
            ("done", key.as_str(), None, said)
        }
        Outcome::NotDue { key, until } => {
            let said = format!("{key} is young enough; it is due {}", when(until));
            ("not_due", key.as_str(), Some(until), said)
        }
        Outcome::Stuck { why } => {
            let why = why.replace("PROFILE", &wish.profile.name.in_shell());
            return Err(Complaint::new(Exit::Refused, why));
        }
        Outcome::Waiting { key, until, what } => {
            let what = awaited(*what, key, wish);
            let said =
                format!("{in_use} is the key in use; {what}; run this again {}", when(until));
            ("waiting", in_use, Some(until), said)
        }
    };
    let due = until.map(|at| timestamp(*at));
    print::report(&if wish.json {
        print::json(&WireOutcome { access_key_id: key, due, said: &said, state })
    } else {
        format!("{said}\n")
    })?;
    Ok(Exit::Success)
}

/// What a person is told of a wait for `what` of `key`.
fn awaited(what: Awaited, key: &str, wish: &Rotate) -> String {
    let profile = wish.profile.name.in_shell();
    match what {
        Awaited::Grace => format!("{key} is turned off, and is deleted later"),
        Awaited::Kept => format!(
            "the gateway does not tell whether {key} is still used, and cannot turn it off: see that nothing needs it before it is deleted \
             (earlier with: credbroker keys delete {profile} {key})"
        ),
        Awaited::Quiet(false) => format!("{key} is turned off when it was not used for a while"),
        Awaited::Quiet(true) => format!(
            "{key} is still used by something (credbroker keys last-used {profile}), and is turned off when it was not for a while"
        ),
        Awaited::Time => format!(
            "the gateway does not tell whether {key} is still used: it is turned off all the same"
        ),
    }
}

/// What a person is told of a step; `None` where there is nothing to tell.
fn sentence(step: &Step) -> Option<String> {
    Some(match step {
        Step::Commit { new, old } => format!("put {new} where {old} is"),
        Step::Create(_) => "make a new key, and keep it beside the old one".to_owned(),
        Step::Deactivate(key) => format!("turn {key} off"),
        Step::Delete(key) => format!("delete {key}"),
        Step::Note(Progress::Making { before, .. }) => {
            format!("write down the keys that there are: {}", before.join(" and "))
        }
        Step::Prove(key) => format!("sign calls with {key} until it is known"),
        Step::Discard | Step::End(_) | Step::Forget | Step::Note(_) => return None,
    })
}

/// The real world.
struct Real {
    clock: Clock,
    desk: Desk,
    sts: Sts,
    user: User,
}

impl World for Real {
    async fn commit(&mut self, old: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.desk.commit(old, new).await?;
        self.user.change_key(copy(new));
        Ok(())
    }

    async fn create(&mut self, named: Option<&str>) -> Result<LongTermKey, Failure> {
        Ok(self.user.ask(async |keys: &Keys| keys.create_as(named).await).await?.key)
    }

    async fn deactivate(&mut self, id: &str) -> Result<(), Failure> {
        self.user.ask(async |keys: &Keys| keys.set_status(id, KeyStatus::Inactive).await).await
    }

    async fn delete(&mut self, id: &str) -> Result<(), Failure> {
        match self.user.ask(async |keys: &Keys| keys.delete(id).await).await {
            Err(failure) if failure.code == "NoSuchEntity" => Ok(()),
            answer => answer,
        }
    }

    async fn discard(&mut self) -> Result<(), Failure> {
        self.desk.discard().await
    }

    async fn journal(&mut self) -> Result<Option<Progress>, Failure> {
        self.user.breaks.check().await?;
        self.desk.journal()
    }

    async fn keys(&mut self) -> Result<Vec<Seen>, Failure> {
        let mut seen = Vec::new();
        for key in self.user.ask(Keys::list).await? {
            let used = self.user.ask(async |keys: &Keys| keys.last_used(&key.id).await).await?;
            let last_used = match used {
                LastUse::At(used) => Some(used.at),
                LastUse::Never | LastUse::Untold => None,
            };
            seen.push(Seen { created: key.created, id: key.id, last_used, status: key.status });
        }
        Ok(seen)
    }

    async fn knows(&mut self, key: &LongTermKey) -> Result<bool, Failure> {
        let signer = Signer::LongTerm(copy(key));
        let holder = self.user.holder();
        // The daemon uses it at the STS, and this at IAM. A Ceph gateway is both, and does not tell who somebody is.
        let at_sts = match holder.sts.dialect {
            Dialect::Ceph => Ok(()),
            Dialect::Aws | Dialect::Generic | Dialect::Minio => {
                self.sts.caller_identity(&signer, &holder.sts).await.map(drop)
            }
        };
        let keys = Keys::at(holder.iam.clone(), signer, self.clock).await?;
        let at_iam = keys.list().await.map(drop);
        for answer in [at_sts, at_iam] {
            match answer {
                Err(failure) if failure.kind == FailureKind::Unsettled => return Ok(false),
                // Who is refused is known.
                Err(failure) if failure.kind == FailureKind::Refused => {}
                answer => answer?,
            }
        }
        Ok(true)
    }

    fn maker(&mut self) -> Result<Maker, Failure> {
        Ok(self.user.offer_id()?.map_or(Maker::Iam, |name| Maker::Ceph { name }))
    }

    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure> {
        self.desk.note(progress)
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    async fn stage(&mut self, key: &LongTermKey) -> Result<(), Failure> {
        self.desk.stage(key).await
    }

    async fn staged(&mut self) -> Result<Option<LongTermKey>, Failure> {
        self.desk.staged().await
    }

    async fn stored(&mut self) -> Result<String, Failure> {
        Ok(self.desk.stored().await?.access_key_id)
    }

    fn tell(&mut self, step: &Step) {
        if let Some(sentence) = sentence(step) {
            exit::warn(&sentence);
        }
    }

    async fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        if time >= WORTH_TELLING {
            let seconds = time.as_secs();
            exit::warn(&format!("wait {seconds} s before the old key is turned off"));
        }
        self.user.breaks.during(tokio::time::sleep(time)).await
    }
}

fn copy(key: &LongTermKey) -> Arc<LongTermKey> {
    Arc::new(LongTermKey {
        access_key_id: key.access_key_id.clone(),
        secret_access_key: key.secret_access_key.clone(),
    })
}

/// Why a run ended early; whoever breaks it off does so between two steps.
fn stopped(failure: Failure) -> Complaint {
    if failure.code != "Interrupted" {
        return complaint(failure);
    }
    let message = "stopped between two steps, with nothing lost; run the same again";
    Complaint::new(Exit::NotNow, message)
}

#[derive(Serialize)]
struct WireOutcome<'a> {
    access_key_id: &'a str,
    due: Option<String>,
    said: &'a str,
    state: &'a str,
}

#[derive(Serialize)]
struct WireSteps {
    steps: Vec<WireStep>,
}

#[derive(Serialize)]
struct WireStep {
    at: String,
    what: String,
}

/// The shortest wait that a person is told of.
const WORTH_TELLING: Duration = Duration::from_secs(5);
