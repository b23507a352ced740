//! Sealing: what lacks the key cannot read it, nor change it, nor pass it off as something else.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). Its nonce of 24 bytes is long enough to be drawn at random for
//! each sealing. That something older was put back in the place of something newer, nothing here can tell.

use std::io;

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::seal::{Key, random};

impl Key {
    /// Seals `content` for the purpose that `label` names, and binds it to `parts`: who opens it must name the same.
    ///
    /// # Errors
    /// Where the kernel gives no random bytes.
    pub fn seal(&self, label: &[u8], parts: &[&[u8]], content: &[u8]) -> io::Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(Vec::with_capacity(content.len() + SEAL_LEN));
        body.extend_from_slice(content);
        self.cipher(label)
            .encrypt_in_place(&XNonce::from(nonce), &self.tag(label, parts), &mut *body)
            .map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok([&nonce, body.as_slice()].concat())
    }

    /// Opens what [`Key::seal`] has sealed for the same `label` and `parts`; `None` for anything else.
    #[must_use]
    pub fn open(&self, label: &[u8], parts: &[&[u8]], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(body.to_vec());
        self.cipher(label)
            .decrypt_in_place(&XNonce::from(*nonce), &self.tag(label, parts), &mut *body)
            .ok()?;
        Some(body)
    }

    /// Each purpose has a key of its own.
    fn cipher(&self, label: &[u8]) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(self.tag(CIPHER, &[label]));
        XChaCha20Poly1305::new(&(*key).into())
    }
}

/// The bytes of a nonce.
const NONCE_LEN: usize = 24;

/// What a seal adds to the content, beside the nonce (RFC 8439, section 2.8).
const SEAL_LEN: usize = 16;

/// The label of the keys that are made for each purpose.
const CIPHER: &[u8] = b"XChaCha20-Poly1305";

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    #[test]
    fn what_was_sealed_is_opened_by_whoever_names_the_same() {
        for content in [&b""[..], b"content", &[7; 5000]] {
            let sealed = key(1).seal(b"l", &[b"a", b"b"], content).unwrap();
            assert_eq!(sealed.len(), content.len() + NONCE_LEN + SEAL_LEN);
            assert_eq!(**key(1).open(b"l", &[b"a", b"b"], &sealed).unwrap(), *content);
            assert_ne!(sealed, key(1).seal(b"l", &[b"a", b"b"], content).unwrap());
            for (opener, label, parts) in [
                (key(2), &b"l"[..], [&b"a"[..], b"b"]),
                (key(1), b"m", [b"a", b"b"]),
                (key(1), b"l", [b"ab", b""]),
                (key(1), b"l", [b"b", b"a"]),
            ] {
                assert!(opener.open(label, &parts, &sealed).is_none(), "{label:?} {parts:?}");
            }
        }
    }

    #[test]
    fn no_byte_of_it_can_be_changed_taken_or_added() {
        let sealed = key(1).seal(b"l", &[], b"content").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(key(1).open(b"l", &[], &changed).is_none(), "{at} {bit}");
            }
            assert!(key(1).open(b"l", &[], &sealed[..at]).is_none(), "{at}");
        }
        assert!(key(1).open(b"l", &[], &[&sealed[..], b"x"].concat()).is_none());
    }

    #[test]
    fn the_content_is_not_in_it() {
        let sealed = key(1).seal(b"l", &[], b"a secret that is long").unwrap();
        assert!(
            !sealed.windows(4).any(|four| b"a secret that is long".windows(4).any(|it| it == four))
        );
    }
}
