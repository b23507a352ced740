//! credbroker lends out temporary AWS credentials: it assumes roles, keeps their sessions fresh, and hands
//! them to unmodified SDKs over an IMDS endpoint, the container endpoint and `credential_process`.
//!
//! Config names plans, sources make single hops, the broker holds leases by policy, endpoints serve them.
//! The layers, each of which knows only those above it:
//!
//! ```text
//! model  <-  policy  <-  { config, source }  <-  { broker, iam }  <-  endpoint  <-  daemon, cli
//! ```
//!
//! [`store`] keeps sealed files for [`source`], [`broker`] and what is above them.
//!
//! Beside them stand leaves that know nothing of the crate ([`authorities`], [`child`], [`confinement`], [`files`], [`ini`],
//! [`keyring`], [`peer`], [`seal`], [`systemd`], [`telemetry`]) and the [`sandbox`], a strict STS that only the command line and
//! tests use.

pub mod model;
pub mod policy;

pub mod store;

pub mod config;
pub mod source;

pub mod broker;
pub mod iam;

pub mod endpoint;

pub mod cli;
pub mod daemon;

pub mod sandbox;

pub mod authorities;
pub mod child;
pub mod confinement;
pub mod files;
pub mod ini;
pub mod keyring;
pub mod peer;
pub mod seal;
pub mod systemd;
pub mod telemetry;
