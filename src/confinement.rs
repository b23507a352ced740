//! What a process keeps to itself: its memory, and what it says when it breaks down.

mod memory;
mod panics;

pub use memory::{conceal, forbid_cores};
pub use panics::withhold;
