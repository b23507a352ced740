//! The integration tests: one binary, a module a theme.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it calls too"
)]

mod aws_files;
mod callers;
mod cli_env;
mod cli_exec;
mod cli_login;
mod cli_process;
mod cli_reports;
mod cli_whoami;
mod clocks;
mod config;
mod confinement;
mod daemon;
mod day;
mod enrolment;
mod fake_daemon;
mod faults;
mod judge;
mod layers;
mod leaks;
mod mfa;
mod oidc;
mod papers;
mod policies;
mod providers;
mod reactions;
mod reload;
mod restart;
mod rotation;
mod sandbox;
mod sts_calls;
mod wire;
mod wire_audit;
mod wire_container;
mod wire_control;
mod wire_imds;
mod wire_load;
mod wire_login;
mod wire_metrics;
mod wire_rules;
mod wire_server;
mod wire_tokens;
