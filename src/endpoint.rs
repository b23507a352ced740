//! Leases to bytes: the listeners and what they answer.

pub mod control;
