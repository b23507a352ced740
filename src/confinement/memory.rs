//! This process's memory, which holds secrets: closed to other processes of the same user, and kept out of core files.

use nix::sys::resource::{Resource, setrlimit};

/// Closes this process's memory and environment to other processes of its user, and keeps it out of core files
/// (`PR_SET_DUMPABLE`, prctl(2)).
///
/// Neither what is forked nor a change of user ids is safe to keep it so: a program that is executed is open again, and whoever
/// changes its user says this anew.
pub fn conceal() {
    // It fails for a wrong argument alone.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Forbids core files to this process and to what it starts, which may hold secrets too.
pub fn forbid_cores() {
    // A limit can always be lowered.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}
