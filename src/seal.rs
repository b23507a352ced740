//! Keys, and what is made with them: tags, the proof that a token or a ticket was made here; and seals, which hide what
//! they protect (`sealing.rs`).
//!
//! A key is 32 random bytes that only the daemon reads; a label keeps what is made for one purpose from passing for
//! what is made for another. What is tagged stays readable.

mod fingerprint;
mod sealing;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use fingerprint::fingerprint;

/// The bytes of a tag.
pub const TAG_LEN: usize = 32;

/// A key for tags; cloning is cheap, and the bytes are wiped with the last clone.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<[u8; KEY_LEN]>>);

impl Key {
    /// Takes `bytes` as the key.
    #[must_use]
    pub fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The key that `secret` gives, which is at least as hard to guess as a key (HKDF-Extract, RFC 5869); `None` where it
    /// is shorter than one.
    #[must_use]
    pub fn extract(secret: &[u8]) -> Option<Self> {
        let salt = Self::new([0; KEY_LEN]);
        (secret.len() >= KEY_LEN).then(|| Self::new(salt.tag(b"key", &[secret])))
    }

    /// Reads the key in the file `path`, or makes one there, with mode 0600.
    ///
    /// Two processes that start together end up with the same key: a new file is written beside `path` and
    /// linked to it, which succeeds for one of them; the other reads what it finds.
    ///
    /// # Errors
    /// [`KeyFault`], where the file cannot be read or made, is open to others, belongs to somebody else, or
    /// does not hold 32 bytes.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFault> {
        match load(path) {
            Err(KeyProblem::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(KeyProblem::Io).and_then(|()| load(path))
            }
            loaded => loaded,
        }
        .map_err(|problem| KeyFault { path: path.to_owned(), problem })
    }

    /// The tag of `parts` for the purpose that `label` names (HMAC-SHA256, RFC 2104).
    ///
    /// The label and each part go in behind their length, so no two lists of parts are read as one.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "HMAC takes a key of any length (RFC 2104, section 2)"
    )]
    pub fn tag(&self, label: &[u8], parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&**self.0).expect("any length is a key");
        for part in std::iter::once(&label).chain(parts) {
            // A length beyond 64 bits does not exist.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the one of `parts` for `label`; the comparison takes the same time wherever they
    /// differ.
    #[must_use]
    pub fn verify(&self, label: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
        self.tag(label, parts).ct_eq(tag).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Bytes that nobody can guess, from the kernel.
///
/// # Errors
/// What the kernel says; after the machine has booted it gives them always.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A key file that cannot be used, and why.
#[derive(Debug)]
pub struct KeyFault {
    path: PathBuf,
    problem: KeyProblem,
}

#[derive(Debug)]
enum KeyProblem {
    Io(io::Error),
    NotAKey,
    OpenToOthers(u32),
    Stranger(u32),
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            KeyProblem::Io(error) => write!(f, "the key file {path} cannot be used: {error}"),
            KeyProblem::NotAKey => write!(
                f,
                "{path} is not a file of {KEY_LEN} bytes; remove it to have a new key made (what the old one made ends with it)"
            ),
            KeyProblem::OpenToOthers(mode) => {
                write!(f, "{path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
            }
            KeyProblem::Stranger(uid) => {
                write!(f, "{path} belongs to user id {uid}, not to root or to you")
            }
        }
    }
}

impl std::error::Error for KeyFault {}

fn load(path: &Path) -> Result<Key, KeyProblem> {
    // Opening a pipe would wait for its writer, and nobody links a key of ours to elsewhere.
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(KeyProblem::Io)?;
    let metadata = file.metadata().map_err(KeyProblem::Io)?;
    let owner = metadata.uid();
    let mode = metadata.mode() & 0o7777;
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(KeyProblem::Stranger(owner));
    }
    if mode & 0o077 != 0 {
        return Err(KeyProblem::OpenToOthers(mode));
    }
    if !metadata.is_file() || usize::try_from(metadata.len()) != Ok(KEY_LEN) {
        return Err(KeyProblem::NotAKey);
    }
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    file.read_exact(&mut *bytes).map_err(KeyProblem::Io)?;
    Ok(Key(Arc::new(bytes)))
}

fn create(path: &Path) -> io::Result<()> {
    let bytes = Zeroizing::new(random::<KEY_LEN>()?);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:016x}.new", u64::from_be_bytes(random()?)));
    let temporary = PathBuf::from(temporary);
    let linked = write_new(&temporary, &*bytes).and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The bytes of a key: as many as the hash gives, more would add nothing (RFC 2104, section 3).
pub const KEY_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_tag_is_hmac_sha256_over_lengths_and_parts() {
        // Computed with Python: hmac.new(bytes(range(32)), framed, "sha256").
        let mut bytes = [0; KEY_LEN];
        for (byte, value) in bytes.iter_mut().zip(0..) {
            *byte = value;
        }
        let tag = Key::new(bytes).tag(b"label", &[b"one", b""]);
        let expected = "99df825ddebafd72a4d8daab44369947e21116aa9088deeee9ddbe48354bab09";
        let bytes =
            (0..TAG_LEN).map(|i| u8::from_str_radix(&expected[2 * i..2 * i + 2], 16).unwrap());
        assert!(tag.into_iter().eq(bytes));
    }

    #[test]
    fn where_a_part_ends_matters() {
        let key = Key::new([7; KEY_LEN]);
        let tags = [
            key.tag(b"l", &[b"ab", b"c"]),
            key.tag(b"l", &[b"a", b"bc"]),
            key.tag(b"l", &[b"abc"]),
            key.tag(b"l", &[b"abc", b""]),
            key.tag(b"la", &[b"b", b"c"]),
            Key::new([8; KEY_LEN]).tag(b"l", &[b"ab", b"c"]),
        ];
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag));
        }
        assert!(key.verify(b"l", &[b"ab", b"c"], &tags[0]));
        assert!(!key.verify(b"l", &[b"ab", b"c"], &tags[0][..31]));
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let made = Key::load_or_create(&path).unwrap();
        let read = Key::load_or_create(&path).unwrap();
        assert_eq!(**made.0, **read.0);
        assert_ne!(**made.0, [0; KEY_LEN]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn all_who_start_together_have_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let keys: Vec<Key> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| Key::load_or_create(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| **key.0 == **keys[0].0));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_extracted_from_what_is_as_hard_to_guess_as_one() {
        // HKDF-Extract with a salt of zeros, framed as every tag here.
        let key = Key::extract(&[9; KEY_LEN]).unwrap();
        assert_eq!(**key.0, Key::new([0; KEY_LEN]).tag(b"key", &[&[9; KEY_LEN]]));
        assert!(Key::extract(&[9; KEY_LEN + 1]).is_some());
        assert!(Key::extract(&[9; KEY_LEN - 1]).is_none());
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn a_key_that_lies_elsewhere_or_belongs_to_somebody_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("key"), directory.path().join("link"));
        write_new(&path, &[1; KEY_LEN]).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Key::load_or_create(&link).is_err(), "a link was followed");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            let fault = Key::load_or_create(&path).unwrap_err();
            assert!(fault.to_string().contains("belongs to user id 4242"), "{fault}");
        } else {
            eprintln!("a stranger's key was not tried: only root can give a file away");
        }
    }

    #[test]
    fn a_file_that_is_no_key_of_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_new(&path, b"short").unwrap();
        let fault = Key::load_or_create(&path).unwrap_err();
        assert!(fault.to_string().contains("not a file of 32 bytes"));
        fs::write(&path, [1; KEY_LEN]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let fault = Key::load_or_create(&path).unwrap_err();
        assert!(fault.to_string().contains("chmod 600"));
    }
}
