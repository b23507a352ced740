//! The real world of an enrolment: a user at IAM, a person or a file for the seed, and the STS that a code is tried at.

use std::time::Duration;

use crate::cli::exit;
use crate::cli::keys::user::User;
use crate::cli::mfa::codes::Codes;
use crate::cli::mfa::enroll::Plan;
use crate::cli::mfa::remove::{rely_on_enabled, taken_away};
use crate::cli::mfa::worded;
use crate::iam::enrolment::{Facts, Kept, Progress, Step, World};
use crate::iam::{Journal, Keys, NewDevice};
use crate::model::{Clock, CodeSource, Failure, FailureKind, MfaDevice, MfaSerial};

/// The real world.
pub(super) struct Real {
    clock: Clock,
    codes: Option<Codes>,
    journal: Journal<Progress>,
    /// The name of the user.
    pub(super) owner: String,
    pub(super) plan: Plan,
    /// The serial number of the device that is wanted.
    pub(super) serial: String,
    user: User,
}

impl Real {
    /// The world of `user`, which is to have what `plan` says.
    pub(super) fn new(plan: Plan, journal: Journal<Progress>, user: User, clock: Clock) -> Self {
        Self {
            clock,
            codes: None,
            journal,
            owner: String::new(),
            plan,
            serial: String::new(),
            user,
        }
    }
}

impl World for Real {
    fn can_prove(&self, kept: Option<&Kept>) -> bool {
        let seed = kept.and_then(Kept::seed);
        self.codes.is_some() || matches!(self.plan.codes(seed.as_ref(), self.clock), Ok(Some(_)))
    }

    async fn check(&mut self) -> Result<(), Failure> {
        self.user.breaks.check().await?;
        self.plan.store.as_ref().map_or(Ok(()), |store| store.check(self.plan.force))
    }

    async fn create(&mut self) -> Result<NewDevice, Failure> {
        let (path, name) = (self.plan.path.as_str(), self.plan.name.as_str());
        let create = async |keys: &Keys| keys.devices().create(path, name).await;
        let made = self.user.ask(create).await.map_err(worded)?;
        self.serial.clone_from(&made.serial);
        Ok(made)
    }

    async fn delete(&mut self, serial: &str) -> Result<(), Failure> {
        let delete = async |keys: &Keys| keys.devices().delete(serial).await;
        match self.user.ask(delete).await {
            Err(failure) if failure.code == "NoSuchEntity" => Ok(()),
            deleted => deleted.map_err(worded),
        }
    }

    async fn disable(&mut self, serial: &str) -> Result<(), Failure> {
        let Ok(serial) = MfaSerial::parse(serial) else { return Ok(()) };
        taken_away(&mut self.user, &self.owner, &serial).await.map(drop).map_err(worded)
    }

    async fn enable(&mut self, made: &NewDevice) -> Result<(), Failure> {
        let Some(codes) = &mut self.codes else { return Err(nobody()) };
        let mut left = codes.tries();
        loop {
            let pair = codes.pair(&mut self.user.breaks).await?;
            let (owner, serial) = (self.owner.as_str(), made.serial.as_str());
            let enable = async |keys: &Keys| keys.devices().enable(owner, serial, &pair).await;
            left -= 1;
            match self.user.ask(enable).await {
                Err(failure) if left > 0 && is_passing(&failure) => {
                    exit::warn(&format!(
                        "IAM does not take these two codes ({}); trying two more",
                        failure.code
                    ));
                }
                enabled => return enabled.map_err(worded),
            }
        }
    }

    async fn journal(&mut self) -> Result<Option<Progress>, Failure> {
        self.journal.read()
    }

    async fn keep(&mut self, made: &NewDevice, kept: Option<&Kept>) -> Result<(), Failure> {
        self.user.breaks.check().await?;
        self.codes = self.plan.codes(Some(&made.seed), self.clock)?;
        if let Some(kept) = kept {
            kept.put(&made.seed)?;
        }
        self.plan
            .show(made)
            .map_err(|unseen| Failure::new(FailureKind::Unreachable, "Unseen", unseen.message))
    }

    fn kept(&self, made: &NewDevice) -> Option<Kept> {
        self.plan.store.as_ref().map(|store| store.kept(&made.seed))
    }

    async fn look(&mut self) -> Result<Facts, Failure> {
        // What the profile names is not there yet.
        let enabled = match rely_on_enabled(&mut self.user, None).await {
            // Who may not ask that is told by the calls that follow.
            Err(failure) if failure.code == "AccessDenied" => Vec::new(),
            enabled => enabled.map_err(worded)?,
        };
        let owner = self.user.ask(async |keys: &Keys| keys.devices().user().await).await;
        let owner = owner.map_err(worded)?;
        let (path, name) = (&self.plan.path, &self.plan.name);
        let configured = self.plan.configured.as_ref().map(|device| device.serial.as_str());
        let wanted = owner.device(path, name).or_else(|| configured.map(str::to_owned));
        let wanted = wanted.unwrap_or_default();
        if let Some(other) = configured.filter(|configured| *configured != wanted) {
            let message = format!(
                "the profile names the device {other}, which cannot be one of {}: write serial = \"{wanted}\"",
                owner.arn
            );
            return Err(Failure::new(FailureKind::Misconfigured, "Serial", message));
        }
        let idle =
            match self.user.ask_as_it_is(async |keys: &Keys| keys.devices().idle().await).await {
                Err(failure) if failure.kind == FailureKind::Refused => None,
                idle => Some(idle.map_err(worded)?),
            };
        self.owner = owner.name;
        self.serial.clone_from(&wanted);
        self.user.breaks.check().await?;
        Ok(Facts { enabled, idle, wanted, ..Facts::default() })
    }

    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure> {
        self.journal.note(progress)
    }

    async fn prove(&mut self, serial: &str, kept: Option<&Kept>) -> Result<(), Failure> {
        let device = MfaSerial::parse(serial)
            .map(|serial| MfaDevice { serial, code: CodeSource::Prompt })
            .map_err(|fault| Failure::new(FailureKind::Refused, "Serial", fault.to_string()))?;
        let seed = kept.and_then(Kept::seed);
        let codes = match self.codes.take() {
            Some(codes) => Some(codes),
            None => self.plan.codes(seed.as_ref(), self.clock)?,
        };
        let Some(mut codes) = codes else { return Err(nobody()) };
        let mut left = codes.tries();
        loop {
            let code = codes.next(&mut self.user.breaks).await?;
            left -= 1;
            match self.user.prove(&device, &code).await {
                Err(failure) if left > 0 && is_spreading(&failure) => {
                    exit::warn(&format!(
                        "the STS does not take it yet ({}): a new device takes a while to be known everywhere; trying again",
                        failure.code
                    ));
                    self.user.breaks.during(tokio::time::sleep(PAUSE)).await?;
                }
                proven => return proven.map_err(worded),
            }
        }
    }

    async fn take_back(&mut self, kept: &Kept) -> Result<(), Failure> {
        kept.take_back().map_err(|error| {
            let said = crate::files::said(&error);
            Failure::new(FailureKind::Misconfigured, "Seed", said)
        })
    }

    fn tell(&mut self, step: &Step) {
        let serial = &self.serial;
        match step {
            Step::Delete(left) | Step::RollBack(left) => exit::warn(&format!(
                "an earlier run was stopped before {left} was enabled: it is deleted, as its seed is lost"
            )),
            Step::Leave(left) => exit::warn(&format!(
                "{left} was enabled by an earlier run that was stopped, and never tried; where nobody has its seed, run: \
                 credbroker mfa remove {} {left} --force",
                self.plan.profile.in_shell()
            )),
            Step::Prove => {
                exit::warn(&format!("{serial} is enabled; now it is tried with one more code"));
            }
            Step::Begin { .. }
            | Step::Create
            | Step::Enable
            | Step::End(_)
            | Step::Forget
            | Step::Keep => {}
        }
    }
}

/// Whether a device was made and is not known yet where two codes of it were sent to, or the codes were mistaken.
fn is_passing(failure: &Failure) -> bool {
    let codes = ["EntityTemporarilyUnmodifiable", "InvalidAuthenticationCode", "NoSuchEntity"];
    codes.iter().any(|code| failure.code.trim_end_matches("Exception") == *code)
}

/// Whether a code can have been refused because the device is not known yet where it was sent to.
fn is_spreading(failure: &Failure) -> bool {
    let is_code = failure.code == "InvalidMfaCode" || failure.code == "AccessDenied";
    is_code
        || matches!(
            failure.kind,
            FailureKind::Throttled | FailureKind::Unreachable | FailureKind::Unsettled
        )
}

fn nobody() -> Failure {
    Failure::new(FailureKind::PersonNeeded, "CodesNeeded", "nobody is here to give a code")
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let failure = |kind, code| Failure::new(kind, code, "no");
        assert!(is_passing(&failure(FailureKind::Refused, "InvalidAuthenticationCode")));
        assert!(!is_passing(&failure(FailureKind::Unreachable, "Unreachable")));
        assert!(is_spreading(&failure(FailureKind::PersonNeeded, "InvalidMfaCode")));
        assert!(!is_spreading(&failure(FailureKind::PersonNeeded, "Interrupted")));
    }
}
