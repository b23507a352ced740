//! Pure decisions: when to refresh, how long to back off, how fast to ask, who may have what.
//!
//! Nothing here reads a clock, a file or a socket; `now` and randomness are arguments.

mod access;
mod backoff;
mod expiry;
mod jump;
mod pace;
mod refresh;
mod step;

pub use access::{
    Access, Account, Action, Condition, Decision, Grant, Needs, Profiles, Refusal, Rule, RuleToken,
    TOKEN_GRACE, Unmet,
};
pub use backoff::Streak;
pub use expiry::local_expiry;
pub use jump::{Jump, jump};
pub use pace::{CALLS_A_SECOND, Pace, Urgency};
pub use refresh::{
    Freshness, MIN_SERVED_LIFE, ask_again_at, freshness, least_served_life, overdue_at, refresh_at,
};
pub use step::{Standing, Step, next_attempt, next_step};
