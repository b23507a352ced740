//! What the process keeps to itself, as far as a test can see from within; tests/clients/confinement.py looks from outside.

use std::process::Command;

use credbroker::confinement;

/// Set where this binary runs to break down.
const BREAKS_DOWN: &str = "CREDBROKER_TEST_BREAKS_DOWN";

#[test]
fn a_panic_is_told_by_its_place_and_never_quotes_what_was_worked_on() {
    if std::env::var_os(BREAKS_DOWN).is_some() {
        confinement::withhold();
        // The library shows the whole text that it cannot cut there.
        let secret = "hush-hush-\u{e9}";
        assert!(secret.split_at(11).0.is_empty());
        return;
    }
    let name = "confinement::a_panic_is_told_by_its_place_and_never_quotes_what_was_worked_on";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(BREAKS_DOWN, "1").output();
    let told = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(
        told.contains(".rs:") && told.contains("a fault of ours") && !told.contains("hush-hush"),
        "{told}"
    );
}
