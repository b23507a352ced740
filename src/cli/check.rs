//! `check`: what the daemon would serve, or every fault of its configuration.

mod rotations;

use std::ffi::CString;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;

use nix::unistd::{Gid, User, getgrouplist};
use serde::Serialize;

use self::rotations::Rotation;
use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::print;
use crate::config::{self, Config, Report, Surroundings};
use crate::model::{Caller, Clock};
use crate::peer;

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
        None => config::explain(&config) + &rotations::explain(&Rotation::all(&config)),
        Some(name) => config::explain_for(&config, name, &user_of(name)?, Clock::system().now()),
    };
    let mut faults = config.warnings.render(colour);
    // Writing to a String cannot fail.
    let _ = untold(&config).try_for_each(|line| writeln!(faults, "{line}"));
    Ok(Findings { exit: Exit::Success, plans, faults })
}

/// The same for programs: one JSON document, faults and all.
fn report(path: Option<&Path>, surroundings: &Surroundings) -> Findings {
    let (exit, report) = match config::find(path, surroundings) {
        Ok(config) => {
            let keys = Rotation::all(&config);
            let mut report = config::report(&config);
            report.faults.extend(untold(&config));
            (Exit::Success, Whole { report, keys })
        }
        Err(faults) => {
            let report = Report { faults: faults.lines().collect(), ..Report::default() };
            (Exit::Config, Whole { report, keys: Vec::new() })
        }
    };
    let plans = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
    Findings { exit, plans, faults: String::new() }
}

/// What the kernel, here where this runs, does not tell of callers, as far as the configuration stands on it.
fn untold(config: &Config) -> impl Iterator<Item = String> {
    let untold = config::untold(config, peer::shortfalls()).into_iter();
    untold.map(|shortfall| format!("warning: {shortfall}"))
}

/// The report, and of each long-term key whether it can be rotated.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    report: Report,
    keys: Vec<Rotation>,
}

/// The user `name` at the control socket, with the groups that the user database says.
fn user_of(name: &str) -> Result<Caller, Complaint> {
    let user = User::from_name(name).ok().flatten().ok_or_else(|| {
        let message = format!("there is no user {name:?}; name one of this machine");
        Complaint::new(Exit::Usage, message)
    })?;
    let groups = CString::new(name).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let groups = groups.unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    let gid = Some(user.gid.as_raw());
    Ok(Caller { gid, groups, ..Caller::at_control(user.uid.as_raw()) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(text: &str, as_user: Option<&str>) -> Findings {
        with(text, |path, surroundings| examine(Some(path), as_user, surroundings, false).unwrap())
    }

    fn with(text: &str, check: impl FnOnce(&Path, &Surroundings) -> Findings) -> Findings {
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
        check(&path, &surroundings)
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
    fn of_each_key_it_is_said_whether_it_can_be_rotated() {
        let role = "role_arn = \"arn:aws:iam::123456789012:role/S3Access\"";
        let text = format!(
            "[profile.idle]\naccess_key = {{ env = true }}\n\
             [profile.vault]\naccess_key = {{ command = [\"/bin/cat\", \"key\"], store_command = [\"/bin/cp\", \"key\"] }}\n\
             [profile.a]\nsource_profile = \"vault\"\n{role}\n\
             [profile.b]\naccess_key = {{ command = [\"/bin/cat\", \"key\"] }}\n{role}\n"
        );
        let plans = check(&text, None).plans;
        let (_, keys) = plans.split_once("\nkeys\n").unwrap();
        let lines: Vec<_> = keys.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("  idle   cannot be rotated: no profile uses"), "{keys}");
        assert!(lines[1].starts_with("         add one with source_profile"), "{keys}");
        assert_eq!(lines[2], "  vault  can be rotated: credbroker keys rotate vault");
        assert!(
            lines[3].starts_with("  b      cannot be rotated: a new key cannot be put"),
            "{keys}"
        );
        assert!(lines[4].contains("add store_command"), "{keys}");
        assert_eq!(lines.len(), 5, "{keys}");
        assert!(!check(&text, Some("root")).plans.contains("keys\n"));
        let json = with(&text, |path, surroundings| report(Some(path), surroundings)).plans;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let keys = json["keys"].as_array().unwrap();
        let profiles: Vec<_> = keys.iter().map(|key| key["profile"].as_str().unwrap()).collect();
        assert_eq!(profiles, ["idle", "vault", "b"]);
        assert_eq!(keys[1]["command"], "credbroker keys rotate vault");
        assert!(keys[1]["why_not"].is_null() && keys[2]["command"].is_null());
        assert!(keys[2]["remedy"].as_str().unwrap().starts_with("add store_command"));
        assert!(json["profiles"].is_array(), "{json}");
    }

    #[test]
    fn a_session_that_is_too_short_for_its_clients_is_warned_of() {
        let short = |seconds: u32| {
            let role = format!("role/S3Access\"\nduration_seconds = {seconds}");
            check(&FINE.replacen("role/S3Access\"", &role, 1), None).faults
        };
        for (seconds, who) in [(900, "boto3 and .NET fetch it again for each"), (1200, "s3fs and")]
        {
            let said = short(seconds);
            assert!(said.contains(who) && said.contains("write 1800 or more"), "{said}");
        }
        assert_eq!(short(1800), "");
    }

    #[test]
    fn a_bad_one_is_refused_with_every_fault_and_no_plan() {
        let findings = check("[profile.a]\nrole_arn = 1\nquux = 2\n", None);
        assert_eq!(findings.exit.code(), 78);
        assert_eq!(findings.plans, "");
        assert_eq!(findings.faults.matches("error: ").count(), 3, "{}", findings.faults);
    }

    #[test]
    fn another_user_has_what_a_rule_gives() {
        let rule = "[[allow]]\nprofiles = [\"reader\"]\nuser = \"bin\"\nendpoint = \"imds\"\n";
        let findings = check(&format!("{FINE}\n{rule}"), Some("bin"));
        assert!(findings.plans.contains("reader  yes, at the endpoint imds"), "{}", findings.plans);
        assert!(findings.plans.contains("writer  no"), "{}", findings.plans);
        let rule = rule.replace("bin", "daemon");
        let findings = check(&format!("{FINE}\n{rule}"), Some("bin"));
        let why = "  reader  no: no rule gives it to this caller\n            the rule for the user daemon, at the endpoint imds does not hold: not the user daemon\n";
        assert!(findings.plans.contains(why), "{}", findings.plans);
        let findings = check(FINE, Some("root"));
        assert!(findings.plans.contains("writer  yes"), "{}", findings.plans);
    }

    #[test]
    fn a_user_that_does_not_exist_is_a_usage_error() {
        assert_eq!(user_of("no such user").unwrap_err().exit, Exit::Usage);
    }
}
