//! The long-term side: the access keys of an IAM user, and where a new one is kept.
//!
//! Who calls this is a person, with the key of a profile or a session of its user. It knows no lease and no daemon, which
//! reads a key anew for each hop and so finds the new one by itself.

mod client;
mod keys;
mod place;
pub mod rotation;

pub use keys::{AccessKey, KeyStatus, KeyUse, Keys, NewKey};
pub use place::Place;
