//! The epoch of tickets: a number that every ticket bears, and that ends them all when it is raised.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::files::{self, FileFault, FileProblem};

/// The epoch of the tickets that are good; cloning is cheap, and all clones are raised together.
#[derive(Clone, Debug)]
pub struct Epoch(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    current: AtomicU64,
    path: Option<PathBuf>,
}

impl Epoch {
    /// An epoch that is kept nowhere.
    #[must_use]
    pub fn new(current: u64) -> Self {
        Self(Arc::new(Kept { current: AtomicU64::new(current), path: None }))
    }

    /// The epoch that the file at `path` keeps, zero where there is none; raising it writes the file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no number: which tickets were ended, nobody knows then.
    pub fn open(path: &Path) -> io::Result<Self> {
        let current = match files::read_secret(path, MAX_FILE) {
            Ok(text) => text.trim().parse().map_err(|_| unreadable(path))?,
            Err(FileFault { problem: FileProblem::Io(error), .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                0
            }
            Err(FileFault { problem: FileProblem::Io(error), .. }) => return Err(error),
            Err(_) => return Err(unreadable(path)),
        };
        let kept = Kept { current: AtomicU64::new(current), path: Some(path.to_owned()) };
        Ok(Self(Arc::new(kept)))
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.current.load(Ordering::Acquire)
    }

    /// Ends every ticket that was given out so far, at once, and then keeps it so. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be written: the tickets are good again after a restart.
    pub fn raise(&self) -> io::Result<()> {
        let raised = self.0.current.fetch_add(1, Ordering::AcqRel) + 1;
        match &self.0.path {
            Some(path) => files::write_atomically(path, format!("{raised}\n").as_bytes(), 0o600),
            None => Ok(()),
        }
    }
}

fn unreadable(path: &Path) -> io::Error {
    let message = format!(
        "{} holds no number; remove it, and token.key beside it, so that old tickets stay ended",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Far above any number's length.
const MAX_FILE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_are_raised_and_the_file_remembers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("epoch");
        let epoch = Epoch::open(&path).unwrap();
        let clone = epoch.clone();
        assert_eq!(epoch.get(), 0);
        epoch.raise().unwrap();
        epoch.raise().unwrap();
        assert_eq!(clone.get(), 2);
        assert_eq!(Epoch::open(&path).unwrap().get(), 2);
    }

    #[test]
    fn an_epoch_that_nobody_can_read_is_not_guessed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("epoch");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(Epoch::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn tickets_end_even_where_that_cannot_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = Epoch::open(&directory.path().join("gone/epoch")).unwrap();
        assert!(epoch.raise().is_err());
        assert_eq!(epoch.get(), 1);
    }
}
