//! A directory for the files of one run, gone when it ends.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::environment::Environment;

/// A directory that only its owner can enter, removed with all that is in it when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new directory under `XDG_RUNTIME_DIR`, which is memory and ends with the login, else under `/tmp`.
    pub(super) fn new(environment: &Environment) -> io::Result<Self> {
        let own = environment.path("XDG_RUNTIME_DIR").filter(|path| private(path));
        let base = own.unwrap_or_else(|| PathBuf::from("/tmp"));
        // mkdtemp makes it 0700 and never takes one that exists.
        let path = nix::unistd::mkdtemp(&base.join("credbroker-exec-XXXXXX"))?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a directory is the caller's, and nobody else can change what is in it.
fn private(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| {
        it.is_dir() && it.uid() == nix::unistd::geteuid().as_raw() && it.mode() & 0o022 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_its_content() {
        let runtime = tempfile::tempdir().unwrap();
        fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let environment: Environment = [("XDG_RUNTIME_DIR", runtime.path())].into_iter().collect();
        let scratch = Scratch::new(&environment).unwrap();
        let file = scratch.file("token");
        assert!(file.starts_with(runtime.path()));
        fs::write(&file, "t").unwrap();
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
        drop(scratch);
        assert_eq!(fs::read_dir(runtime.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_runtime_directory_open_to_others_is_not_used() {
        let runtime = tempfile::tempdir().unwrap();
        fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let environment: Environment = [("XDG_RUNTIME_DIR", runtime.path())].into_iter().collect();
        assert!(Scratch::new(&environment).unwrap().file("x").starts_with("/tmp"));
    }
}
