//! Tests of commands: what they are given, and what becomes of those that misbehave.

use super::*;

async fn shell(script: &str, deadline: Duration, cap: usize) -> Result<String, ChildFault> {
    let arguments = ["-c".to_owned(), script.to_owned()];
    let output = output("/bin/sh", &arguments, deadline, cap).await?;
    Ok(String::from_utf8(output.to_vec()).unwrap())
}

#[tokio::test]
async fn the_output_is_returned() {
    assert_eq!(shell("printf hello", Duration::from_secs(20), 100).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_child_is_fed() {
    let fed = async |script: &str, input: &[u8]| {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let output = fed("/bin/sh", &arguments, input, Duration::from_secs(20), 1 << 20);
        output.await.map(|output| output.len())
    };
    assert_eq!(fed("cat", &[b'x'; INPUT_CAP]).await.unwrap(), INPUT_CAP);
    assert_eq!(fed("exit 0", b"hush").await.unwrap(), 0, "whoever reads nothing is no fault");
    assert!(matches!(fed("cat", &[b'x'; INPUT_CAP + 1]).await, Err(ChildFault::Start(_))));
    assert!(matches!(fed("cat >&2; exit 1", b"hush").await, Err(ChildFault::Failed(_))));
}

#[tokio::test]
async fn the_environment_is_clean() {
    let output = shell("env", Duration::from_secs(20), 10_000).await.unwrap();
    assert_eq!(output.contains("PATH="), std::env::var_os("PATH").is_some());
    assert!(!output.contains("CARGO"), "cargo sets these for a test: {output}");
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let flood = shell("cat /dev/zero", Duration::from_secs(20), 1000).await;
    assert!(matches!(flood, Err(ChildFault::TooMuch(1000))));
}

#[tokio::test]
async fn a_failure_is_told() {
    let failed = shell("echo half; exit 3", Duration::from_secs(20), 100).await;
    assert!(matches!(&failed, Err(ChildFault::Failed(it)) if it.status.code() == Some(3)));
    let said = failed.unwrap_err().to_string();
    assert_eq!(said, "ended with exit status: 3; run it by hand to see why");
}

#[tokio::test]
async fn a_failure_is_told_in_the_childs_own_words() {
    let script = "echo >&2; printf 'Vault is \\033[1msealed\\n' >&2; echo more >&2; exit 2";
    let failed = shell(script, Duration::from_secs(20), 100).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "ended with exit status: 2 and said: Vault is \u{fffd}[1msealed"
    );
}

#[tokio::test]
async fn a_flood_of_errors_stops_nobody() {
    let script = "head -c 1000000 /dev/zero | tr '\\0' 'x' >&2; printf fine";
    assert_eq!(shell(script, Duration::from_secs(20), 100).await.unwrap(), "fine");
    let failed = shell(&format!("{script}; exit 1"), Duration::from_secs(20), 100).await;
    assert!(failed.unwrap_err().to_string().len() < 300);
}

#[tokio::test]
async fn a_child_knows_whom_it_works_for() {
    let output = shell(&format!("echo ${MARKER}"), Duration::from_secs(20), 100).await;
    assert_eq!(output.unwrap().trim(), std::process::id().to_string());
}

#[test]
fn a_failure_is_told_without_arguments_and_secrets() {
    let shown = |said: &str| {
        legible(
            said.as_bytes(),
            &["--pin".into(), "hunter2!".into()],
            "a secret: onlylettersinthissecret",
        )
    };
    for (said, expected) in [
        ("no vault for hunter2!", "no vault for ****"),
        ("key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, sorry", "****, sorry"),
        ("no room for onlylettersinthissecret", "no room for ****"),
        ("token 'eyJhbGciOiJIUzI1NiJ9.e30.x1' expired", "token '****.e30.x1' expired"),
        ("connect to vault.example:8200: refused", "connect to vault.example:8200: refused"),
    ] {
        assert_eq!(shown(said).as_deref(), Some(expected));
    }
    assert_eq!(shown(" \n\t\n"), None);
    assert_eq!(shown(&"word ".repeat(1000)).unwrap().chars().count(), LONGEST_LINE);
}

#[tokio::test]
async fn whoever_hangs_is_killed_with_all_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let mut pid = String::new();
    // On a busy machine the shell may not get as far within the first deadline.
    for deadline in [1, 4, 16] {
        let late = shell(&script, Duration::from_secs(deadline), 100).await;
        assert!(matches!(late, Err(ChildFault::Late(_))));
        pid = std::fs::read_to_string(&file).unwrap_or_default();
        if pid.ends_with('\n') {
            break;
        }
    }
    assert!(pid.ends_with('\n'), "the shell never got so far");
    let gone = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.map_or(true, |status| status.contains("State:\tZ"))
    };
    for _ in 0..500 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the grandchild lives");
}
