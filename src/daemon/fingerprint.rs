//! What files look like, so that a change is told from a touch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The looks of some files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprints(BTreeMap<PathBuf, Fingerprint>);

/// All of a file that the outcome of reading it can depend on.
#[derive(Debug, PartialEq, Eq)]
enum Fingerprint {
    Content {
        hash: [u8; 32],
        owner: u32,
        mode: u32,
    },
    /// It is a directory, a pipe or a device.
    Irregular,
    Unreadable(io::ErrorKind),
}

impl Fingerprints {
    /// How `files` look now; blocks as long as the file system does.
    pub(super) fn of(files: &BTreeSet<PathBuf>) -> Self {
        let look = |path: &PathBuf| {
            let found = look(path).unwrap_or_else(|error| Fingerprint::Unreadable(error.kind()));
            (path.clone(), found)
        };
        Self(files.iter().map(look).collect())
    }

    /// The files that look another way than in `before`.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<PathBuf> {
        let differs =
            |(path, found): &(&PathBuf, &Fingerprint)| before.0.get(*path) != Some(*found);
        self.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }
}

fn look(path: &Path) -> io::Result<Fingerprint> {
    // Opening a pipe would wait for its writer.
    let flags = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Fingerprint::Irregular);
    }
    let (owner, mode) = (metadata.uid(), metadata.mode());
    Ok(Fingerprint::Content { hash: hash(file)?, owner, mode })
}

/// What goes beyond the cap is not told apart: no file that a configuration names may be as long.
fn hash(file: File) -> io::Result<[u8; 32]> {
    let mut file = file.take(MAX_BYTES);
    let mut hash = Sha256::new();
    // The file may hold a secret.
    let mut buffer = Zeroizing::new(vec![0; 16 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Four times the longest configuration.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_touch_is_no_change_and_a_mode_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("file"), directory.path().join("other"));
        fs::write(&file, "one").unwrap();
        let files = BTreeSet::from([file.clone(), other.clone()]);
        let mut before = Fingerprints::of(&files);
        let mut changed = || {
            let now = Fingerprints::of(&files);
            let changed = now.changed_since(&before);
            before = now;
            changed
        };
        fs::write(&file, "one").unwrap();
        assert!(changed().is_empty(), "the same content again");
        fs::write(&file, "two").unwrap();
        assert_eq!(changed(), [file.clone()].into());
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(changed(), [file.clone()].into());
        fs::create_dir(&other).unwrap();
        assert_eq!(changed(), [other].into());
        fs::remove_file(&file).unwrap();
        assert_eq!(changed(), [file].into());
    }
}
