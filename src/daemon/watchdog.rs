//! The signs of life that systemd waits for (`WatchdogSec=`): given only after everything that serves has answered a
//! call, so that a daemon whose timer alone still runs is started anew.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::error;

use crate::daemon::house::House;
use crate::systemd;

/// When the next sign is due; never where nobody waits for one.
#[derive(Debug)]
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// The one that systemd has told this process of. Two signs are given in the time that one may take.
    pub(super) fn of_process() -> Self {
        Self(systemd::watchdog().map(|patience| {
            let mut signs = interval((patience / 2).max(SHORTEST));
            signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
            signs
        }))
    }

    /// Waits until the next sign is due.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(signs) => drop(signs.tick().await),
            None => std::future::pending().await,
        }
    }
}

/// Calls everything that serves in `house`, and gives the sign if all have answered.
pub(super) async fn call(house: &House) {
    match timeout(PATIENCE, house.answers()).await {
        Ok(true) => systemd::alive(),
        Ok(false) => error!("a lease has lost its task; systemd is to start the daemon anew"),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            error!(seconds, "a listener does not answer; systemd is to start the daemon anew");
        }
    }
}

/// How long the answers may take; each is a few microseconds of work.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shortest time between two signs.
const SHORTEST: Duration = Duration::from_millis(100);
