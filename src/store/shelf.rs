//! The directory of sealed files: one for each id, found by a name that tells nothing. Waits for the disk.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use crate::files::{self, FileProblem};
use crate::seal::Key;
use crate::store::Id;
use crate::store::form;

/// The files, and the key that makes their names.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    names: Key,
}

/// What is at a place.
pub(super) enum Found {
    /// This.
    Content(Zeroizing<Vec<u8>>),
    /// Nothing.
    Nothing,
    /// What is of no use, and why.
    Bad(String),
}

/// What became of a file that is of no use.
pub(super) enum Aside {
    /// It is kept in the place of an earlier one.
    Again,
    /// It is kept.
    Kept,
    /// It is gone, for too many are kept.
    Removed,
}

/// What a look through the directory has come upon.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Files that are set aside.
    pub(super) aside: usize,
    /// Files that were removed.
    pub(super) removed: usize,
}

impl Shelf {
    pub(super) fn new(directory: PathBuf, names: Key) -> Self {
        Self { directory, names }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the file of `id`.
    pub(super) fn name(&self, id: &Id) -> String {
        hex(&self.names.tag(NAME, &[&id.0]))
    }

    /// Whether there is a file for `id`, of whatever use.
    pub(super) fn has(&self, id: &Id) -> bool {
        fs::symlink_metadata(self.path(id)).is_ok()
    }

    pub(super) fn read(&self, key: &Key, id: &Id) -> io::Result<Found> {
        let path = self.path(id);
        match files::read_secret_bytes(&path, MAX_BYTES) {
            Ok(bytes) => Ok(match form::read(key, &id.0, &bytes) {
                Ok(content) => Found::Content(content),
                Err(fault) => Found::Bad(format!("{} {fault}", path.display())),
            }),
            Err(fault) if fault.is_missing() => Ok(Found::Nothing),
            Err(fault) => match fault.problem {
                FileProblem::Io(error) => Err(error),
                // It is not the file's fault.
                FileProblem::OpenWay(..) | FileProblem::StrangersWay(..) => {
                    Err(io::Error::other(fault.to_string()))
                }
                FileProblem::NotRegular
                | FileProblem::NotText
                | FileProblem::OpenToOthers(_)
                | FileProblem::Stranger(_)
                | FileProblem::TooLarge(_)
                | FileProblem::Writable(_) => Ok(Found::Bad(fault.to_string())),
            },
        }
    }

    pub(super) fn write(
        &self,
        key: &Key,
        id: &Id,
        content: &[u8],
        end: SystemTime,
    ) -> io::Result<()> {
        let bytes = form::write(key, &id.0, content, end)?;
        let written = files::write_atomically(&self.path(id), &bytes, 0o600);
        match written {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(&self.directory)?;
                files::write_atomically(&self.path(id), &bytes, 0o600)
            }
            written => written,
        }
    }

    pub(super) fn remove(&self, id: &Id) -> io::Result<()> {
        gone(fs::remove_file(self.path(id)))
    }

    /// Sets the file of `id` aside, so that it is not met again and can be looked at. Where `many` are aside already, and
    /// none of this id, it is removed.
    pub(super) fn set_aside(&self, id: &Id, many: bool) -> io::Result<Aside> {
        let path = self.path(id);
        let place = path.with_extension(ASIDE);
        let again = fs::symlink_metadata(&place).is_ok();
        if many && !again {
            return gone(fs::remove_file(&path)).map(|()| Aside::Removed);
        }
        fs::rename(&path, &place)?;
        Ok(if again { Aside::Again } else { Aside::Kept })
    }

    /// What is in the directory, as far as it is ours: at most `most` names.
    pub(super) fn names(&self, most: usize) -> io::Result<Vec<String>> {
        names(&self.directory, most)
    }

    /// Removes those of `names` that nobody will ask for: what is not `known`, what ended long before `now`, and what
    /// a write that was broken off has left.
    pub(super) fn sweep(
        &self,
        names: &[String],
        known: &HashSet<String>,
        now: SystemTime,
    ) -> io::Result<Swept> {
        let mut swept = Swept::default();
        for name in names {
            if name.ends_with(ASIDE) {
                swept.aside += 1;
            } else if !known.contains(name) || self.is_over(name, now) {
                gone(fs::remove_file(self.directory.join(name)))?;
                swept.removed += 1;
            }
        }
        Ok(swept)
    }

    /// Whether the file ended so long ago that no clock that is put right brings it back. What cannot be read is not
    /// over: whoever asks for it finds that out.
    fn is_over(&self, name: &str, now: SystemTime) -> bool {
        let mut head = [0; form::HEAD_LEN];
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        let file =
            File::options().read(true).custom_flags(flags.bits()).open(self.directory.join(name));
        let read = file.and_then(|mut file| file.read_exact(&mut head));
        let end = read.ok().and_then(|()| form::end(&head));
        end.is_some_and(|end| now.duration_since(end).is_ok_and(|ago| ago > GRACE))
    }

    fn path(&self, id: &Id) -> PathBuf {
        self.directory.join(self.name(id))
    }
}

/// Removes what is ours in `directory`.
pub(super) fn clear(directory: &Path) -> io::Result<()> {
    names(directory, usize::MAX)?
        .iter()
        .try_for_each(|name| gone(fs::remove_file(directory.join(name))))
}

fn names(directory: &Path, most: usize) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    Ok(entries.filter_map(name).filter(|name| is_ours(name)).take(most).collect())
}

/// A file that is not there need not be removed.
fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Whether a file of this name was made here: a name of ours, one with [`ASIDE`] behind it, or what
/// [`files::write_atomically`] writes before it is renamed.
fn is_ours(name: &str) -> bool {
    let is_name = |text: &str| {
        text.len() == NAME_LEN && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let temporary = name.strip_prefix('.').filter(|name| name.ends_with(TEMPORARY));
    match temporary.unwrap_or(name).split_once('.') {
        None => is_name(name),
        Some((stem, rest)) => is_name(stem) && (temporary.is_some() || rest == ASIDE),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The label of names.
const NAME: &[u8] = b"store-name";

/// The letters of a name.
const NAME_LEN: usize = 64;

/// What the name of a file ends with that is being written.
const TEMPORARY: &str = ".new";

/// What the name of a file that is set aside ends with.
const ASIDE: &str = "bad";

/// Far above any session: AWS's tokens have some two thousand bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// How long after its end a file is kept: a clock that is hours ahead is put right within a day.
const GRACE: Duration = Duration::from_hours(24);
