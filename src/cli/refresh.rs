//! `refresh`: renews a profile's credentials now.

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, table};
use crate::endpoint::control::wire::{ProfileState, ProfileStatus};
use crate::model::{Clock, ProfileName};

/// Asks for new credentials and says what is held then.
pub(super) fn run(daemon: &Daemon, profile: &ProfileName) -> Result<Exit, Complaint> {
    let status = daemon.refresh(profile)?;
    if let Some(complaint) = complaint(&status) {
        return Err(complaint);
    }
    let expires = table::when(status.expires.as_deref(), Clock::system().now());
    let key = status.access_key_id.as_deref().unwrap_or("-");
    print::report(&format!("{}: renewed, key {key}, expires {expires}\n", status.profile))?;
    Ok(Exit::Success)
}

/// Why nothing was renewed; credentials that are still held do not change that.
fn complaint(status: &ProfileStatus) -> Option<Complaint> {
    if status.state == ProfileState::Held && status.trouble.is_none() {
        return None;
    }
    let by_state = Exit::from(status.state);
    let exit = if by_state == Exit::Success { Exit::NotNow } else { by_state };
    let message = match &status.trouble {
        Some(trouble) => trouble.message.clone(),
        None => format!("{} is not renewed yet; try again", status.profile),
    };
    Some(Complaint::new(exit, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::wire::Trouble;

    fn exit(state: ProfileState, trouble: Option<Trouble>) -> Option<Exit> {
        let status = ProfileStatus {
            profile: "reader".into(),
            role_arn: None,
            session_of: None,
            state,
            access_key_id: None,
            issued: None,
            expires: None,
            remaining_seconds: None,
            next_attempt: None,
            issuances: 0,
            trouble,
            mfa: None,
        };
        complaint(&status).map(|complaint| complaint.exit)
    }

    #[test]
    fn only_new_credentials_are_a_success() {
        let trouble =
            || Some(Trouble { code: "E".into(), message: "no".into(), at: String::new() });
        assert_eq!(exit(ProfileState::Held, None), None);
        assert_eq!(exit(ProfileState::Held, trouble()), Some(Exit::NotNow));
        assert_eq!(exit(ProfileState::Idle, None), Some(Exit::NotNow));
        assert_eq!(exit(ProfileState::Refused, trouble()), Some(Exit::Refused));
    }
}
