//! The end of a start that failed, where systemd holds the sockets: those who wait at them are told.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::endpoint::Closed;
use crate::endpoint::budget::{Budget, Purpose};
use crate::endpoint::listener::{ControlDoor, TcpDoor};
use crate::endpoint::server::{Shutdown, serve};
use crate::model::Channel;
use crate::systemd::Sockets;
use crate::telemetry::meters::Meters;

/// Answers whoever waits at `sockets` that there is no daemon, and `why`.
///
/// systemd starts the service anew for each connection that waits, and gives the sockets up when that fails too often.
/// So none is left waiting, and where there was one, this takes so long that the limit is not met: four starts in the
/// ten seconds in which it allows five.
pub(super) async fn turn_away(sockets: &Sockets, why: &str) {
    let closed = Closed::new(why);
    let (stop, shutdown) = Shutdown::new();
    let mut serving = JoinSet::new();
    let (budget, meters) = (Budget::of_process(), Meters::default());
    let (room, meter) = (|| budget.room(Purpose::Lending), || meters.door("closed"));
    for (name, socket) in sockets.tcp_sockets() {
        let channel = if name == "imds" { Channel::Imds } else { Channel::Container };
        if let Ok(door) = TcpDoor::adopt(socket, channel) {
            serving.spawn(serve(door, closed.clone().into(), room(), meter(), shutdown.clone()));
        }
    }
    for socket in sockets.unix_sockets() {
        if let Ok(door) = ControlDoor::adopt(socket) {
            serving.spawn(serve(door, closed.clone().into(), room(), meter(), shutdown.clone()));
        }
    }
    if serving.is_empty() {
        return;
    }
    sleep(GLANCE).await;
    if closed.was_asked() {
        sleep(PAUSE).await;
    }
    stop.now();
    while serving.join_next().await.is_some() {}
}

/// How long somebody who waits already may take to be seen.
const GLANCE: Duration = Duration::from_millis(200);

/// See [`turn_away`].
const PAUSE: Duration = Duration::from_secs(3);
