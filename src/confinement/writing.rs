//! Where this process may write: in directories of its own alone (Landlock, landlock(7)).

use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};

/// Has this thread, and those that it starts, write in `directories` alone, and execute no program at all. What is to be read
/// stays open: a configuration names files anywhere.
///
/// # Errors
/// Why that is not so: an old kernel, or one that has Landlock turned off.
pub fn confine_writing(directories: &[PathBuf]) -> Result<(), String> {
    let status = restrict(directories).map_err(|error| error.to_string())?;
    if status == RulesetStatus::NotEnforced {
        return Err("this kernel has no Landlock, or has it turned off".to_owned());
    }
    Ok(())
}

fn restrict(directories: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let written: BitFlags<AccessFs> = AccessFs::from_write(NEWEST);
    let mut ruleset = Ruleset::default().handle_access(written | AccessFs::Execute)?.create()?;
    for directory in directories {
        // What is missing cannot be written to.
        if let Ok(handle) = PathFd::new(directory) {
            ruleset = ruleset.add_rule(PathBeneath::new(handle, written))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// The newest version whose rights are asked for; an older kernel gives those that it has. Later ones add what this process
/// needs: the resolution of Unix sockets.
const NEWEST: ABI = ABI::V6;
