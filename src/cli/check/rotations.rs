//! Which long-term keys can be rotated, and of the others why not, and what to do about it.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::keys::holder::Holder;
use crate::config::Config;
use crate::iam::Place;
use crate::model::{Base, KeySource, ProfileName};

/// Whether the key of a profile can be rotated.
#[derive(Debug, Serialize)]
pub(super) struct Rotation {
    /// The profile that is the key, or the first that begins with it.
    profile: String,
    /// What rotates the key.
    command: Option<String>,
    /// Why nothing does.
    why_not: Option<String>,
    /// What to do about that.
    remedy: Option<String>,
}

impl Rotation {
    /// That of each key of `config`, but for those in the AWS files that nobody here begins with.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let of_plans = || {
            config.plans.iter().filter_map(|plan| match &plan.base {
                Base::Key(key) => Some((&plan.profile, key)),
                Base::Anonymous | Base::Given(_) => None,
            })
        };
        let of_sources = config.sources.iter().map(|(name, key)| (name, key)).filter(|(_, key)| {
            let is_used = of_plans().any(|(_, used)| used == *key);
            is_used || !matches!(key, KeySource::AwsProfile { .. })
        });
        let mut keys: Vec<(&ProfileName, &KeySource)> = Vec::new();
        for (name, key) in of_sources.chain(of_plans()) {
            if !keys.iter().any(|(_, known)| *known == key) {
                keys.push((name, key));
            }
        }
        keys.into_iter().map(|(name, key)| Self::of(config, name, key)).collect()
    }

    fn of(config: &Config, name: &ProfileName, key: &KeySource) -> Self {
        let place = Holder::of(config, name)
            .map_err(|complaint| complaint.message)
            .and_then(|_| Place::of(key, name.as_str()).map_err(|failure| failure.message));
        let profile = name.as_str().to_owned();
        match place {
            Ok(_) => {
                let command = Some(format!("credbroker keys rotate {}", name.in_shell()));
                Self { profile, command, why_not: None, remedy: None }
            }
            Err(message) => {
                let (why, remedy) = message.split_once("; ").unwrap_or((&message, ""));
                let remedy = Some(remedy.to_owned()).filter(|remedy| !remedy.is_empty());
                Self { profile, command: None, why_not: Some(why.to_owned()), remedy }
            }
        }
    }
}

/// The same in words; nothing where there is no key.
pub(super) fn explain(rotations: &[Rotation]) -> String {
    let width = rotations.iter().map(|it| it.profile.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    // Writing to a String cannot fail.
    for Rotation { profile, command, why_not, remedy } in rotations {
        let said = match (command, why_not) {
            (Some(command), _) => format!("can be rotated: {command}"),
            (None, why) => format!("cannot be rotated: {}", why.as_deref().unwrap_or_default()),
        };
        let _ = writeln!(text, "  {profile:width$}  {said}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "  {:width$}  {remedy}", "");
        }
    }
    if text.is_empty() { text } else { format!("\nkeys\n{text}") }
}
