//! Build, run, reload, drain: where the layers are wired together.
//!
//! Everything is read before anything is bound, and everything is bound before anybody is served. The way down is
//! the same in reverse: no new connections, the requests under way finish, the leases end, their secrets are wiped.

mod audit_file;
mod change;
mod closed;
mod confine;
mod fault;
mod fingerprint;
mod house;
mod listeners;
mod lookout;
mod notice;
mod signals;
mod standing;
mod state;
mod store_key;
mod watch;
mod watchdog;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch as news};
use tokio::task::JoinSet;
use tracing::warn;

use crate::broker::Broker;
use crate::config::{self, Config, Faults, Surroundings};
use crate::daemon::confine::Confined;
use crate::daemon::house::House;
use crate::daemon::lookout::{Find, Lookout};
use crate::daemon::watchdog::Watchdog;
use crate::endpoint::About;
use crate::endpoint::control::wire::EndpointStatus;
use crate::endpoint::server::Shutdown;
use crate::model::Clock;
use crate::source::Source;
use crate::systemd::Sockets;

pub use fault::DaemonFault;
pub use lookout::Reload;
pub use signals::serve_until_told;

/// A daemon that serves, and has begun to take its eager profiles.
#[derive(Debug)]
pub struct Daemon {
    house: House,
    lookout: Lookout,
    reload: Reload,
    finds: mpsc::Receiver<Find>,
}

impl Daemon {
    /// Binds what `config` names, or takes it from `sockets` where systemd holds it, starts the broker, and serves.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DaemonFault`] with the remedy; nothing is served then.
    pub fn build(
        config: Config,
        surroundings: &Surroundings,
        source: Arc<dyn Source>,
        clock: Clock,
        sockets: Arc<Sockets>,
    ) -> Result<Self, DaemonFault> {
        let path = config.path.clone();
        let house = House::open(config, surroundings, source, clock, sockets)?;
        let (lookout, reload, finds) = Lookout::new(path, surroundings.clone());
        Ok(Self { house, lookout, reload, finds })
    }

    /// Has it told, and kept to, what was given up before.
    fn confined(mut self, confined: Confined) -> Self {
        self.house.confine(confined);
        self
    }

    /// The holder of the leases.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        self.house.broker()
    }

    /// What the daemon listens on.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.about().borrow().endpoints.clone()
    }

    /// A handle to have the configuration read anew with while the daemon runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// What the daemon tells of itself, and when that changes.
    #[must_use]
    pub fn about(&self) -> news::Receiver<About> {
        self.house.about()
    }

    /// Serves, and keeps to what the files of the configuration say, until `shutdown` begins; then drains.
    pub async fn run(self, mut shutdown: Shutdown) {
        let Self { mut house, lookout, mut finds, .. } = self;
        let mut helpers = JoinSet::new();
        helpers.spawn(house.word_to_people());
        helpers.spawn(lookout.run());
        let mut watchdog = Watchdog::of_process();
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                Some(find) = finds.recv() => house.take_in(find),
                () = watchdog.due() => watchdog::call(&house).await,
            }
        }
        helpers.shutdown().await;
        house.close().await;
    }
}

/// Reads the configuration that the daemon is to run with.
///
/// # Errors
/// All faults at once.
pub fn load(path: Option<&Path>, surroundings: &Surroundings) -> Result<Config, DaemonFault> {
    Ok(config::find(path, surroundings)?)
}

/// Logs what is odd, or wrong, a line each.
fn report(faults: &Faults) {
    for line in faults.lines() {
        warn!("{line}");
    }
}
