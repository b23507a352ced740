//! The file where the seed of a new device is kept, so that a daemon can compute its codes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files;
use crate::iam::journal::hex;
use crate::model::{CodeSource, Failure, FailureKind, MfaDevice, SecretSource};

/// A file for a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile(PathBuf);

/// A seed in its file, or on the way there, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Whose digest the seed has, by which it is told from any other. A seed is 40 random bytes: this gives nothing of it
    /// away.
    digest: String,
    /// Where what was there before is kept.
    pub old: Option<PathBuf>,
    /// The file.
    pub path: PathBuf,
}

impl SeedFile {
    /// Where `device` says that its seed is; `None` where nobody but the person has it.
    ///
    /// # Errors
    /// `Misconfigured` where it says so in a way that no seed can be put there.
    pub fn of(device: &MfaDevice) -> Result<Option<Self>, Failure> {
        match &device.code {
            CodeSource::Command(_) | CodeSource::Prompt => Ok(None),
            CodeSource::Totp(SecretSource::File(path)) => Ok(Some(Self(path.clone()))),
            CodeSource::Totp(
                source @ (SecretSource::Command(_) | SecretSource::SystemdCredential { .. }),
            ) => Err(fail(format!(
                "a new seed cannot be put into {source}; write code = {{ totp = {{ file = \"...\" }} }} while the device is \
                 enrolled and move the seed then, or code = \"prompt\""
            ))),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Finds out whether a seed can be put there, and changes nothing; what is there is in the way without `force`.
    ///
    /// # Errors
    /// `Misconfigured` with what is in the way.
    pub fn check(&self, force: bool) -> Result<(), Failure> {
        let path = self.0.display();
        if is_there(&self.0) && !force {
            return Err(fail(format!(
                "{path} is there already: another device's seed may be in it; take it away, or have it kept as {path}.old with --force"
            )));
        }
        if is_there(&self.0) && is_there(&self.old()) {
            return Err(fail(format!("{path}.old is there already; take it away first")));
        }
        let directory = self.0.parent().unwrap_or_else(|| Path::new("."));
        access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| {
            fail(format!("nothing can be written in {}: {}", directory.display(), errno.desc()))
        })
    }

    /// What there will be when `seed` is put there.
    #[must_use]
    pub fn kept(&self, seed: &SecretString) -> Kept {
        let old = is_there(&self.0).then(|| self.old());
        Kept { digest: digest(seed.expose_secret()), old, path: self.0.clone() }
    }

    fn old(&self) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(".old");
        name.into()
    }
}

impl Kept {
    /// Puts `seed` there.
    ///
    /// # Errors
    /// `Misconfigured` where the file cannot be written; nothing is there then but what was.
    pub fn put(&self, seed: &SecretString) -> Result<(), Failure> {
        let seed = seed.expose_secret();
        let mut text = Zeroizing::new(String::with_capacity(seed.len() + 1));
        text.push_str(seed);
        text.push('\n');
        let moved = self.old.as_ref().map_or(Ok(()), |old| fs::rename(&self.path, old));
        let written =
            moved.and_then(|()| files::write_atomically(&self.path, text.as_bytes(), 0o600));
        written.map_err(|error| {
            let _ = self.take_back();
            let (path, said) = (self.path.display(), files::said(&error));
            fail(format!("the seed cannot be written to {path}: {said}"))
        })
    }

    /// The seed, where it is there.
    #[must_use]
    pub fn seed(&self) -> Option<SecretString> {
        let text = files::read_secret(&self.path, MAX_BYTES).ok()?;
        let seed = text.trim();
        (digest(seed) == self.digest).then(|| SecretString::from(seed))
    }

    /// Removes the seed, and puts back what was there before, as far as either was done; no other seed is touched.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take_back(&self) -> io::Result<()> {
        files::sweep(&self.path);
        let is_ours = self.seed().is_some();
        match &self.old {
            Some(old) if is_there(old) && (is_ours || !is_there(&self.path)) => {
                fs::rename(old, &self.path)
            }
            _ if is_ours => fs::remove_file(&self.path),
            Some(_) | None => Ok(()),
        }
    }
}

fn digest(seed: &str) -> String {
    hex(&Sha256::digest(seed.as_bytes()))
}

/// Whether anything has this name, a link that leads nowhere, too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, "Seed", message)
}

/// Largest seed that is read, in bytes.
const MAX_BYTES: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn seed(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn names(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn a_seed_is_its_owners_alone_and_what_was_there_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = SeedFile(directory.path().join("me.seed"));
        file.check(false).unwrap();
        let kept = file.kept(&seed("ABC"));
        kept.put(&seed("ABC")).unwrap();
        assert_eq!(fs::read(&file.0).unwrap(), b"ABC\n");
        assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(kept.seed().unwrap().expose_secret(), "ABC");
        kept.take_back().unwrap();
        assert_eq!(names(directory.path()), 0);

        fs::write(&file.0, "old").unwrap();
        assert!(file.check(false).unwrap_err().message.contains("--force"));
        file.check(true).unwrap();
        let kept = file.kept(&seed("ABC"));
        kept.put(&seed("ABC")).unwrap();
        assert_eq!(fs::read(kept.old.as_ref().unwrap()).unwrap(), b"old");
        assert!(file.check(true).unwrap_err().message.contains("take it away first"));
        for _ in 0..2 {
            kept.take_back().unwrap();
            assert_eq!(fs::read(&file.0).unwrap(), b"old");
            assert_eq!(names(directory.path()), 1);
        }
    }

    #[test]
    fn what_was_done_in_part_is_taken_back_and_another_seed_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = SeedFile(directory.path().join("me.seed"));
        fs::write(&file.0, "old").unwrap();
        let kept = file.kept(&seed("ABC"));
        // Before the first step, and after it.
        kept.take_back().unwrap();
        assert_eq!(fs::read(&file.0).unwrap(), b"old");
        fs::rename(&file.0, kept.old.as_ref().unwrap()).unwrap();
        fs::write(directory.path().join(".me.seed.4294967295.new"), "ABC").unwrap();
        kept.take_back().unwrap();
        assert_eq!((fs::read(&file.0).unwrap(), names(directory.path())), (b"old".to_vec(), 1));

        kept.put(&seed("ABC")).unwrap();
        fs::write(&file.0, "another").unwrap();
        kept.take_back().unwrap();
        assert_eq!(fs::read(&file.0).unwrap(), b"another");
        assert_eq!(fs::read(kept.old.as_ref().unwrap()).unwrap(), b"old");
    }

    #[test]
    fn the_journal_has_nothing_of_a_seed() {
        let kept = SeedFile("me.seed".into()).kept(&seed("GEZDGNBVGY3TQOJQ"));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("GEZD"), "{text}");
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
    }

    #[test]
    fn a_place_that_takes_no_seed_is_refused() {
        let file = SeedFile("/nowhere/me.seed".into());
        assert!(file.check(false).unwrap_err().message.contains("nothing can be written"));
        let serial = crate::model::MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
        let copy = SecretSource::SystemdCredential { name: "seed".into(), path: "/x".into() };
        let device = |code| MfaDevice { serial: serial.clone(), code };
        let refused = SeedFile::of(&device(CodeSource::Totp(copy))).unwrap_err();
        assert!(refused.message.contains("systemd's credential seed"), "{refused}");
        assert_eq!(SeedFile::of(&device(CodeSource::Prompt)).unwrap(), None);
    }
}
