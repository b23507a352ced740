//! The JSON files in which AWS's tools keep their sign-ins: read as they are, and written back with what they had.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use secrecy::SecretString;
use serde_json::{Map, Value};
use tracing::warn;
use zeroize::Zeroizing;

use crate::files::{self, FileProblem};
use crate::model::{Failure, FailureKind, parse_timestamp};
use crate::source::blocking;

/// A sign-in as it is kept.
pub(super) struct Stored {
    path: PathBuf,
    content: Map<String, Value>,
}

impl Stored {
    /// Reads the file of `digest` in `directory`; `None` where there is none.
    ///
    /// # Errors
    /// `Misconfigured` where it cannot be read, or is no JSON object.
    pub(super) async fn read(
        directory: &Path,
        digest: &[u8],
        code: &'static str,
    ) -> Result<Option<Self>, Failure> {
        let mut name = String::with_capacity(2 * digest.len() + 5);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        let path = directory.join(name + ".json");
        blocking(move || {
            let fail = |message| Failure::new(FailureKind::Misconfigured, code, message);
            let text = match files::read_text(&path, CAP) {
                Ok(text) => text,
                Err(fault) => {
                    return match &fault.problem {
                        FileProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                            Ok(None)
                        }
                        FileProblem::Io(_)
                        | FileProblem::NotRegular
                        | FileProblem::NotText
                        | FileProblem::OpenToOthers(_)
                        | FileProblem::OpenWay(..)
                        | FileProblem::Stranger(_)
                        | FileProblem::StrangersWay(..)
                        | FileProblem::TooLarge(_)
                        | FileProblem::Writable(_) => Err(fail(fault.to_string())),
                    };
                }
            };
            // serde's own message may quote a value.
            let content = serde_json::from_str(&text).map_err(|_| {
                fail(format!("{} holds no JSON object; sign in anew", path.display()))
            })?;
            Ok(Some(Self { path, content }))
        })
        .await
    }

    /// What stands at `key`, within the objects that come before it.
    pub(super) fn text(&self, keys: &[&str]) -> Option<&str> {
        let (last, before) = keys.split_last()?;
        let mut object = &self.content;
        for key in before {
            object = object.get(*key)?.as_object()?;
        }
        object.get(*last)?.as_str().filter(|text| !text.is_empty())
    }

    /// What stands at `key`, as a secret.
    pub(super) fn secret(&self, keys: &[&str]) -> Option<SecretString> {
        self.text(keys).map(SecretString::from)
    }

    /// The time that stands at `key`; older tools write `UTC` in the place of `Z`.
    pub(super) fn time(&self, keys: &[&str]) -> Option<SystemTime> {
        let text = self.text(keys)?;
        match text.strip_suffix("UTC") {
            Some(rest) => parse_timestamp(&format!("{rest}Z")),
            None => parse_timestamp(text),
        }
    }

    /// Puts `text` at `key`.
    pub(super) fn set(&mut self, keys: &[&str], text: &str) {
        let Some((last, before)) = keys.split_last() else { return };
        let mut object = &mut self.content;
        for key in before {
            let inner = object.entry(*key).or_insert_with(|| Value::Object(Map::new()));
            let Some(inner) = inner.as_object_mut() else { return };
            object = inner;
        }
        object.insert((*last).to_owned(), Value::from(text));
    }

    /// Writes the file anew, for its owner alone. Where that fails the log says so: what was renewed can be used all
    /// the same, once.
    pub(super) async fn write(self) {
        let outcome = blocking(move || {
            let text = Zeroizing::new(Value::Object(self.content).to_string());
            files::write_atomically(&self.path, text.as_bytes(), MODE).map_err(|error| {
                let path = self.path.display();
                let message = format!("{path} cannot be written: {}", files::said(&error));
                Failure::new(FailureKind::Misconfigured, "File", message)
            })
        })
        .await;
        if let Err(failure) = outcome {
            warn!(
                "{failure}; a renewed sign-in is lost with the daemon, and is to be made anew then"
            );
        }
    }
}

/// It is full of tokens.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Largest file, in bytes; tokens of Identity Center have a few thousand.
const CAP: u64 = 1 << 18;

/// The mode that AWS's tools give these files.
const MODE: u32 = 0o600;
