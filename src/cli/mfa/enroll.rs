//! `mfa enroll`: a virtual device is made, its seed shown and kept, the device enabled and tried.
//!
//! Whatever goes wrong on the way, and whoever breaks it off: the device is taken away again, and where that fails, the
//! command that does it is named.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::keys::holder::Holder;
use crate::cli::keys::user::User;
use crate::cli::mfa::arguments::Enroll;
use crate::cli::mfa::breaks::Breaks;
use crate::cli::mfa::codes::Codes;
use crate::cli::mfa::computed::Computed;
use crate::cli::mfa::naming::{name_in, name_of};
use crate::cli::mfa::remove::{rely_on_enabled, taken_away};
use crate::cli::mfa::store::{Store, Stored};
use crate::cli::mfa::{holder, picture, said};
use crate::cli::print;
use crate::cli::terminal::Terminal;
use crate::config::Config;
use crate::iam::{Keys, NewDevice};
use crate::model::{
    Clock, CodeSource, Failure, FailureKind, MfaDevice, MfaSerial, ProfileName, Seed,
};

/// What shall be made, with nothing asked yet.
pub(super) struct Plan {
    by_pipe: bool,
    /// The device of the profile, where it is the one that is to be made.
    configured: Option<MfaDevice>,
    holder: Holder,
    /// The profile with the key.
    keeper: ProfileName,
    name: String,
    /// The path in its ARN, with a slash at both ends.
    path: String,
    profile: ProfileName,
    store: Option<Store>,
    terminal: Option<Arc<Terminal>>,
    text: bool,
}

impl Plan {
    /// What `wish` comes to, if the codes can be had and the seed can be kept.
    pub(super) fn of(wish: &Enroll, config: &Config) -> Result<Self, Complaint> {
        let profile = wish.profile.name.clone();
        let holder = holder(config, &profile)?;
        let source = config.sources.iter().find(|(_, key)| *key == holder.key);
        let keeper = source.map_or_else(|| profile.clone(), |(name, _)| name.clone());
        let (path, name) = name_of(wish.name.as_deref(), holder.device.as_ref(), &keeper)?;
        let is_it = |device: &MfaDevice| {
            name_in(&device.serial).is_ok_and(|it| it == (path.clone(), name.clone()))
        };
        let configured = holder.device.clone().filter(is_it);
        let store = configured.as_ref().map_or(Ok(None), Store::of)?;
        if let Some(store) = &store {
            store.check(wish.force)?;
        }
        let by_pipe = match wish.codes.as_deref() {
            None => false,
            Some("-") => true,
            Some(_) => {
                let message = "codes are not written on the command line, where others see them; pipe them in, with: --codes -";
                return Err(Complaint::new(Exit::Usage, message));
            }
        };
        let terminal = Terminal::of_person().map(Arc::new);
        let nobody = |message: &str| Err(Complaint::new(Exit::PersonNeeded, message));
        if store.is_none() && terminal.is_none() {
            if !wish.text {
                return nobody(
                    "nobody would see the seed of the new device; run this in a terminal, or with --text",
                );
            }
            if !by_pipe {
                return nobody(
                    "nobody can type the codes of the new device; run this in a terminal, or with --codes -",
                );
            }
        }
        let text = wish.text;
        Ok(Self { by_pipe, configured, holder, keeper, name, path, profile, store, terminal, text })
    }

    /// Where the codes of a device with `seed` come from.
    fn codes(&self, seed: &SecretString, clock: Clock) -> Result<Codes, Complaint> {
        use secrecy::ExposeSecret;
        match &self.terminal {
            _ if self.by_pipe => Ok(Codes::Pipe),
            _ if self.store.is_some() => match Seed::parse(seed.expose_secret()) {
                Ok(seed) => Ok(Codes::Computed(Computed::new(seed, clock))),
                Err(fault) => {
                    Err(Complaint::new(Exit::Refused, format!("IAM answered with {fault}")))
                }
            },
            Some(terminal) => Ok(Codes::Typed(Arc::clone(terminal))),
            None => Ok(Codes::Pipe),
        }
    }

    /// Shows the seed to whom it is for: as a picture on the terminal, and as a text on request.
    fn show(&self, made: &NewDevice) -> Result<(), Complaint> {
        let account = made.serial.split(':').nth(4).unwrap_or_default();
        let uri = picture::uri(&self.name, account, &made.seed);
        if let (Some(terminal), Some(qr)) = (&self.terminal, picture::qr(&uri)) {
            terminal.say("Point the camera of an authenticator app at this:\n\n");
            terminal.say(&qr);
            terminal.say("\n");
        }
        if self.text {
            print::deliver(uri.as_bytes())?;
            print::deliver(b"\n")?;
        }
        Ok(())
    }
}

/// Does what `plan` says.
pub(super) async fn run(plan: Plan, clock: Clock) -> Result<Exit, Complaint> {
    let mut user = User::of(plan.holder.clone(), clock).await?;
    let mut breaks =
        Breaks::hold_off().map_err(|error| Complaint::new(Exit::Internal, error.to_string()))?;
    // What the profile names is not there yet.
    rely_on_enabled(&mut user, None).await;
    let name = user.ask(async |keys: &Keys| keys.devices().user().await).await.map_err(said)?;
    breaks.check().await?;
    let create = async |keys: &Keys| keys.devices().create(&plan.path, &plan.name).await;
    let made = match user.ask(create).await {
        Ok(made) => made,
        Err(failure) => return Err(unmade(&mut user, &plan, failure).await),
    };
    let mut begun = Begun { may_be_enabled: false, stored: None };
    match begun.finish(&plan, &mut user, &name, &made, &mut breaks, clock).await {
        Ok(()) => {
            print::report(&done(&plan, &made.serial, &name, begun.stored.as_ref()))?;
            Ok(Exit::Success)
        }
        Err(why) => Err(begun.undone(&plan, &mut user, &name, &made.serial, why).await),
    }
}

/// What would have to be taken back.
struct Begun {
    may_be_enabled: bool,
    stored: Option<Stored>,
}

impl Begun {
    async fn finish(
        &mut self,
        plan: &Plan,
        user: &mut User,
        name: &str,
        made: &NewDevice,
        breaks: &mut Breaks,
        clock: Clock,
    ) -> Result<(), Complaint> {
        breaks.check().await?;
        let device = MfaSerial::parse(&made.serial)
            .map(|serial| MfaDevice { serial, code: CodeSource::Prompt })
            .map_err(|fault| Complaint::new(Exit::Refused, fault.to_string()))?;
        let mut codes = plan.codes(&made.seed, clock)?;
        if let Some(store) = &plan.store {
            self.stored = Some(store.put(&made.seed)?);
        }
        plan.show(made)?;
        let mut left = codes.tries();
        loop {
            let pair = codes.pair(breaks).await?;
            self.may_be_enabled = true;
            let enable = async |keys: &Keys| keys.devices().enable(name, &made.serial, &pair).await;
            left -= 1;
            match user.ask(enable).await {
                Ok(()) => break,
                Err(failure) if left > 0 && is_passing(&failure) => {
                    exit::warn(&format!(
                        "IAM does not take these two codes ({}); trying two more",
                        failure.code
                    ));
                }
                Err(failure) => return Err(said_of_codes(failure)),
            }
        }
        exit::warn(&format!("{} is enabled; now it is tried with one more code", made.serial));
        let mut left = codes.tries();
        loop {
            let code = codes.next(breaks).await?;
            left -= 1;
            match user.prove(&device, &code).await {
                Ok(()) => return Ok(()),
                Err(failure) if left > 0 && is_spreading(&failure) => {
                    exit::warn(&format!(
                        "the STS does not take it yet ({}): a new device takes a while to be known everywhere; trying again",
                        failure.code
                    ));
                    breaks.during(tokio::time::sleep(PAUSE)).await?;
                }
                Err(failure) => return Err(said_of_codes(failure)),
            }
        }
    }

    /// Takes everything back; `why`, and what became of it.
    async fn undone(
        &mut self,
        plan: &Plan,
        user: &mut User,
        name: &str,
        serial: &str,
        why: Complaint,
    ) -> Complaint {
        let profile = plan.profile.in_shell();
        let removed = removed(user, name, serial, self.may_be_enabled).await;
        let mut end = match removed {
            Ok(()) => format!("the device {serial} was removed again"),
            Err(failure) => format!(
                "the device {serial} could not be removed again ({}): run, as soon as that is possible: \
                 credbroker mfa remove {profile} {serial} --force",
                failure.message
            ),
        };
        if let Some(stored) = self.stored.take()
            && let Err(error) = stored.take_back()
        {
            let (path, said) = (stored.path.display(), crate::files::said(&error));
            end = format!("{end}; its seed is still in {path}: {said}");
        }
        Complaint { message: format!("{}; {end}", why.message), ..why }
    }
}

/// Takes a device away from its user, where it may have one, and deletes it; what passes is tried again.
async fn removed(
    user: &mut User,
    name: &str,
    serial: &str,
    may_be_enabled: bool,
) -> Result<(), Failure> {
    let mut left = CLEANUPS;
    loop {
        match remove_once(user, name, serial, may_be_enabled).await {
            Err(failure) if left > 0 && is_absent(&failure) => {
                left -= 1;
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn remove_once(
    user: &mut User,
    name: &str,
    serial: &str,
    may_be_enabled: bool,
) -> Result<(), Failure> {
    if may_be_enabled && let Ok(serial) = MfaSerial::parse(serial) {
        taken_away(user, name, &serial).await?;
    }
    match user.ask(async |keys: &Keys| keys.devices().delete(serial).await).await {
        Err(failure) if failure.code == "NoSuchEntity" => Ok(()),
        outcome => outcome,
    }
}

/// Why no device was made. One that was made although no answer came is deleted; not one that somebody has.
async fn unmade(user: &mut User, plan: &Plan, failure: Failure) -> Complaint {
    let profile = plan.profile.in_shell();
    if failure.code == "EntityAlreadyExists" {
        let serial = plan.configured.as_ref().map_or("SERIAL", |device| device.serial.as_str());
        let message = format!(
            "there is a device of this name already: name another with --name, or, where nobody uses it, run: \
             credbroker mfa remove {profile} {serial} --force"
        );
        return Complaint::new(Exit::Refused, message);
    }
    let may_be_there = is_absent(&failure);
    let why = said(failure);
    let Some(device) = plan.configured.as_ref().filter(|_| may_be_there) else { return why };
    let end = match removed(user, "", device.serial.as_str(), false).await {
        Ok(()) => "nothing is left of it".to_owned(),
        Err(failure) => format!(
            "whether it was made is not known ({}); to remove it: credbroker mfa remove {profile} {} --force",
            failure.message, device.serial
        ),
    };
    Complaint { message: format!("{}; {end}", why.message), ..why }
}

/// Whether a device was made and is not known yet where two codes of it were sent to, or the codes were mistaken.
fn is_passing(failure: &Failure) -> bool {
    let codes = ["EntityTemporarilyUnmodifiable", "InvalidAuthenticationCode", "NoSuchEntity"];
    codes.iter().any(|code| failure.code.trim_end_matches("Exception") == *code)
}

/// Whether a code can have been refused because the device is not known yet where it was sent to.
fn is_spreading(failure: &Failure) -> bool {
    let is_code = failure.code == "InvalidMfaCode" || failure.code == "AccessDenied";
    is_code || is_absent(failure)
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

fn said_of_codes(failure: Failure) -> Complaint {
    if failure.code.trim_end_matches("Exception") != "InvalidAuthenticationCode" {
        return said(failure);
    }
    let message = "IAM does not take these codes of the new device (InvalidAuthenticationCode); does the clock that they are made by go right?";
    Complaint::new(Exit::Refused, message)
}

/// What a person is told in the end.
fn done(plan: &Plan, serial: &str, user: &str, stored: Option<&Stored>) -> String {
    let mut lines =
        vec![format!("{serial} is enabled for {user}, and a session was got with its code.")];
    if let Some(Stored { old, path }) = stored {
        let path = path.display();
        lines.push(format!(
            "Its seed is in {path}: a daemon that can read it answers by itself from now on; nothing has to be reloaded."
        ));
        if nix::unistd::geteuid().is_root() {
            lines.push(format!(
                "For a daemon with a user of its own, run: chgrp credbroker {path} && chmod 640 {path}"
            ));
        }
        if let Some(old) = old {
            lines.push(format!("The seed that was there is in {} now.", old.display()));
        }
        lines.push(ONE_FACTOR.to_owned());
    }
    if plan.configured.is_none() {
        let (quoted, keeper) = (format!("{:?}", plan.name), &plan.keeper);
        lines.push(format!(
            "For the profiles to use it, write into the configuration:\n\n[mfa.{quoted}]\nserial = \"{serial}\"\n\n\
             and in [profile.{keeper}]: mfa = {quoted}"
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

const ONE_FACTOR: &str = "\
The seed and the access key on one disk are one factor: whoever copies both needs no person. For two, keep the seed in
a second store that hands it out (code = { totp = { command = [...] } }), or on a phone alone (code = \"prompt\").";

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a removal that meets an absent IAM is tried again.
const CLEANUPS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_somebody_is_not_taken_for_a_leftover() {
        let failure = |kind, code| Failure::new(kind, code, "no");
        assert!(is_absent(&failure(FailureKind::Unreachable, "Unreachable")));
        assert!(!is_absent(&failure(FailureKind::Refused, "EntityAlreadyExists")));
        assert!(is_passing(&failure(FailureKind::Refused, "InvalidAuthenticationCode")));
        assert!(!is_passing(&failure(FailureKind::Unreachable, "Unreachable")));
        assert!(is_spreading(&failure(FailureKind::PersonNeeded, "InvalidMfaCode")));
    }
}
