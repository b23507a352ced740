//! Pure decisions: when to refresh, how long to back off, who may have what.
//!
//! Nothing here reads a clock, a file or a socket; `now` and randomness are arguments.

mod access;
mod backoff;
mod refresh;
mod step;

pub use access::{Access, Action, Decision, Grant, Refusal};
pub use backoff::Streak;
pub use refresh::{Freshness, MIN_SERVED_LIFE, ask_again_at, freshness, refresh_at};
pub use step::{Standing, Step, next_attempt, next_step};
