//! `keys create`: a new key, which goes straight to where the profile's key is kept.

use crate::cli::exit::{Complaint, Exit};
use crate::cli::keys::user::User;
use crate::cli::keys::{known, report};
use crate::cli::print;
use crate::cli::whoami::complaint;
use crate::iam::{Keys, NewKey, Place, key_json};
use crate::model::{Clock, Dialect, KeySource, ProfileName};

/// Makes a key of `user`, and puts it where `source` refers to, or prints it.
///
/// Whether it can be put there is found out before it is made; one that could not be kept after all is deleted again.
pub(super) async fn run(
    user: &mut User,
    source: &KeySource,
    profile: &ProfileName,
    print: bool,
    clock: Clock,
) -> Result<Exit, Complaint> {
    let old = user.key_in_use().to_owned();
    let place = if print { None } else { Some(place(source, profile, &old).await?) };
    // Whoever breaks off in between would lose the key; all that follows has deadlines.
    user.breaks.hold_off()?;
    let made = match user.ask(Keys::create).await {
        Ok(made) => made,
        Err(failure) if failure.code == "LimitExceeded" => {
            let keys = known(user).await?;
            let message = report::full(profile.as_str(), &keys, clock.now());
            return Err(Complaint::new(Exit::Refused, message));
        }
        Err(failure) => return Err(complaint(failure)),
    };
    let kept = match &place {
        Some(place) => place.replace(&old, &made.key).await.map_err(complaint),
        None => print::deliver(&key_json(&made.key)),
    };
    if let Err(lost) = kept {
        return Err(taken_back(user, &made, lost).await);
    }
    if let Some(place) = place {
        let dialect = user.holder().iam.dialect;
        print::report(&said(&made, &place, profile, &old, dialect))?;
    }
    Ok(Exit::Success)
}

async fn place(source: &KeySource, profile: &ProfileName, old: &str) -> Result<Place, Complaint> {
    let place = Place::of(source, profile.as_str()).map_err(|failure| {
        let message =
            format!("{}; or run this with --print and keep the key yourself", failure.message);
        Complaint::new(Exit::Config, message)
    })?;
    place.check(old).await.map_err(complaint)?;
    Ok(place)
}

/// Deletes the key that nobody can have, and says what became of it.
async fn taken_back(user: &mut User, made: &NewKey, lost: Complaint) -> Complaint {
    let id = &made.key.access_key_id;
    let end = match user.ask(async |keys: &Keys| keys.delete(id).await).await {
        Ok(()) => format!("the new key {id} was deleted again"),
        Err(failure) => {
            format!(
                "the new key {id} is lost and must be deleted, which failed: {}",
                failure.message
            )
        }
    };
    Complaint { message: format!("{}; {end}", lost.message), ..lost }
}

fn said(
    made: &NewKey,
    place: &Place,
    profile: &ProfileName,
    old: &str,
    dialect: Dialect,
) -> String {
    let (id, user) = (&made.key.access_key_id, &made.user);
    let seen = match dialect {
        Dialect::Aws | Dialect::Generic | Dialect::Minio => {
            format!("credbroker keys last-used {profile}")
        }
        Dialect::Ceph => "the gateway does not tell".to_owned(),
    };
    let end = if made.status.is_some() { "deactivate" } else { "delete" };
    format!(
        "{id} is the key of {user} in {place} now. It takes some seconds until it is known everywhere.\n\
         A daemon reads it there when it next needs it: nothing has to be reloaded.\n\
         The old key still works. Once nothing uses it ({seen}), run:\n\
         credbroker keys {end} {profile} {old}\n"
    )
}
