//! The arguments of `keys`.

#![expect(clippy::doc_markdown, reason = "the comments are help texts, shown as they stand")]

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::arguments::Config;
use crate::model::ProfileName;

/// What to do with keys.
#[derive(Subcommand)]
pub(in crate::cli) enum Keys {
    /// Show the keys of a profile's user: their status, age and last use, and which one is in use
    List(Listing),
    /// Make a new key, and put it where the profile's access_key is
    Create(Create),
    /// Replace the key by a new one: make it, prove it, put it in place, and turn the old one off and delete it later
    #[command(after_help = ROTATE)]
    Rotate(Rotate),
    /// Show when the keys of a profile's user were last used, and for what
    #[command(after_help = "AWS knows of a use after some hours; a Ceph gateway keeps none.")]
    LastUsed(Listing),
    /// Turn a key off; it can be turned on again
    Deactivate(Ending),
    /// Turn a key on again
    Activate(One),
    /// Delete a key for good
    Delete(Ending),
}

/// The profile, and the configuration that it stands in.
#[derive(Args)]
pub(in crate::cli) struct Profile {
    /// The profile whose long-term key is meant: its own, or the one it begins with
    #[arg(value_name = "PROFILE", value_parser = ProfileName::parse)]
    pub(in crate::cli) name: ProfileName,
    #[command(flatten)]
    pub(in crate::cli) config: Config,
}

/// Arguments of `keys list` and `keys last-used`.
#[derive(Args)]
pub(in crate::cli) struct Listing {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Arguments of `keys create`.
#[derive(Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// Print the new key as credential_process JSON, secret and all, and put it nowhere
    #[arg(long)]
    pub(in crate::cli) print: bool,
}

/// Arguments of `keys rotate`.
#[derive(Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// Show what would be done and when, and change nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Begin only when the key is this old, such as 90d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(in crate::cli) max_age: Option<Duration>,
    /// Turn the old key off after a minute without use and not after a day; delete it after a day and not after a week
    #[arg(long)]
    pub(in crate::cli) now: bool,
}

/// Arguments of `keys activate`.
#[derive(Args)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// The key, by its id
    #[arg(value_name = "KEY_ID", value_parser = key_id)]
    pub(in crate::cli) key: String,
}

/// Arguments of `keys deactivate` and `keys delete`.
#[derive(Args)]
pub(in crate::cli) struct Ending {
    #[command(flatten)]
    pub(in crate::cli) one: One,
    /// Do it to the key that the profile uses, too
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// Takes up to 128 unreserved characters as the id of a key: AWS's have 16 to 128 letters and digits (`accessKeyIdType` in
/// the IAM service model), and Ceph takes whatever an administrator chose.
fn key_id(text: &str) -> Result<String, &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let is_id = (1..=128).contains(&text.len()) && text.bytes().all(legal);
    is_id.then(|| text.to_owned()).ok_or("the id of a key has up to 128 letters and digits")
}

fn age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 90d or 12h"))
}

const ROTATE: &str = "Each run does what is due and says when to come back. One that is stopped anywhere loses nothing: \
run the same again.";
