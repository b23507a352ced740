//! The sandbox refuses what AWS refuses, in AWS's words, and gives what AWS gives.
#![allow(
    clippy::expect_used,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod admin;
pub(crate) mod client;
mod faults;
pub(crate) mod iam;
pub(crate) mod iam_devices;
mod mfa;
mod parameters;
mod roles;
mod sdk;
mod sessions;
mod signature;
mod web_identity;
