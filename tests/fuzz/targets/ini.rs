//! The AWS shared files: whatever is in them, what can be served is, and what cannot be is reported.

#![no_main]

use std::sync::LazyLock;

use credbroker::config::{self, Surroundings};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory"));

fuzz_target!(|files: (Vec<u8>, Vec<u8>)| {
    let (shared, credentials) = files;
    let at = |name: &str| DIRECTORY.path().join(name);
    std::fs::write(at("config"), shared).expect("a file");
    std::fs::write(at("credentials"), credentials).expect("a file");
    let surroundings = Surroundings {
        home: Some(at("home")),
        aws_config_file: Some(at("config")),
        aws_shared_credentials_file: Some(at("credentials")),
        user: "fuzz".to_owned(),
        host: "fuzz".to_owned(),
        uid: 1000,
        ..Surroundings::default()
    };
    let read = || match config::find(None, &surroundings) {
        Ok(config) => config::explain(&config) + &config.warnings.render(false),
        Err(faults) => faults.render(false),
    };
    let text = read();
    assert!(!text.is_empty());
    assert_eq!(read(), text);
});
