//! What `status` shows: all, or one profile.

use std::time::SystemTime;

use serde::Serialize;

use crate::cli::client::{ClientFault, Daemon};
use crate::cli::status::{render, render_profile};
use crate::endpoint::control::wire::{ProfileStatus, Status};
use crate::model::ProfileName;

/// What `status` shows.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Picture {
    /// Who serves, and all profiles.
    All(Box<Status>),
    /// One profile.
    One(Box<ProfileStatus>),
}

/// Asks `daemon` for it.
pub(super) fn look(daemon: &Daemon, profile: Option<&ProfileName>) -> Result<Picture, ClientFault> {
    match profile {
        None => daemon.status().map(|status| Picture::All(Box::new(status))),
        Some(profile) => {
            daemon.profile_status(profile).map(|profile| Picture::One(Box::new(profile)))
        }
    }
}

impl Picture {
    /// The profiles in it.
    pub(super) fn profiles(&self) -> &[ProfileStatus] {
        match self {
            Self::All(status) => &status.profiles,
            Self::One(profile) => std::slice::from_ref(profile.as_ref()),
        }
    }

    /// The same for a person.
    pub(super) fn text(&self, now: SystemTime) -> String {
        match self {
            Self::All(status) => render(status, now),
            Self::One(profile) => render_profile(profile, now),
        }
    }
}
