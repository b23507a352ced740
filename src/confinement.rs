//! What a process keeps to itself: its memory, and what it says when it breaks down; and what it gives up for good because
//! it never needs it, so that whoever gets hold of it cannot use it either.
//!
//! Nothing here is fatal: a kernel that lacks something is told of.

mod calls;
mod memory;
mod panics;
mod writing;

pub use calls::deny_calls;
pub use memory::{conceal, forbid_cores, keep_out_of_swap};
pub use panics::withhold;
pub use writing::confine_writing;
