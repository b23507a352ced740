//! `mfa`: what a profile's MFA device is good for beside sessions.

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::print;
use crate::model::ProfileName;

/// Prints the device's present code and nothing else, for another program or the console's login.
pub(super) fn code(daemon: &Daemon, profile: &ProfileName) -> Result<Exit, Complaint> {
    let reserved = daemon.code(profile)?;
    let mut line = Zeroizing::new(String::with_capacity(32));
    line.push_str(reserved.code.expose_secret());
    line.push('\n');
    print::deliver(line.as_bytes())?;
    Ok(Exit::Success)
}
