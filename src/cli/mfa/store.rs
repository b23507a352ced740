//! Where the seed of a new device is kept, so that a daemon can compute its codes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::cli::exit::{Complaint, Exit};
use crate::files;
use crate::model::{CodeSource, MfaDevice, SecretSource};

/// A file for a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Store {
    path: PathBuf,
}

/// A seed in its file.
#[derive(Debug)]
pub(super) struct Stored {
    /// Where what was there before is now.
    pub(super) old: Option<PathBuf>,
    pub(super) path: PathBuf,
}

impl Store {
    /// Where `device` says that its seed is; `None` where nobody but the person has it.
    pub(super) fn of(device: &MfaDevice) -> Result<Option<Self>, Complaint> {
        match &device.code {
            CodeSource::Command(_) | CodeSource::Prompt => Ok(None),
            CodeSource::Totp(SecretSource::File(path)) => Ok(Some(Self { path: path.clone() })),
            CodeSource::Totp(
                source @ (SecretSource::Command(_) | SecretSource::SystemdCredential { .. }),
            ) => Err(Complaint::new(
                Exit::Config,
                format!(
                    "a new seed cannot be put into {source}; write code = {{ totp = {{ file = \"...\" }} }} while the device is \
                     enrolled and move the seed then, or code = \"prompt\""
                ),
            )),
        }
    }

    /// Finds out whether the seed can be put there, and changes nothing.
    pub(super) fn check(&self, force: bool) -> Result<(), Complaint> {
        let path = self.path.display();
        let wrong = |message| Err(Complaint::new(Exit::Config, message));
        if is_there(&self.path) && !force {
            return wrong(format!(
                "{path} is there already: another device's seed may be in it; take it away, or have it kept as {path}.old with --force"
            ));
        }
        if is_there(&self.path) && is_there(&self.old()) {
            return wrong(format!("{path}.old is there already; take it away first"));
        }
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        if let Err(errno) = access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
            let said = errno.desc();
            return wrong(format!("nothing can be written in {}: {said}", directory.display()));
        }
        Ok(())
    }

    /// Puts `seed` there.
    pub(super) fn put(&self, seed: &SecretString) -> Result<Stored, Complaint> {
        let old = is_there(&self.path).then(|| self.old());
        let mut text = Zeroizing::new(String::with_capacity(seed.expose_secret().len() + 1));
        text.push_str(seed.expose_secret());
        text.push('\n');
        let moved = old.as_ref().map_or(Ok(()), |old| fs::rename(&self.path, old));
        let stored = Stored { old, path: self.path.clone() };
        let written =
            moved.and_then(|()| files::write_atomically(&self.path, text.as_bytes(), 0o600));
        match written {
            Ok(()) => Ok(stored),
            Err(error) => {
                // Nothing is there but what was.
                let _ = stored.put_back();
                let (path, said) = (self.path.display(), files::said(&error));
                let message = format!("the seed cannot be written to {path}: {said}");
                Err(Complaint::new(Exit::Config, message))
            }
        }
    }

    fn old(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".old");
        name.into()
    }
}

impl Stored {
    /// Removes the seed, and puts back what was there before.
    pub(super) fn take_back(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        self.put_back()
    }

    fn put_back(&self) -> io::Result<()> {
        match &self.old {
            Some(old) if is_there(old) => fs::rename(old, &self.path),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether anything has this name, a link that leads nowhere, too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_seed_is_its_owners_alone_and_what_was_there_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store { path: directory.path().join("me.seed") };
        store.check(false).unwrap();
        let stored = store.put(&"ABC".to_owned().into()).unwrap();
        assert_eq!(fs::read(&store.path).unwrap(), b"ABC\n");
        assert_eq!(fs::metadata(&store.path).unwrap().permissions().mode() & 0o7777, 0o600);
        stored.take_back().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        fs::write(&store.path, "old").unwrap();
        assert!(store.check(false).unwrap_err().message.contains("--force"));
        store.check(true).unwrap();
        let stored = store.put(&"ABC".to_owned().into()).unwrap();
        assert_eq!(fs::read(stored.old.as_ref().unwrap()).unwrap(), b"old");
        assert!(store.check(true).unwrap_err().message.contains("take it away first"));
        stored.take_back().unwrap();
        assert_eq!(fs::read(&store.path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_takes_no_seed_is_refused() {
        let store = Store { path: "/nowhere/me.seed".into() };
        assert!(store.check(false).unwrap_err().message.contains("nothing can be written"));
        let serial = crate::model::MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
        let copy = SecretSource::SystemdCredential { name: "seed".into(), path: "/x".into() };
        let device = |code| MfaDevice { serial: serial.clone(), code };
        let refused = Store::of(&device(CodeSource::Totp(copy))).unwrap_err();
        assert!(refused.message.contains("systemd's credential seed"), "{refused}");
        assert_eq!(Store::of(&device(CodeSource::Prompt)).unwrap(), None);
    }
}
