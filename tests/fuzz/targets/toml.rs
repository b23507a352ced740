//! The configuration: whatever is in the file, it is read or its faults are told, the same each time.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use credbroker::config::{self, Surroundings};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let key = r#"{"Version":1,"AccessKeyId":"AKIAFUZZ","SecretAccessKey":"x"}"#;
    std::fs::write(directory.path().join("base.json"), key).expect("a file");
    directory
});

fuzz_target!(|bytes: &[u8]| {
    let path: PathBuf = DIRECTORY.path().join("config.toml");
    std::fs::write(&path, bytes).expect("a file");
    let surroundings = Surroundings {
        home: Some("/nonexistent".into()),
        user: "fuzz".to_owned(),
        host: "fuzz".to_owned(),
        uid: 1000,
        env_has_keys: true,
        ..Surroundings::default()
    };
    let read = || match config::load(&path, &surroundings) {
        Ok(config) => {
            assert!(!config.plans.is_empty() && !config.endpoints.is_empty());
            config::explain(&config)
        }
        Err(faults) => {
            let text = faults.render(false);
            assert!(!text.is_empty(), "a refusal says why");
            assert_eq!(faults.render(true).is_empty(), text.is_empty());
            text
        }
    };
    assert_eq!(read(), read());
});
