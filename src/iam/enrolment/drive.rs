//! Carries the steps out, one after the other, on a world; what fails on the way is taken back.

use std::time::Duration;

use crate::iam::NewDevice;
use crate::iam::enrolment::{Facts, Kept, Outcome, Progress, Step, next};
use crate::model::{Failure, FailureKind};

/// What an enrolment acts on: one user's devices, the place of the seed, and the journal.
///
/// Every call ends by itself, and what it has done when it returns is on disk.
#[expect(async_fn_in_trait, reason = "an enrolment stays on the thread where it began")]
pub trait World {
    /// Whether a code can be had of a device whose seed is in the file of `kept` or with a person.
    fn can_prove(&self, kept: Option<&Kept>) -> bool;

    /// Whether the seed can be put where it belongs.
    ///
    /// # Errors
    /// With what is in the way.
    async fn check(&mut self) -> Result<(), Failure>;

    /// Makes the device.
    ///
    /// # Errors
    /// Those of `CreateVirtualMFADevice`.
    async fn create(&mut self) -> Result<NewDevice, Failure>;

    /// Deletes the device `serial`, which nobody has; one that is gone is deleted.
    ///
    /// # Errors
    /// Those of `DeleteVirtualMFADevice`.
    async fn delete(&mut self, serial: &str) -> Result<(), Failure>;

    /// Takes the device `serial` away from the user; one that the user does not have is taken away.
    ///
    /// # Errors
    /// Those of `DeactivateMFADevice`.
    async fn disable(&mut self, serial: &str) -> Result<(), Failure>;

    /// Gives the device to the user, with two codes of it.
    ///
    /// # Errors
    /// Those of `EnableMFADevice`, and where no codes can be had.
    async fn enable(&mut self, made: &NewDevice) -> Result<(), Failure>;

    /// What is written down.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn journal(&mut self) -> Result<Option<Progress>, Failure>;

    /// Puts the seed where it belongs: into the file of `kept`, and before a person's eyes.
    ///
    /// # Errors
    /// Where it cannot be put there.
    async fn keep(&mut self, made: &NewDevice, kept: Option<&Kept>) -> Result<(), Failure>;

    /// What there will be when the seed is in its file; `None` where it goes into none.
    fn kept(&self, made: &NewDevice) -> Option<Kept>;

    /// The devices that the user has, those that nobody has, and which one is to be enrolled.
    ///
    /// # Errors
    /// Those of `GetUser`, `ListMFADevices` and `ListVirtualMFADevices`.
    async fn look(&mut self) -> Result<Facts, Failure>;

    /// Writes down how far it came; `None` removes the journal.
    ///
    /// # Errors
    /// Those of the file system.
    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure>;

    /// Gets a session with a code of the device `serial`, whose seed is in the file of `kept` or with a person.
    ///
    /// # Errors
    /// Those of `GetSessionToken`, and where no code can be had.
    async fn prove(&mut self, serial: &str, kept: Option<&Kept>) -> Result<(), Failure>;

    /// Removes what was kept of a seed.
    ///
    /// # Errors
    /// Those of the file system.
    async fn take_back(&mut self, kept: &Kept) -> Result<(), Failure>;

    /// Tells who watches what comes next.
    fn tell(&mut self, step: &Step);
}

/// Enrols the device that is wanted; how that ended, and what is kept of its seed.
///
/// # Errors
/// The first [`Failure`] of the world. What was begun is taken back then, as far as that is possible, and the message says so,
/// with `PROFILE` for the profile; running this again goes on from there.
pub async fn run(world: &mut impl World) -> Result<(Outcome, Option<Kept>), Failure> {
    let facts = world.look().await?;
    let mut run = Run { facts, has_begun: false, made: None, world };
    loop {
        let journal = run.world.journal().await?;
        let step = next(journal.as_ref(), &run.facts);
        run.world.tell(&step);
        let kept = journal.as_ref().and_then(Progress::kept);
        let taken = match &step {
            Step::Begin { was_free } => run.begin(*was_free).await,
            Step::Create => run.create(journal.as_ref()).await,
            Step::Delete(serial) => run.delete(serial).await,
            Step::Enable => run.enable().await,
            Step::End(outcome) => {
                run.world.note(None).await?;
                return Ok((*outcome, kept.cloned()));
            }
            Step::Forget | Step::Leave(_) => run.world.note(None).await,
            Step::Keep => run.keep(kept).await,
            Step::Prove if !run.world.can_prove(kept) => {
                return Ok((Outcome::Untried, kept.cloned()));
            }
            Step::Prove => run.prove(kept).await,
            Step::RollBack(serial) => run.roll_back(serial, kept).await,
        };
        if let Err(why) = taken {
            return Err(match step {
                Step::Create if run.made.is_none() => run.unmade(why, journal.as_ref()).await,
                Step::Create | Step::Keep => run.undone(why, kept, false).await,
                Step::Enable | Step::Prove => run.undone(why, kept, true).await,
                Step::Begin { .. }
                | Step::Delete(_)
                | Step::End(_)
                | Step::Forget
                | Step::Leave(_)
                | Step::RollBack(_) => why,
            });
        }
    }
}

/// One run.
struct Run<'a, W> {
    facts: Facts,
    /// Whether it was this run that wrote down that a device is being made.
    has_begun: bool,
    made: Option<NewDevice>,
    world: &'a mut W,
}

impl<W: World> Run<'_, W> {
    async fn begin(&mut self, was_free: bool) -> Result<(), Failure> {
        self.world.check().await?;
        self.has_begun = true;
        let serial = self.facts.wanted.clone();
        self.world.note(Some(&Progress::Making { serial, was_free })).await
    }

    async fn create(&mut self, journal: Option<&Progress>) -> Result<(), Failure> {
        if !self.has_begun {
            // What is in the way may have come there since.
            self.world.check().await?;
        }
        let made = match self.world.create().await {
            Ok(made) => made,
            Err(failure) if failure.code == "EntityAlreadyExists" => {
                // What the run before made may be listed late; all else is somebody else's.
                self.facts.idle.get_or_insert_default().push(self.facts.wanted.clone());
                let is_ours = was_free(journal) && !self.has_begun;
                return if is_ours { Ok(()) } else { self.world.note(None).await };
            }
            Err(failure) => return Err(failure),
        };
        let (kept, serial) = (self.world.kept(&made), made.serial.clone());
        self.made = Some(made);
        self.facts.has_seed = true;
        self.facts.wanted.clone_from(&serial);
        self.world.note(Some(&Progress::Made { kept, serial })).await
    }

    async fn delete(&mut self, serial: &str) -> Result<(), Failure> {
        self.world.delete(serial).await?;
        if let Some(idle) = &mut self.facts.idle {
            idle.retain(|it| it != serial);
        }
        Ok(())
    }

    async fn keep(&mut self, kept: Option<&Kept>) -> Result<(), Failure> {
        if let Some(made) = &self.made {
            self.world.keep(made, kept).await?;
        }
        self.facts.is_kept = true;
        Ok(())
    }

    async fn enable(&mut self) -> Result<(), Failure> {
        if let Some(made) = &self.made {
            self.world.enable(made).await?;
            self.facts.enabled.push(made.serial.clone());
        }
        Ok(())
    }

    async fn prove(&mut self, kept: Option<&Kept>) -> Result<(), Failure> {
        self.world.prove(&self.facts.wanted, kept).await?;
        self.facts.is_proven = true;
        Ok(())
    }

    async fn roll_back(&mut self, serial: &str, kept: Option<&Kept>) -> Result<(), Failure> {
        match self.delete(serial).await {
            // It was enabled, which is listed late.
            Err(failure) if failure.code == "DeleteConflict" => {
                self.facts.enabled.push(serial.to_owned());
                return Ok(());
            }
            deleted => deleted?,
        }
        if let Some(kept) = kept {
            self.world.take_back(kept).await?;
        }
        self.world.note(None).await
    }

    /// Why no device was made. One that was made although no answer came is deleted, unless it may be somebody else's.
    async fn unmade(&mut self, why: Failure, journal: Option<&Progress>) -> Failure {
        if !is_absent(&why) {
            return match self.world.note(None).await {
                Ok(()) => why,
                Err(failure) => ending(why, &failure.message),
            };
        }
        let serial = self.facts.wanted.clone();
        let removed =
            if was_free(journal) { self.removed(&serial, false).await } else { Err(why.clone()) };
        let forgotten = match removed {
            Ok(()) => self.world.note(None).await,
            Err(failure) => Err(failure),
        };
        let end = match forgotten {
            Ok(()) => "nothing is left of it".to_owned(),
            Err(_) => format!("whether {serial} was made is not known: {}", again(&serial)),
        };
        ending(why, &end)
    }

    /// Takes everything back; `why`, and what became of it.
    async fn undone(&mut self, why: Failure, kept: Option<&Kept>, may_be_enabled: bool) -> Failure {
        let serial = self.facts.wanted.clone();
        let removed = self.removed(&serial, may_be_enabled).await;
        let taken_back = match kept {
            Some(kept) => self.world.take_back(kept).await,
            None => Ok(()),
        };
        let mut end = match &removed {
            Ok(()) => format!("the device {serial} was removed again"),
            Err(failure) => {
                let again = again(&serial);
                format!("the device {serial} could not be removed again ({failure}): {again}")
            }
        };
        if let (Err(failure), Some(kept)) = (&taken_back, kept) {
            end = format!("{end}; its seed is still in {}: {failure}", kept.path.display());
        }
        if removed.is_ok()
            && taken_back.is_ok()
            && let Err(failure) = self.world.note(None).await
        {
            end = format!("{end}; {failure}");
        }
        ending(why, &end)
    }

    /// Takes a device away from its user, where it may have one, and deletes it; what passes is tried again.
    async fn removed(&mut self, serial: &str, may_be_enabled: bool) -> Result<(), Failure> {
        let mut left = CLEANUPS;
        loop {
            let disabled = if may_be_enabled { self.world.disable(serial).await } else { Ok(()) };
            let removed = match disabled {
                Ok(()) => self.world.delete(serial).await,
                Err(failure) => Err(failure),
            };
            match removed {
                Err(failure) if left > 0 && is_absent(&failure) => {
                    left -= 1;
                    tokio::time::sleep(PAUSE).await;
                }
                removed => return removed,
            }
        }
    }
}

impl Progress {
    fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Made { kept, .. } => kept.as_ref(),
            Self::Making { .. } => None,
        }
    }
}

fn was_free(journal: Option<&Progress>) -> bool {
    matches!(journal, Some(Progress::Making { was_free: true, .. }))
}

/// Whether it is not known what became of a call.
fn is_absent(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Throttled | FailureKind::Unreachable | FailureKind::Unsettled => true,
        FailureKind::InputExpired
        | FailureKind::Misconfigured
        | FailureKind::PersonNeeded
        | FailureKind::Refused => false,
    }
}

fn again(serial: &str) -> String {
    format!(
        "run this again as soon as that is possible, or: credbroker mfa remove PROFILE {serial} --force"
    )
}

fn ending(why: Failure, end: &str) -> Failure {
    Failure { message: format!("{}; {end}", why.message), ..why }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a removal that meets an absent IAM is tried again.
const CLEANUPS: u32 = 3;
