//! How long a token is used: for the first half of its life, by its own expiry.
//!
//! So it never dies on the way to the STS, and a session that may not outlive its token (`MinIO` sees to that) has half
//! of the token's life at least. Sessions last long, and those that are taken together share a token all the same.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A token with its times.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: SecretString,
    /// From when on another one is asked for.
    pub(super) renew_at: SystemTime,
    /// Until when it can still be shown where no other can be had.
    last_use: SystemTime,
}

impl Held {
    /// A token that came at `now`; `None` where it had expired by then.
    ///
    /// Its expiry is `exp` where it is a JWT (RFC 7519, section 4.1.4), else what the provider said of it; a token of
    /// which nothing is known is used once.
    pub(super) fn new(
        token: SecretString,
        expires_in: Option<Duration>,
        now: SystemTime,
    ) -> Option<Self> {
        let expires = expiry(&token).or_else(|| expires_in.and_then(|life| now.checked_add(life)));
        let Some(expires) = expires else {
            return Some(Self { token, renew_at: now, last_use: now });
        };
        let life = expires.duration_since(now).ok().filter(|life| !life.is_zero())?;
        Some(Self {
            token,
            renew_at: expires - life / 2,
            last_use: expires - LAST_CALL.min(life / 2),
        })
    }

    /// Whether it is shown without asking for another.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.renew_at
    }

    /// Whether it can be shown where no other can be had.
    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        now < self.last_use
    }
}

/// When a JWT expires, by its own word: it is forwarded, so whether the word is true is for the STS to check.
fn expiry(token: &SecretString) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<f64>,
    }
    let claims: Claims =
        jsonwebtoken::dangerous::insecure_decode_claims(token.expose_secret()).ok()?;
    let since = Duration::try_from_secs_f64(claims.exp?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// How long a call to an STS may take, and a little more.
const LAST_CALL: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }

    fn jwt(exp: &str) -> SecretString {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let claims = format!(r#"{{"exp":{exp},"aud":["a","b"]}}"#);
        format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(&claims)).into()
    }

    fn of_life(seconds: u64) -> Held {
        let exp = now() + Duration::from_secs(seconds);
        let exp = exp.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        Held::new(jwt(&exp.to_string()), None, now()).unwrap()
    }

    #[test]
    fn a_token_is_renewed_before_it_could_die_on_the_way() {
        for life in [3600, 300, 60, 10] {
            let held = of_life(life);
            let half = now() + Duration::from_secs(life / 2);
            assert!(!held.is_fresh(half), "{life}");
            assert!(held.is_fresh(half - Duration::from_secs(1)), "{life}");
            assert!(held.is_alive(half - Duration::from_millis(1)), "{life}");
        }
        let held = of_life(300);
        assert!(held.is_alive(now() + Duration::from_secs(279)));
        assert!(!held.is_alive(now() + Duration::from_secs(280)));
    }

    #[test]
    fn the_tokens_own_word_wins_over_the_providers() {
        let hour = Some(Duration::from_hours(1));
        let soon = (now() + Duration::from_mins(5)).duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let held = Held::new(jwt(&format!("{}.5", soon.as_secs())), hour, now()).unwrap();
        assert!(!held.is_fresh(now() + Duration::from_mins(5)));
        let opaque = Held::new("opaque".into(), hour, now()).unwrap();
        assert!(opaque.is_fresh(now() + Duration::from_mins(29)));
        assert!(!opaque.is_fresh(now() + Duration::from_mins(31)));
        assert!(!Held::new("opaque".into(), None, now()).unwrap().is_fresh(now()));
        assert!(Held::new(jwt("1"), hour, now()).is_none());
        for odd in ["-1", "1e300"] {
            assert!(Held::new(jwt(odd), hour, now()).unwrap().is_fresh(now()), "{odd}");
        }
    }
}
