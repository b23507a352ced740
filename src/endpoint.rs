//! Leases to bytes: the listeners and what they answer.
//!
//! A [`listener`] says who connected, the [`server`] speaks HTTP/1.1 within its limits, and one of [`Imds`],
//! [`Container`] and [`Control`] answers: it guards, asks the [`Desk`] for a grant, and waits for the lease no longer
//! than its clients do. Nothing here calls an STS, and nothing but [`server`] and [`listener`] touches a socket.

pub mod audit;
pub mod budget;
pub mod control;
pub mod listener;
pub mod server;
pub mod ticket;

mod about;
mod closed;
mod container;
mod desk;
mod epoch;
mod guard;
mod imds;
mod metrics;
mod path;
mod render;
mod reply;
mod token;
mod visitor;

use std::future::Future;
use std::time::{Duration, SystemTime};

use http::Request;
use hyper::body::Incoming;

pub use about::{About, Redeemer};
pub use closed::Closed;
pub use container::Container;
pub use control::Control;
pub use desk::Desk;
pub use epoch::Epoch;
pub use imds::Imds;
pub use metrics::{Health, Metrics};
pub use reply::Reply;
pub use visitor::Visitor;

/// What answers requests: an endpoint without its sockets.
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request of `visitor`.
    fn answer(
        &self,
        request: Request<Incoming>,
        visitor: &Visitor,
    ) -> impl Future<Output = Reply> + Send;
}

/// Whole seconds since the epoch; zero for any time before.
fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
