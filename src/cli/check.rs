//! `check`: what the daemon would serve, or every fault of its configuration.

use std::io::{self, IsTerminal};
use std::path::Path;

use nix::unistd::User;

use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::print;
use crate::config::{self, Report, Surroundings};

/// How it is said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Json,
    Words,
}

/// Prints the plan of every profile and who may have it, or, with `as_user`, what that user may have; what is odd, or
/// every fault, goes to stderr.
pub(super) fn run(
    config: Option<&Path>,
    as_user: Option<&str>,
    form: Form,
) -> Result<Exit, Complaint> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let surroundings = Surroundings::of_process();
    let findings = match form {
        Form::Json => report(config, &surroundings),
        Form::Words => examine(config, as_user, &surroundings, colour)?,
    };
    print::report(&findings.plans)?;
    if !findings.faults.is_empty() {
        exit::warn(&findings.faults);
    }
    Ok(findings.exit)
}

/// What `check` has to say.
#[derive(Debug)]
struct Findings {
    exit: Exit,
    /// For stdout.
    plans: String,
    /// For stderr.
    faults: String,
}

fn examine(
    path: Option<&Path>,
    as_user: Option<&str>,
    surroundings: &Surroundings,
    colour: bool,
) -> Result<Findings, Complaint> {
    let config = match config::find(path, surroundings) {
        Ok(config) => config,
        Err(faults) => {
            let faults = faults.render(colour);
            return Ok(Findings { exit: Exit::Config, plans: String::new(), faults });
        }
    };
    let plans = match as_user {
        None => config::explain(&config),
        Some(name) => config::explain_for(&config, name, uid_of(name)?),
    };
    Ok(Findings { exit: Exit::Success, plans, faults: config.warnings.render(colour) })
}

/// The same for programs: one JSON document, faults and all.
fn report(path: Option<&Path>, surroundings: &Surroundings) -> Findings {
    let (exit, report) = match config::find(path, surroundings) {
        Ok(config) => (Exit::Success, config::report(&config)),
        Err(faults) => {
            (Exit::Config, Report { faults: faults.lines().collect(), ..Report::default() })
        }
    };
    let plans = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
    Findings { exit, plans, faults: String::new() }
}

fn uid_of(name: &str) -> Result<u32, Complaint> {
    User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()).ok_or_else(|| {
        let message = format!("there is no user {name:?}; name one of this machine");
        Complaint::new(Exit::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(text: &str, as_user: Option<&str>) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let surroundings = Surroundings {
            home: Some("/home/me".into()),
            env_has_keys: true,
            user: "me".into(),
            uid: 4711,
            ..Surroundings::default()
        };
        examine(Some(&path), as_user, &surroundings, false).unwrap()
    }

    const FINE: &str = r#"
        [[endpoint]]
        kind = "container"
        [[endpoint]]
        kind = "imds"
        address = "127.0.0.1:9912"
        profiles = ["reader"]
        [profile.reader]
        access_key = { env = true }
        role_arn = "arn:aws:iam::123456789012:role/S3Access"
        [profile.writer]
        access_key = { env = true }
        role_arn = "arn:aws:iam::123456789012:role/Writer"
    "#;

    #[test]
    fn a_good_configuration_is_explained() {
        let findings = check(FINE, None);
        assert_eq!(findings.exit, Exit::Success);
        assert!(findings.plans.contains("profile reader"), "{}", findings.plans);
        assert_eq!(findings.faults, "");
    }

    #[test]
    fn a_bad_one_is_refused_with_every_fault_and_no_plan() {
        let findings = check("[profile.a]\nrole_arn = 1\nquux = 2\n", None);
        assert_eq!(findings.exit.code(), 78);
        assert_eq!(findings.plans, "");
        assert_eq!(findings.faults.matches("error: ").count(), 3, "{}", findings.faults);
    }

    #[test]
    fn another_user_has_what_the_metadata_endpoint_gives_to_all() {
        let findings = check(FINE, Some("nobody"));
        assert!(findings.plans.contains("reader  yes, at the endpoint imds"), "{}", findings.plans);
        assert!(findings.plans.contains("writer  no"), "{}", findings.plans);
        let findings = check(FINE, Some("root"));
        assert!(findings.plans.contains("writer  yes"), "{}", findings.plans);
    }

    #[test]
    fn a_user_that_does_not_exist_is_a_usage_error() {
        assert_eq!(uid_of("no such user").unwrap_err().exit, Exit::Usage);
    }
}
