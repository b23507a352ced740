//! What the services behind a sign-in have said no to. Until a person has signed in anew it stands where it was read, and
//! leases look there every few seconds: a service is not asked the same as often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// The last token of each sign-in that was refused, and when.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<Arc<str>, (SecretString, SystemTime)>>);

impl Refused {
    /// Takes down that `token` of `sign_in` was refused at `now`.
    pub(super) fn note(&self, sign_in: &Arc<str>, token: &SecretString, now: SystemTime) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(Arc::clone(sign_in), (token.clone(), now));
    }

    /// Whether `token` would be refused again: it was a while ago.
    pub(super) fn holds(&self, sign_in: &Arc<str>, token: &SecretString, now: SystemTime) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(sign_in).is_some_and(|(refused, at)| {
            let is_same =
                refused.expose_secret().as_bytes().ct_eq(token.expose_secret().as_bytes());
            bool::from(is_same) && now.duration_since(*at).is_ok_and(|age| age < BELIEVED)
        })
    }
}

/// How long a no is believed: it may have been a passing one.
const BELIEVED: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_believed_for_a_while_and_of_that_token_alone() {
        let refused = Refused::default();
        let (sign_in, other) = (Arc::from("corp"), Arc::from("else"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let token = SecretString::from("old");
        assert!(!refused.holds(&sign_in, &token, now));
        refused.note(&sign_in, &token, now);
        assert!(refused.holds(&sign_in, &token, now + BELIEVED / 2));
        assert!(!refused.holds(&sign_in, &"new".into(), now));
        assert!(!refused.holds(&other, &token, now));
        assert!(!refused.holds(&sign_in, &token, now + BELIEVED));
        assert!(!refused.holds(&sign_in, &token, now - BELIEVED), "the clock was set back");
    }
}
