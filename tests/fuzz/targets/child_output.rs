//! What files and commands give: a key, or a session, or a reason why it is neither.

#![no_main]

use std::sync::LazyLock;

use credbroker::model::{KeySource, Signer};
use credbroker::source::read_key;
use credbroker_fuzz::{SECRET, run};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory"));

fuzz_target!(|bytes: &[u8]| {
    let path = DIRECTORY.path().join("key");
    std::fs::write(&path, bytes).expect("a file");
    let _ = std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600));
    match run(read_key(&KeySource::File(path))) {
        Ok(signer) => {
            assert!(matches!(signer, Signer::LongTerm(_)), "a file gives a key");
            assert!(!format!("{signer:?}").contains(SECRET), "it is printed");
        }
        Err(failure) => {
            assert!(!failure.message.contains(SECRET), "it is told: {}", failure.message)
        }
    }
});
