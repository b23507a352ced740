//! The loop that takes streams from a door, and how many it has at once.
//!
//! Every connection is a task of the [`serve`] that accepted it, and ends with it. A door that is full lets go whoever has
//! kept it waiting for longest, so that clients who say nothing, however many, keep out nobody who has something to ask.

mod connection;
mod crowd;
mod pulse;
mod shutdown;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use crate::endpoint::budget::Room;
use crate::endpoint::listener::Door;
use crate::endpoint::server::connection::converse;
use crate::endpoint::server::crowd::{Crowd, GRACE};
use crate::endpoint::server::pulse::Pulse;
use crate::endpoint::{Endpoint, Visitor};
use crate::telemetry::meters::{DoorMeter, Meters};

pub use shutdown::{Shutdown, Stop};

/// Serves whoever comes by `door` until `shutdown` begins, then lets the requests that are under way finish.
///
/// There are never more connections than `room` has. One more is taken in the place of the one that has kept its client's
/// next request, or has left its answer, for longest; where all are being answered, it waits in the kernel's queue.
pub async fn serve<D: Door, E: Endpoint>(
    door: D,
    endpoint: Arc<E>,
    room: Room,
    meter: DoorMeter,
    mut shutdown: Shutdown,
) {
    let meter = Arc::new(meter);
    let origin = Instant::now();
    let mut tasks = JoinSet::new();
    let mut crowd = Crowd::default();
    let mut told = Told::default();
    let roll = shutdown.clone();
    loop {
        let limit = room.connections();
        meter.has_places(limit);
        // Those who were let go have their descriptors until their tasks have ended.
        let is_open =
            tasks.len() < limit || tasks.len() == crowd.len() && crowd.can_yield(Instant::now());
        let accepted = tokio::select! {
            // Those who have gone make room before the next comes in.
            biased;
            () = shutdown.begun() => break,
            () = roll.called() => continue,
            Some(ended) = tasks.join_next_with_id() => {
                leave(&mut crowd, ended);
                continue;
            }
            accepted = door.accept(), if is_open => accepted,
            () = sleep(GRACE), if !is_open => continue,
        };
        match accepted {
            Ok((stream, visitor)) => {
                told.accepted(crowd.len(), limit);
                if crowd.len() >= limit && crowd.yield_one(Instant::now()) {
                    told.full(limit);
                    meter.cut_for_room();
                }
                let pulse = Arc::new(Pulse::new(origin));
                let endpoint = Arc::clone(&endpoint);
                let shutdown = shutdown.clone();
                let (watched, meter) = (Arc::clone(&pulse), Arc::clone(&meter));
                let task = tasks.spawn(async move {
                    let _open = meter.opened();
                    converse(stream, &*endpoint, &visitor, &watched, &meter, shutdown).await;
                });
                crowd.enter(pulse, task);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                meter.not_accepted();
                told.failed(&error);
                if is_scarcity(&error) && crowd.yield_one(Instant::now()) {
                    meter.cut_for_room();
                }
                // What knocks is still there, so that asking again at once would spin.
                tokio::select! {
                    () = shutdown.begun() => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(door);
    while tasks.join_next().await.is_some() {}
}

/// Serves the requests of one connection until it is closed from either side.
pub async fn serve_connection<S, E>(stream: S, endpoint: &E, visitor: &Visitor, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    E: Endpoint,
{
    let (pulse, meter) = (Pulse::new(Instant::now()), Meters::default().door("none"));
    converse(stream, endpoint, visitor, &pulse, &meter, shutdown).await;
}

fn leave(crowd: &mut Crowd, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
    match ended {
        Ok((task, ())) => crowd.leave(task),
        Err(error) => {
            crowd.leave(error.id());
            if !error.is_cancelled() {
                error!(%error, "the task of a connection died");
            }
        }
    }
}

/// Whether a connection could not be taken because the process or the machine has too much open, which closing one mends.
fn is_scarcity(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw).is_some_and(|errno| {
        matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    })
}

/// What has been said of a door, so that it is said once.
#[derive(Default)]
struct Told {
    full: bool,
    failing: bool,
}

impl Told {
    fn accepted(&mut self, connections: usize, limit: usize) {
        if self.failing {
            debug!("connections can be accepted again");
        }
        self.failing = false;
        self.full &= connections >= limit / 2;
    }

    fn full(&mut self, connections: usize) {
        if !self.full {
            warn!(
                connections,
                "all places are taken: whoever waits for longest makes room for who comes"
            );
        }
        self.full = true;
    }

    fn failed(&mut self, error: &io::Error) {
        if !self.failing {
            warn!(%error, "a connection could not be accepted");
        }
        self.failing = true;
    }
}

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
