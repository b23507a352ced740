//! The files that a configuration stands on, taken down as they are named, whether or not they can be read: whoever
//! mends one of them has mended the configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files named so far; shared by everything that reads them.
#[derive(Debug, Default)]
pub(super) struct NamedFiles(RefCell<BTreeSet<PathBuf>>);

impl NamedFiles {
    /// Takes down `path`.
    pub(super) fn add(&self, path: &Path) {
        self.0.borrow_mut().insert(path.to_owned());
    }

    /// All that were taken down.
    pub(super) fn into_set(self) -> BTreeSet<PathBuf> {
        self.0.into_inner()
    }
}
