//! Sealed files: what was put down is found again, and nothing else is, whatever lies in its place.

#![no_main]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::LazyLock;

use credbroker::seal::Key;
use credbroker::store::{Id, Look, Store};
use credbroker_fuzz::{key, now, run};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

const CONTENT: &[u8] = b"what was put down";

struct World {
    store: Store,
    path: std::path::PathBuf,
    whole: Vec<u8>,
    _directory: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let shelf = directory.path().join("sessions");
    let store = Store::sealed(shelf.clone(), key());
    store.unlock(Key::new([5; 32]), "fuzz");
    let end = now() + std::time::Duration::from_secs(1 << 30);
    run(store.put(id(), Zeroizing::new(CONTENT.to_vec()), end));
    let path =
        std::fs::read_dir(&shelf).expect("a shelf").next().expect("a file").expect("it").path();
    let whole = std::fs::read(&path).expect("its content");
    World { store, path, whole, _directory: directory }
});

fn id() -> Id {
    Id::of("fuzz", &1)
}

fuzz_target!(|change: (u16, u8, Vec<u8>, bool)| {
    let (place, cut, with, anything) = change;
    let mut bytes = WORLD.whole.clone();
    if anything {
        bytes = with;
    } else {
        let place = usize::from(place) % (bytes.len() + 1);
        let end = (place + usize::from(cut)).min(bytes.len());
        bytes.splice(place..end, with);
    }
    // The one before may have been set aside.
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&WORLD.path);
    file.expect("a file").write_all(&bytes).expect("its content");
    let found = run(WORLD.store.get(id(), |content| Some(content.to_vec())));
    if bytes == WORLD.whole {
        assert_eq!(found, Look::Found(CONTENT.to_vec()));
    } else {
        assert_eq!(found, Look::Nothing, "a foreign file was opened");
    }
});
