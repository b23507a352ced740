//! The control socket.

pub mod wire;
