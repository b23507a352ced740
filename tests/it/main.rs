//! The integration tests: one binary, a module a theme.

mod config;
mod wire;
mod wire_container;
mod wire_control;
mod wire_imds;
mod wire_load;
mod wire_server;
