//! The form of one file: a short head that anybody can read, and a sealed body.
//!
//! ```text
//! "cbs1"     4 bytes   what it is, and the version of the form
//! key        8 bytes   a name of the key that it is sealed with
//! end        8 bytes   seconds since the epoch, big-endian: after that the content is of no use
//! body                 nonce, content and tag (`seal/sealing.rs`), bound to all of the head and to the id
//! ```

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::seal::Key;

/// Writes `content`, which is of use until `end`, for `id`.
pub(super) fn write(key: &Key, id: &[u8], content: &[u8], end: SystemTime) -> io::Result<Vec<u8>> {
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let head = [MAGIC, &name_of(key), &end.to_be_bytes()].concat();
    let body = key.seal(BODY, &[&head, id], content)?;
    Ok([head, body].concat())
}

/// Reads the content of the file `bytes` that [`write()`] has written for `id`.
pub(super) fn read(key: &Key, id: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (head, body) = bytes.split_at_checked(HEAD_LEN).ok_or(Fault::Damaged)?;
    if !head.starts_with(MAGIC) {
        return Err(Fault::Damaged);
    }
    match key.open(BODY, &[head, id], body) {
        Some(content) => Ok(content),
        None if head.get(MAGIC.len()..).is_some_and(|rest| !rest.starts_with(&name_of(key))) => {
            Err(Fault::OtherKey)
        }
        None => Err(Fault::Damaged),
    }
}

/// Until when the content of a file with this beginning is of use, by its own word; `None` where it is no file of ours.
pub(super) fn end(bytes: &[u8]) -> Option<SystemTime> {
    let end = bytes.strip_prefix(MAGIC)?.get(KEY_NAME_LEN..)?.first_chunk()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*end)))
}

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not whole, or not ours.
    Damaged,
    /// It is sealed with another key.
    OtherKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "is damaged",
            Self::OtherKey => "is sealed with another key",
        })
    }
}

fn name_of(key: &Key) -> [u8; KEY_NAME_LEN] {
    let tag = key.tag(KEY_NAME, &[]);
    tag.first_chunk().copied().unwrap_or_default()
}

/// The bytes of the head.
pub(super) const HEAD_LEN: usize = 4 + KEY_NAME_LEN + 8;

const MAGIC: &[u8] = b"cbs1";
const KEY_NAME_LEN: usize = 8;
const KEY_NAME: &[u8] = b"store-key-name";
const BODY: &[u8] = b"store-body";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_written_is_read_by_whoever_has_key_and_id() {
        let bytes = write(&key(1), b"id", b"content", at(1_900_000_000)).unwrap();
        assert_eq!(**read(&key(1), b"id", &bytes).unwrap(), *b"content");
        assert_eq!(end(&bytes), Some(at(1_900_000_000)));
        assert_eq!(end(&bytes[..HEAD_LEN]), Some(at(1_900_000_000)));
        assert_eq!(read(&key(2), b"id", &bytes).unwrap_err(), Fault::OtherKey);
        assert_eq!(read(&key(1), b"di", &bytes).unwrap_err(), Fault::Damaged);
        assert_eq!(end(&bytes[..HEAD_LEN - 1]), None);
        assert_eq!(end(b"something else that is long enough"), None);
    }

    #[test]
    fn each_bit_counts_and_each_byte() {
        let bytes = write(&key(1), b"id", b"content", at(1_900_000_000)).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(read(&key(1), b"id", &changed).is_err(), "{at} {bit}");
            }
            assert_eq!(read(&key(1), b"id", &bytes[..at]).unwrap_err(), Fault::Damaged);
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(read(&key(1), b"id", &longer).unwrap_err(), Fault::Damaged);
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&key(1), b"id", &bytes).is_err());
            let ours = [MAGIC, &name_of(&key(1)), &bytes].concat();
            prop_assert!(read(&key(1), b"id", &ours).is_err());
        }
    }
}
