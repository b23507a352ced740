//! How the daemon stands with its configuration: what `status` and the log say of it.

use std::path::Path;
use std::time::SystemTime;

use tokio::sync::watch;
use tracing::warn;

use crate::endpoint::control::wire::{ConfigurationStatus, ConfinementStatus, EndpointStatus};
use crate::endpoint::{About, Redeemer};
use crate::model::timestamp;

/// What is told, and to whom: everybody who has subscribed.
#[derive(Debug)]
pub(super) struct Standing(watch::Sender<About>);

impl Standing {
    /// Of a daemon that began at `now` by the file at `path`, or by none of its own.
    pub(super) fn new(path: Option<&Path>, now: SystemTime) -> Self {
        let configuration = ConfigurationStatus {
            file: path.map(|path| path.display().to_string()),
            read: timestamp(now),
            ..ConfigurationStatus::default()
        };
        Self(watch::Sender::new(About { configuration, ..About::default() }))
    }

    /// What is told now, and every change of it.
    pub(super) fn subscribe(&self) -> watch::Receiver<About> {
        self.0.subscribe()
    }

    /// Tells where the daemon listens, and where a ticket is redeemed.
    pub(super) fn listens(&self, endpoints: Vec<EndpointStatus>, container: Option<Redeemer>) {
        self.0.send_if_modified(|about| {
            let news = about.endpoints != endpoints || about.container != container;
            about.endpoints = endpoints;
            about.container = container;
            news
        });
    }

    /// Tells what was given up at the start.
    pub(super) fn is_confined(&self, confinement: ConfinementStatus) {
        self.0.send_modify(|about| about.confinement = confinement);
    }

    /// Tells that the configuration of `path` is in force, but for what is `pending`; says whether that is news, which
    /// it is not where the files say the `same` as before.
    pub(super) fn is_in_force(
        &self,
        path: Option<&Path>,
        pending: Vec<String>,
        same: bool,
        now: SystemTime,
    ) -> bool {
        self.0.send_if_modified(|about| {
            let before = &about.configuration;
            if same && before.faults.is_empty() && before.pending == pending {
                return false;
            }
            for what in pending.iter().filter(|it| !before.pending.contains(it)) {
                warn!("{what}");
            }
            about.configuration = ConfigurationStatus {
                file: path.map(|path| path.display().to_string()),
                read: timestamp(now),
                pending,
                ..ConfigurationStatus::default()
            };
            true
        })
    }

    /// Tells that the files have had these faults since `now`; each set of them is logged once.
    pub(super) fn is_bad(&self, faults: Vec<String>, now: SystemTime) {
        self.0.send_if_modified(|about| {
            let news = about.configuration.faults != faults;
            if news {
                warn!("the new configuration is not good, so the old one stays in force");
                for fault in &faults {
                    warn!("{fault}");
                }
                about.configuration.faults = faults;
                about.configuration.faulty_since = Some(timestamp(now));
            }
            news
        });
    }
}
