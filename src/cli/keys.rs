//! `keys`: the access keys of a profile's user, looked after by the person who calls this.
//!
//! No daemon is asked, but for MFA codes that it has. The configuration is read here, the key where it says, and IAM, or a
//! Ceph gateway, is called with that key, or with a session that a code was given for.

pub(super) mod arguments;
mod create;
pub(super) mod holder;
mod report;
mod rotate;
pub(super) mod user;

use std::io::{self, IsTerminal};

use self::arguments::{Ending, Keys as Wish, Listing, One, Profile};
use self::holder::Holder;
use self::report::Known;
use self::user::User;
use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::print;
use crate::cli::whoami::complaint;
use crate::config::{self, Config, Surroundings};
use crate::iam::{KeyStatus, Keys, LastUse};
use crate::model::Clock;

/// Does what `wish` says.
pub(super) fn run(wish: &Wish) -> Result<Exit, Complaint> {
    let profile = match wish {
        Wish::Activate(one) => &one.profile,
        Wish::Create(create) => &create.profile,
        Wish::Deactivate(ending) | Wish::Delete(ending) => &ending.one.profile,
        Wish::LastUsed(listing) | Wish::List(listing) => &listing.profile,
        Wish::Rotate(rotate) => &rotate.profile,
    };
    let Some((config, holder)) = holder(profile)? else { return Ok(Exit::Config) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Complaint::new(Exit::Internal, error.to_string()))?;
    let outcome = runtime.block_on(act(wish, &config, holder, Clock::system()));
    // Nobody waits for a daemon that is asked for a code.
    runtime.shutdown_background();
    outcome
}

/// Whose keys these are; `None` where the configuration has faults, which are on stderr then.
fn holder(profile: &Profile) -> Result<Option<(Config, Holder)>, Complaint> {
    let surroundings = Surroundings::of_process();
    match config::find(profile.config.file.as_deref(), &surroundings) {
        Ok(config) => {
            let holder = Holder::of(&config, &profile.name)?;
            Ok(Some((config, holder)))
        }
        Err(faults) => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            exit::warn(&faults.render(colour));
            Ok(None)
        }
    }
}

async fn act(
    wish: &Wish,
    config: &Config,
    holder: Holder,
    clock: Clock,
) -> Result<Exit, Complaint> {
    let source = holder.key.clone();
    let mut user = User::of(holder, clock).await?;
    match wish {
        Wish::Activate(one) => {
            set_status(&mut user, one, KeyStatus::Active).await?;
            print::report(&format!("{} is active\n", one.key))?;
        }
        Wish::Create(wish) => {
            let profile = &wish.profile.name;
            return create::run(&mut user, &source, profile, wish.print, clock).await;
        }
        Wish::Deactivate(ending) => {
            check(&user, ending, "deactivate")?;
            set_status(&mut user, &ending.one, KeyStatus::Inactive).await?;
            let (key, profile) = (&ending.one.key, &ending.one.profile.name);
            print::report(&format!(
                "{key} is inactive. Where something misses it, run: credbroker keys activate {profile} {key}\n\
                 Where nothing does, run: credbroker keys delete {profile} {key}\n"
            ))?;
        }
        Wish::Delete(ending) => {
            check(&user, ending, "delete")?;
            let key = &ending.one.key;
            let deleted = user.ask(async |keys: &Keys| keys.delete(key).await).await;
            deleted.map_err(complaint)?;
            print::report(&format!("{key} is deleted\n"))?;
        }
        Wish::LastUsed(listing) => {
            let keys = known(&mut user).await?;
            if keys.iter().any(|known| known.last_used == LastUse::Untold) {
                return Err(Complaint::new(Exit::Refused, UNTOLD));
            }
            show(&keys, listing, report::uses, clock)?;
        }
        Wish::List(listing) => {
            show(&known(&mut user).await?, listing, report::keys, clock)?;
        }
        Wish::Rotate(wish) => return rotate::run(user, wish, config, clock).await,
    }
    Ok(Exit::Success)
}

async fn set_status(user: &mut User, one: &One, status: KeyStatus) -> Result<(), Complaint> {
    let set = user.ask(async |keys: &Keys| keys.set_status(&one.key, status).await).await;
    set.map_err(complaint)
}

fn show(
    keys: &[Known],
    listing: &Listing,
    table: fn(&[Known], std::time::SystemTime) -> String,
    clock: Clock,
) -> Result<(), Complaint> {
    print::report(&if listing.json { report::json(keys) } else { table(keys, clock.now()) })
}

/// The keys of `user`, each with its last use.
async fn known(user: &mut User) -> Result<Vec<Known>, Complaint> {
    let mut known = Vec::new();
    for key in user.ask(Keys::list).await.map_err(complaint)? {
        let last_used = user.ask(async |keys: &Keys| keys.last_used(&key.id).await).await;
        let last_used = last_used.map_err(complaint)?;
        known.push(Known { is_in_use: key.id == user.key_in_use(), key, last_used });
    }
    Ok(known)
}

/// Refuses to take the key away that the profile itself uses.
fn check(user: &User, ending: &Ending, doing: &str) -> Result<(), Complaint> {
    let (key, profile) = (&ending.one.key, &ending.one.profile.name);
    if key != user.key_in_use() || ending.force {
        return Ok(());
    }
    let message = format!(
        "{key} is the key that {profile} uses: without it nothing is lent any more; make another first (credbroker keys create {profile}), \
         or {doing} it all the same with --force"
    );
    Err(Complaint::new(Exit::Usage, message))
}

/// What `last-used` says where the system does not tell.
const UNTOLD: &str = "a Ceph gateway does not keep when a key was last used, only what a user did (rgw_enable_usage_log); \
`credbroker keys list` shows the keys";
