//! The long-term side: the access keys and MFA devices of a user, and where a new key is kept.
//!
//! Who calls this is a person, with the key of a profile or a session of its user. It knows no lease and no daemon, which
//! reads a key anew for each hop and so finds the new one by itself.

mod aws;
mod ceph;
mod client;
mod devices;
pub mod enrolment;
mod journal;
mod keys;
mod place;
pub mod rotation;

pub use devices::{Devices, EnabledDevice, IamUser, NewDevice};
pub use journal::Journal;
pub use keys::{AccessKey, KeyStatus, KeyUse, Keys, LastUse, NewKey};
pub use place::{Place, key_json};
