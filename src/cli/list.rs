//! `list`: the profiles that the caller may have.

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, table};
use crate::endpoint::control::wire::ProfileList;

/// Prints them as a table or as the daemon's own JSON.
pub(super) fn run(daemon: &Daemon, json: bool) -> Result<Exit, Complaint> {
    let list = daemon.profiles()?;
    print::report(&if json { print::json(&list) } else { render(list) })?;
    Ok(Exit::Success)
}

fn render(list: ProfileList) -> String {
    if list.profiles.is_empty() {
        return "no profile is yours to use; `credbroker check`, run as the daemon's user, shows who may have what\n".to_owned();
    }
    let rows = list.profiles.into_iter().map(|profile| {
        let region = profile.region.unwrap_or_else(|| "-".to_owned());
        let kept = if profile.eager { "always" } else { "on demand" };
        let whose = profile.role_arn.or(profile.session_of).unwrap_or_else(|| "-".to_owned());
        vec![profile.profile, region, kept.to_owned(), whose]
    });
    table::columns(&["PROFILE", "REGION", "HELD", "ROLE"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::wire::ProfileEntry;

    #[test]
    fn profiles_are_listed_in_columns() {
        let entry = |profile: &str, region: Option<&str>, eager| ProfileEntry {
            profile: profile.into(),
            role_arn: Some("arn:aws:iam::123456789012:role/R".into()),
            session_of: None,
            region: region.map(Into::into),
            eager,
        };
        let profiles = vec![entry("reader", Some("eu-west-1"), true), entry("b", None, false)];
        assert_eq!(
            render(ProfileList { profiles }),
            "PROFILE  REGION     HELD       ROLE\n\
             reader   eu-west-1  always     arn:aws:iam::123456789012:role/R\n\
             b        -          on demand  arn:aws:iam::123456789012:role/R\n"
        );
        assert!(render(ProfileList { profiles: Vec::new() }).starts_with("no profile"));
    }
}
