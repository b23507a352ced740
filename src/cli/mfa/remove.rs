//! `mfa remove`: a device is taken away from its user, and deleted.

use std::fs;

use crate::cli::exit::{Complaint, Exit};
use crate::cli::keys::holder::Holder;
use crate::cli::keys::user::User;
use crate::cli::mfa::arguments::Remove;
use crate::cli::mfa::said;
use crate::cli::print;
use crate::iam::Keys;
use crate::model::{Clock, CodeSource, Failure, MfaDevice, MfaSerial, SecretSource};

/// Does what `wish` says, as the user of `holder`.
pub(super) async fn run(wish: &Remove, holder: Holder, clock: Clock) -> Result<Exit, Complaint> {
    let (serial, profile) = (&wish.serial, wish.profile.name.in_shell());
    let own = holder.device.clone().filter(|device| device.serial == *serial);
    if own.is_some() && !wish.force {
        let message = format!(
            "{serial} is the device that {profile} uses: without it no session behind it can be got any more; name another in the \
             profile first, or remove it all the same with --force"
        );
        return Err(Complaint::new(Exit::Usage, message));
    }
    let configured = holder.device.clone();
    let mut user = User::of(holder, clock).await?;
    match rely_on_enabled(&mut user, configured).await {
        Err(failure) if failure.code != "AccessDenied" => return Err(said(failure)),
        Ok(_) | Err(_) => {}
    }
    let owner = user.ask(async |keys: &Keys| keys.devices().user().await).await;
    let name = owner.map_err(said)?.name;
    let mut is_there = taken_away(&mut user, &name, serial).await.map_err(said)?;
    if is_virtual(serial) {
        match user.ask(async |keys: &Keys| keys.devices().delete(serial.as_str()).await).await {
            Ok(()) => is_there = true,
            // It went when it was taken away.
            Err(failure) if failure.code == "NoSuchEntity" && is_there => {}
            Err(failure) => return Err(said(failure)),
        }
    }
    if !is_there {
        let message =
            format!("{name} has no device {serial}; to see them: credbroker mfa list {profile}");
        return Err(Complaint::new(Exit::Refused, message));
    }
    print::report(&format!("{serial} is removed\n{}", seed_left(own.as_ref(), wish.seed)?))?;
    Ok(Exit::Success)
}

/// Has `user` rely on a device that it has: on `first`, if that is one, else on any, whose codes a person reads; the
/// serial numbers of all.
pub(super) async fn rely_on_enabled(
    user: &mut User,
    first: Option<MfaDevice>,
) -> Result<Vec<String>, Failure> {
    user.rely_on(None);
    let devices = user.ask(async |keys: &Keys| keys.devices().list().await).await;
    // Who may not ask that is asked for a code of the device that the profile names.
    let devices = devices.inspect_err(|_| user.rely_on(first.clone()))?;
    let serials: Vec<String> = devices.into_iter().map(|device| device.serial).collect();
    let is_enabled = |device: &MfaDevice| serials.iter().any(|it| it == device.serial.as_str());
    let any = || serials.iter().find_map(|serial| MfaSerial::parse(serial).ok());
    let any = || any().map(|serial| MfaDevice { serial, code: CodeSource::Prompt });
    user.rely_on(first.filter(is_enabled).or_else(any));
    Ok(serials)
}

/// Takes the device `serial` away from the user called `name`; whether there was one.
pub(super) async fn taken_away(
    user: &mut User,
    name: &str,
    serial: &MfaSerial,
) -> Result<bool, Failure> {
    let serial = serial.as_str();
    match user.ask(async |keys: &Keys| keys.devices().deactivate(name, serial).await).await {
        Ok(()) => Ok(true),
        Err(failure) if failure.code == "NoSuchEntity" => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Whether a device is an app's and no piece of hardware, which is not deleted.
pub(super) fn is_virtual(serial: &MfaSerial) -> bool {
    serial.as_str().starts_with("arn:")
}

/// What is said of the file with the seed of `device`, which is removed if that is wanted.
fn seed_left(device: Option<&MfaDevice>, unwanted: bool) -> Result<String, Complaint> {
    let Some(MfaDevice { code: CodeSource::Totp(SecretSource::File(path)), .. }) = device else {
        return Ok(String::new());
    };
    let file = path.display();
    if !unwanted {
        return Ok(format!("Its seed is still in {file}, and opens nothing any more.\n"));
    }
    match fs::remove_file(path) {
        Ok(()) => Ok(format!("Its seed, {file}, is removed, too.\n")),
        Err(error) => {
            let said = crate::files::said(&error);
            let message = format!("the device is removed, but its seed {file} cannot be: {said}");
            Err(Complaint::new(Exit::Internal, message))
        }
    }
}
