//! `mfa`: the MFA device of a profile: its codes, and its life at IAM, which is looked after as keys are (`keys.rs`).

pub(super) mod arguments;
mod codes;
pub(super) mod computed;
mod enroll;
mod naming;
mod picture;
mod remove;
mod report;

use std::io::{self, IsTerminal};

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use self::arguments::{Enroll, Remove};
use crate::cli::client::Daemon;
use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::keys::arguments::{Listing, Profile};
use crate::cli::keys::holder::Holder;
use crate::cli::keys::user::User;
use crate::cli::print;
use crate::cli::whoami::complaint;
use crate::config::{self, Config, Surroundings};
use crate::iam::Keys;
use crate::model::{Clock, Dialect, Failure, ProfileName};

/// Prints the device's present code and nothing else, for another program or the console's login.
pub(super) fn code(daemon: &Daemon, profile: &ProfileName) -> Result<Exit, Complaint> {
    let reserved = daemon.code(profile)?;
    let mut line = Zeroizing::new(String::with_capacity(32));
    line.push_str(reserved.code.expose_secret());
    line.push('\n');
    print::deliver(line.as_bytes())?;
    Ok(Exit::Success)
}

/// Makes a device for the user of a profile.
pub(super) fn enroll(wish: &Enroll) -> Result<Exit, Complaint> {
    let Some(config) = config(&wish.profile) else { return Ok(Exit::Config) };
    let plan = enroll::Plan::of(wish, &config)?;
    block_on(enroll::run(plan, Clock::system()))
}

/// Shows the devices of the user of a profile.
pub(super) fn list(wish: &Listing) -> Result<Exit, Complaint> {
    let Some(config) = config(&wish.profile) else { return Ok(Exit::Config) };
    let holder = holder(&config, &wish.profile.name)?;
    let clock = Clock::system();
    block_on(async {
        let named = holder.device.clone();
        let named = named.as_ref().map(|device| device.serial.as_str());
        let mut user = User::of(holder, clock).await?;
        let devices = user.ask(async |keys: &Keys| keys.devices().list().await).await;
        let devices = devices.map_err(said)?;
        print::report(&if wish.json {
            report::json(&devices, named)
        } else {
            report::table(&devices, named, clock.now())
        })?;
        Ok(Exit::Success)
    })
}

/// Takes a device away from the user of a profile, and deletes it.
pub(super) fn remove(wish: &Remove) -> Result<Exit, Complaint> {
    let Some(config) = config(&wish.profile) else { return Ok(Exit::Config) };
    let holder = holder(&config, &wish.profile.name)?;
    block_on(remove::run(wish, holder, Clock::system()))
}

/// The configuration that a profile stands in; `None` where it has faults, which are on stderr then. The seed of a
/// device that is not made yet may be missing.
fn config(profile: &Profile) -> Option<Config> {
    let surroundings = Surroundings { may_lack_secrets: true, ..Surroundings::of_process() };
    match config::find(profile.config.file.as_deref(), &surroundings) {
        Ok(config) => Some(config),
        Err(faults) => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            exit::warn(&faults.render(colour));
            None
        }
    }
}

/// Whose devices these are, where the system has IAM's calls for them.
fn holder(config: &Config, profile: &ProfileName) -> Result<Holder, Complaint> {
    let holder = Holder::anywhere(config, profile)?;
    match holder.iam.dialect {
        Dialect::Aws | Dialect::Generic => Ok(holder),
        dialect @ (Dialect::Ceph | Dialect::Minio) => {
            let message = format!(
                "the system of {profile} (sts = \"{}\") has no MFA devices of IAM, and its STS takes no codes",
                dialect.as_str()
            );
            Err(Complaint::new(Exit::Config, message))
        }
    }
}

/// Runs `work`; a thread that still waits for standard input ends with the process.
fn block_on(work: impl Future<Output = Result<Exit, Complaint>>) -> Result<Exit, Complaint> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Complaint::new(Exit::Internal, error.to_string()))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// What a person is told of `failure`.
fn said(failure: Failure) -> Complaint {
    complaint(worded(failure))
}

/// `failure`, with words about devices where its own are about keys.
fn worded(failure: Failure) -> Failure {
    let message = match failure.code.trim_end_matches("Exception") {
        "InvalidAction" | "MethodNotAllowed" | "NotImplemented" | "UnknownOperation" => {
            "this system knows no MFA devices of IAM: it has none of the calls for them"
        }
        "InvalidAuthenticationCode" => {
            "IAM does not take these codes of the new device: does the clock that they are made by go right?"
        }
        "NoSuchEntity" => "IAM knows no such device of this user; `credbroker mfa list` shows them",
        _ => return failure,
    };
    Failure { message: format!("{message} ({})", failure.code), ..failure }
}
