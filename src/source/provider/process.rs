//! `credential_process`: a program that prints credentials (AWS SDKs and Tools Reference Guide, "Process credential
//! provider").
//!
//! AWS's own tools wait for it without end and read whatever it writes (contract C); this one is kept on the leash
//! of every other command.

use std::time::Duration;

use crate::child;
use crate::model::{CommandLine, Failure, FailureKind, Provider};
use crate::source::commanded;
use crate::source::provider::given::{Given, PROCESS};

/// Runs `command` and reads what it prints.
///
/// # Errors
/// `Unreachable` where it hangs or fails, as a vault behind it may be down; `Misconfigured` where it is not there or
/// prints something else.
pub(super) async fn ask(command: &CommandLine) -> Result<Given, Failure> {
    let name = Provider::Process(command.clone()).to_string();
    let output = child::output(command.program(), command.arguments(), DEADLINE, CAP)
        .await
        .map_err(|fault| commanded(PROCESS, &name, &fault))?;
    Given::of_process(&output).map_err(|what| {
        Failure::new(
            FailureKind::Misconfigured,
            PROCESS,
            format!("what {name} prints {what}; run it by hand to see what it prints"),
        )
    })
}

/// How long it may take; Go and Kotlin wait for a minute, the others for ever (contract C).
const DEADLINE: Duration = Duration::from_secs(30);

/// Most that it may print, in bytes: the cap of Java and Kotlin (contract C).
const CAP: usize = 64_000;

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(words: &[&str]) -> Failure {
        let words = words.iter().map(ToString::to_string).collect();
        ask(&CommandLine::new(words).unwrap()).await.unwrap_err()
    }

    #[tokio::test]
    async fn trouble_is_told_by_kind_and_without_arguments() {
        let shell = |script: &'static str| ["sh", "-c", script, "hunter2!"];
        for (script, kind, said) in [
            ("echo 'vault of hunter2! is sealed' >&2; exit 3", FailureKind::Unreachable, "sealed"),
            ("echo garbage hunter2!", FailureKind::Misconfigured, "no JSON"),
            ("no-such-program-here", FailureKind::Misconfigured, "exit status: 127"),
            ("cat /dev/zero", FailureKind::Misconfigured, "more than 64000 bytes"),
        ] {
            let failure = failure(&shell(script)).await;
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.contains(said), "{failure}");
            assert!(
                failure.message.starts_with("the credential_process sh (3 arguments) ")
                    || failure.message.starts_with("what the credential_process sh (3 arguments) ")
            );
            assert!(!failure.message.contains("hunter2!"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_given_up() {
        let failure = failure(&["sleep", "1000"]).await;
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.message.contains("did not end within 30 s"), "{failure}");
    }
}
