//! A key in a file, of which every other byte stays as it is: the new one is there by one rename.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{self, Within};
use super::fail;
use crate::files;
use crate::model::{Failure, LongTermKey};

/// A file in which a key can be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::iam) struct FilePlace {
    path: PathBuf,
    within: Within,
}

impl FilePlace {
    /// A file that is about one key alone.
    pub(super) fn whole(path: &Path) -> Self {
        Self { path: path.to_owned(), within: Within::Whole }
    }

    /// The AWS shared file in which the SDKs find the key of the profile `name`.
    pub(super) fn in_aws_files(
        name: &str,
        credentials: &Path,
        config: &Path,
    ) -> Result<Self, Failure> {
        let places = [
            Self { path: credentials.to_owned(), within: Within::Credentials(name.to_owned()) },
            Self { path: config.to_owned(), within: Within::Config(name.to_owned()) },
        ];
        for place in places {
            if place.path.exists() && place.within.has_key(&place.read()?) {
                return Ok(place);
            }
        }
        Err(fail(format!(
            "neither {} nor {} has an aws_access_key_id for the profile `{name}`; `aws configure` puts one there",
            credentials.display(),
            config.display()
        )))
    }

    /// The file.
    pub(in crate::iam) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds out whether `new` could take the place of the key `id`.
    pub(super) fn check(&self, id: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.edited(id, new)?;
        files::check_replaceable(&self.path).map_err(|error| self.unwritten(&error))
    }

    /// Puts `new` where the key `id` is.
    pub(super) fn replace(&self, id: &str, new: &LongTermKey) -> Result<(), Failure> {
        let text = self.edited(id, new)?;
        files::replace(&self.path, text.as_bytes()).map_err(|error| self.unwritten(&error))
    }

    fn edited(&self, id: &str, new: &LongTermKey) -> Result<Zeroizing<String>, Failure> {
        let edited = document::edited(&self.read()?, &self.within, id, new);
        edited.map_err(|what| fail(format!("{} {what}", self.path.display())))
    }

    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        files::read_text(&self.path, FILE_CAP).map_err(|fault| fail(fault.to_string()))
    }

    fn unwritten(&self, error: &std::io::Error) -> Failure {
        fail(format!(
            "{} cannot be replaced: {}; run this as the user whose file it is",
            self.path.display(),
            files::said(error)
        ))
    }
}

/// Largest file that a key is put into, in bytes; what it is read from has the same bound.
const FILE_CAP: u64 = 1 << 20;
