//! This process's memory, which holds secrets: closed to other processes of the same user, kept out of core files, and out
//! of swap where the limit allows it.

use nix::libc::MCL_ONFAULT;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

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

/// Locks all memory that this process has and will have, so that none of it is swapped: each page when it is first used, not
/// the whole of every stack and arena (`MCL_ONFAULT`, mlock(2)).
///
/// # Errors
/// Why it is not locked. That is so wherever the limit is finite: what is asked for beyond it later would be refused, and take
/// the process down.
pub fn keep_out_of_swap() -> Result<(), String> {
    let limit = Resource::RLIMIT_MEMLOCK;
    // Root, and whoever has a higher hard limit, may.
    let raised = setrlimit(limit, RLIM_INFINITY, RLIM_INFINITY);
    if raised.is_err() && getrlimit(limit).map(|(soft, _)| soft) != Ok(RLIM_INFINITY) {
        return Err("the limit of locked memory is finite; LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited, lifts it".to_owned());
    }
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    mlockall(flags | MlockAllFlags::from_bits_retain(MCL_ONFAULT))
        .map_err(|error| format!("the kernel does not lock it: {}", error.desc()))
}
