//! Fingerprints: a value's name that is the same in the next process.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// What two values have in common if they are equal, and else only by a broken hash: SHA-256 over all that `value`
/// gives to a hasher.
///
/// It stays the same as long as the type of `value` does, on one kind of machine. Nobody may count on it for longer.
#[must_use]
pub fn fingerprint(value: &impl Hash) -> [u8; 32] {
    let mut hasher = Absorbing(Sha256::new());
    value.hash(&mut hasher);
    hasher.0.finalize().into()
}

/// Takes all that a value tells of itself.
struct Absorbing(Sha256);

impl Hasher for Absorbing {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_and_others_another() {
        let prints = [
            fingerprint(&("ab", "c")),
            fingerprint(&("a", "bc")),
            fingerprint(&(vec!["a"], vec!["b"])),
            fingerprint(&(vec!["a", "b"], Vec::<&str>::new())),
            fingerprint(&Some(1_u8)),
            fingerprint(&None::<u8>),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
        assert_eq!(fingerprint(&("ab", "c")), fingerprint(&("ab".to_owned(), "c".to_owned())));
    }
}
