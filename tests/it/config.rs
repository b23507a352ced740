//! The configuration: every refusal as a person sees it, and the files that are shipped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use credbroker::config::{self, Surroundings};

/// A directory with the files that the cases name.
fn workshop() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = r#"{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"hush"}"#;
    write("base.json", key, 0o600);
    write("open.json", key, 0o644);
    write("token", "eyJ", 0o644);
    write("rgw-ca.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", 0o644);
    write("not.pem", "hello", 0o644);
    write("read-only.json", r#"{"Version":"2012-10-17","Statement":[]}"#, 0o644);
    write("broken-policy.json", r#"{"Version": }"#, 0o644);
    write("long-policy.json", &format!(r#"{{"Sid":"{}"}}"#, "x".repeat(2048)), 0o644);
    write("bin/key-tool", "#!/bin/sh\n", 0o755);
    write("credentials/unit-key", key, 0o600);
    fs::create_dir(directory.path().join("directory")).unwrap();
    directory
}

fn surroundings(directory: &Path) -> Surroundings {
    Surroundings {
        home: Some("/home/me".into()),
        credentials_directory: Some(directory.join("credentials")),
        search_path: Some(directory.join("bin").into()),
        user: "me".to_owned(),
        host: "laptop".to_owned(),
        uid: 1000,
        ..Surroundings::default()
    }
}

/// What `load` says of `text`, with the directory taken out.
fn outcome(directory: &Path, text: &str) -> String {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    let shown = match config::load(&path, &surroundings(directory)) {
        Ok(config) => format!("fine\n{}", config.warnings),
        Err(faults) => faults.to_string(),
    };
    shown.replace(&*directory.to_string_lossy(), "DIR").trim_end().to_owned()
}

/// `faults.txt` holds one case after another: `=== name`, the configuration, `---`, and what is said of it. With
/// `UPDATE_GOLDEN=1` in the environment the file is written anew, for a person to read the difference.
#[test]
fn every_refusal_names_place_and_remedy() {
    let directory = workshop();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/faults.txt");
    let text = fs::read_to_string(&golden).unwrap();
    let mut written = String::new();
    for case in text.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (source, _) = rest.split_once("\n---\n").unwrap();
        let shown = outcome(directory.path(), source);
        written.push_str(&format!("=== {name}\n{source}\n---\n{shown}\n\n"));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &written).unwrap();
    }
    similar_lines(&text, &written);
}

fn similar_lines(expected: &str, found: &str) {
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(expected, found, "line {} of faults.txt", number + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "the length of faults.txt");
}
