//! What the daemon gives up before it serves, as far as its configuration allows, and what that means for a later one.
//!
//! Both kinds of confinement pass on to what a process starts, which would break commands that a person configured. So they are
//! put on only where there is none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tracing::info;

use crate::config::{AuditSink, Config, DaemonSettings, Surroundings};
use crate::daemon::house::reach;
use crate::endpoint::control::wire::ConfinementStatus;
use crate::endpoint::listener::make_directory;
use crate::model::Plan;
use crate::{child, confinement};

/// What was given up, which a later configuration does not bring back.
#[derive(Debug, Default)]
pub(super) struct Confined {
    /// What of it is told.
    pub(super) status: ConfinementStatus,
    /// Whether commands were given up.
    commands: bool,
    /// Where may be written; `None` for everywhere.
    writable: Option<BTreeSet<PathBuf>>,
}

impl Confined {
    /// Confines this thread, and those that it starts, to what `config` needs.
    pub(super) fn by(config: &Config, surroundings: &Surroundings) -> Self {
        let memory = confinement::keep_out_of_swap();
        let settings = &config.daemon;
        if let Some(command) = command(settings, &config.plans) {
            let why = || Err(format!("{command}, which would be confined too"));
            let status = ConfinementStatus {
                memory: memory.into(),
                writing: why().into(),
                system_calls: why().into(),
            };
            return Self { status, ..Self::default() };
        }
        let writable = directories(settings, &config.plans);
        // Only what is there can be opened to writing; whoever comes later says what is wrong with it.
        let _ = make_directory(&settings.control, reach(surroundings));
        let _ = crate::daemon::state::make_directory(&settings.state_dir);
        let places: Vec<PathBuf> = writable.iter().cloned().collect();
        let writing = confinement::confine_writing(&places);
        let system_calls = confinement::deny_calls();
        let commands = writing.is_ok() || system_calls.is_ok();
        if commands {
            child::forbid();
        }
        let writable = writing.is_ok().then_some(writable);
        let status = ConfinementStatus {
            memory: memory.into(),
            writing: writing.into(),
            system_calls: system_calls.into(),
        };
        Self { status, commands, writable }
    }

    /// Logs what is so, and why not.
    pub(super) fn tell(&self) {
        let ConfinementStatus { memory, writing, system_calls } = &self.status;
        let told = [("memory", memory), ("writing", writing), ("system calls", system_calls)];
        for (what, measure) in told {
            match &measure.why {
                None => info!("{what}: confined"),
                Some(why) => info!("{what}: not confined: {why}"),
            }
        }
    }

    /// What of the next configuration cannot be done before the next start.
    pub(super) fn waits(&self, settings: &DaemonSettings, plans: &[Plan]) -> Vec<String> {
        let command = command(settings, plans).filter(|_| self.commands);
        let mut waits: Vec<_> = command
            .map(|what| {
                format!("{what}, and this daemon gave up to run any when none was configured: that takes effect with the next start")
            })
            .into_iter()
            .collect();
        if let Some(writable) = &self.writable {
            let is_new = |path: &&Path| !writable.contains(*path);
            if let AuditSink::File(path) = &settings.audit
                && path.parent().as_ref().is_some_and(is_new)
            {
                waits.push(format!("{} cannot be written before the next start", path.display()));
            }
            let sign_ins: BTreeSet<_> =
                plans.iter().flat_map(Plan::sign_ins).filter(is_new).collect();
            waits.extend(sign_ins.into_iter().map(|path| {
                format!(
                    "renewed sign-ins cannot be written to {} before the next start",
                    path.display()
                )
            }));
        }
        waits
    }
}

/// Which command is run, in words; `None` for none.
fn command(settings: &DaemonSettings, plans: &[Plan]) -> Option<String> {
    if settings.notify.is_some() {
        return Some("`notify` runs a command".to_owned());
    }
    let profile = &plans.iter().find(|plan| plan.command().is_some())?.profile;
    Some(format!("the profile {} runs a command", profile.as_str()))
}

/// Where the daemon writes.
fn directories(settings: &DaemonSettings, plans: &[Plan]) -> BTreeSet<PathBuf> {
    let control = settings.control.parent().map(Path::to_owned);
    let sign_ins = plans.iter().flat_map(Plan::sign_ins).map(Path::to_owned);
    let audit = match &settings.audit {
        AuditSink::File(path) => path.parent().map(Path::to_owned),
        AuditSink::Journal => None,
    };
    let own = control.into_iter().chain([settings.state_dir.clone()]).chain(audit);
    own.chain(sign_ins).collect()
}
