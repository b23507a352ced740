//! `mfa enroll`: one run of an enrolment for a real user, with a person or a file for the seed.

mod real;

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use self::real::Real;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::keys::holder::Holder;
use crate::cli::keys::user::User;
use crate::cli::mfa::arguments::Enroll;
use crate::cli::mfa::codes::Codes;
use crate::cli::mfa::computed::Computed;
use crate::cli::mfa::naming::{name_in, name_of};
use crate::cli::mfa::{holder, picture};
use crate::cli::print;
use crate::cli::terminal::Terminal;
use crate::cli::whoami::complaint;
use crate::config::Config;
use crate::iam::NewDevice;
use crate::iam::enrolment::{self, Kept, Outcome, SeedFile, run as enrol};
use crate::model::{Clock, Failure, FailureKind, MfaDevice, ProfileName, Seed};

/// What shall be made, with nothing asked yet.
pub(super) struct Plan {
    by_pipe: bool,
    /// The device of the profile, where it is the one that is to be made.
    configured: Option<MfaDevice>,
    force: bool,
    holder: Holder,
    /// The profile with the key.
    keeper: ProfileName,
    name: String,
    /// The path in its ARN, with a slash at both ends.
    path: String,
    profile: ProfileName,
    state_dir: PathBuf,
    store: Option<SeedFile>,
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
        let store = configured.as_ref().map_or(Ok(None), SeedFile::of).map_err(complaint)?;
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
        Ok(Self {
            by_pipe,
            configured,
            force: wish.force,
            holder,
            keeper,
            name,
            path,
            profile,
            state_dir: config.daemon.state_dir.clone(),
            store,
            terminal,
            text: wish.text,
        })
    }

    /// Where the codes of the device come from, whose seed is at hand or not; `None` where nobody has any.
    fn codes(&self, seed: Option<&SecretString>, clock: Clock) -> Result<Option<Codes>, Failure> {
        if self.by_pipe {
            return Ok(Some(Codes::Pipe));
        }
        if let Some(seed) = seed.filter(|_| self.store.is_some()) {
            let seed = Seed::parse(seed.expose_secret()).map_err(|fault| {
                let message = format!("IAM answered with {fault}");
                Failure::new(FailureKind::Refused, "InvalidSeed", message)
            })?;
            return Ok(Some(Codes::Computed(Computed::new(seed, clock))));
        }
        Ok(self.terminal.clone().map(Codes::Typed))
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
    let journal = enrolment::journal(&plan.state_dir, &plan.keeper).map_err(complaint)?;
    let mut user = User::of(plan.holder.clone(), clock).await?;
    user.breaks.hold_off()?;
    let mut world = Real::new(plan, journal, user, clock);
    let outcome = enrol(&mut world).await;
    let Real { owner, plan, serial, .. } = world;
    let profile = plan.profile.in_shell();
    let (outcome, kept) = outcome.map_err(|failure| {
        let message = failure.message.replace("PROFILE", &profile);
        complaint(Failure { message, ..failure })
    })?;
    let again = format!("run: credbroker mfa remove {profile} {serial} --force");
    match outcome {
        Outcome::Done => print::report(&done(&plan, &serial, &owner, kept.as_ref()))?,
        Outcome::Already => {
            if let Some(store) = plan.store.filter(|store| !store.path().exists()) {
                let path = store.path().display();
                let message = format!(
                    "{serial} is enabled for {owner} already, and its seed is not in {path}: put it there, or, to have a new device, \
                     {again}; then this again"
                );
                return Err(Complaint::new(Exit::Refused, message));
            }
            print::report(&format!(
                "{serial} is enabled for {owner} already; nothing was changed\n"
            ))?;
        }
        Outcome::Taken => {
            let message = format!(
                "there is a device of this name already: name another with --name, or, where nobody uses it, {again}"
            );
            return Err(Complaint::new(Exit::Refused, message));
        }
        Outcome::Untried => {
            let message = format!(
                "{serial} is enabled for {owner} and was not tried, as nobody is here to give a code of it: run this in a terminal, or with \
                 --codes -; where nobody has its seed, {again}"
            );
            return Err(Complaint::new(Exit::PersonNeeded, message));
        }
    }
    Ok(Exit::Success)
}

/// What a person is told in the end.
fn done(plan: &Plan, serial: &str, user: &str, kept: Option<&Kept>) -> String {
    let mut lines =
        vec![format!("{serial} is enabled for {user}, and a session was got with its code.")];
    if let Some(Kept { old, path, .. }) = kept {
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
