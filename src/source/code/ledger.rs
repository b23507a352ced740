//! What was given out of each device's codes: a pure record, and its form on the disk.
//!
//! A code is known by when it was the current one and by a keyed hash, which the time salts: from the record alone no
//! code can be told, and a code that is known can be found in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::model::MfaSerial;
use crate::seal::{Key, TAG_LEN};

/// The record of all devices; times in it are seconds since the epoch.
pub(super) struct Ledger {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    key: Key,
    /// What was given out up to here is not known any more.
    forgotten: u64,
    devices: BTreeMap<String, Device>,
}

/// What was given out of one device's codes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Device {
    /// Everything up to here counts as given out: entries that made place for newer ones.
    floor: u64,
    /// In the order in which they were given out.
    spent: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// When the code began to be the current one; of a code that a person typed, when it was given out.
    at: u64,
    /// The keyed hash, in base64.
    tag: String,
}

/// The form on the disk.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    devices: BTreeMap<String, Device>,
    forgotten: u64,
    /// In base64.
    key: String,
}

impl Ledger {
    /// An empty record, whose hashes are made with the key of `bytes`.
    pub(super) fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let key = Key::new(*bytes);
        Self { bytes, key, forgotten: 0, devices: BTreeMap::new() }
    }

    /// The record that `text` is; `None` where it is none, or not whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Document { devices, forgotten, key } = serde_json::from_str(text).ok()?;
        let key = Zeroizing::new(key);
        let decoded = Zeroizing::new(BASE64.decode(key.as_bytes()).ok()?);
        let bytes = Zeroizing::new(<[u8; KEY_LEN]>::try_from(decoded.as_slice()).ok()?);
        let is_tag = |entry: &Entry| tag_bytes(entry).is_some();
        let sound = devices.values().all(|device| device.spent.iter().all(is_tag));
        sound.then(|| Self { forgotten, devices, ..Self::new(bytes) })
    }

    /// The form on the disk.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let key = BASE64.encode(*self.bytes);
        let mut document =
            Document { devices: self.devices.clone(), forgotten: self.forgotten, key };
        // Maps with text for keys, texts and numbers: nothing that JSON cannot say.
        let text = Zeroizing::new(serde_json::to_string(&document).unwrap_or_default());
        document.key.zeroize();
        text
    }

    /// Takes it that anything may have been given out up to `now`.
    pub(super) fn forget(&mut self, now: SystemTime) {
        self.forgotten = self.forgotten.max(seconds(now));
    }

    /// When the first code at or after that of `now` becomes the current one that was not given out, of a device whose
    /// codes live for `period`.
    pub(super) fn next(&self, serial: &MfaSerial, period: Duration, now: SystemTime) -> SystemTime {
        let period = period.as_secs().max(1);
        let device = self.devices.get(serial.as_str());
        let is_spent = |start: u64| {
            let mut spent = device.iter().flat_map(|device| &device.spent);
            spent.any(|entry| (start..start + period).contains(&entry.at))
        };
        let mut start = seconds(now) / period * period;
        if self.floor(serial) >= start {
            start = (self.floor(serial) / period + 1) * period;
        }
        while is_spent(start) {
            start += period;
        }
        SystemTime::UNIX_EPOCH + Duration::from_secs(start)
    }

    /// Whether `code` was given out around `at`, some minutes to either side.
    pub(super) fn was_spent(
        &self,
        serial: &MfaSerial,
        code: &SecretString,
        at: SystemTime,
    ) -> bool {
        let at = seconds(at);
        let device = self.devices.get(serial.as_str());
        device.iter().flat_map(|device| &device.spent).any(|entry| {
            entry.at.abs_diff(at) <= MEMORY.as_secs()
                && tag_bytes(entry).is_some_and(|tag| {
                    let salt = entry.at.to_be_bytes();
                    let code = code.expose_secret().as_bytes();
                    self.key.verify(LABEL, &[serial.as_str().as_bytes(), &salt, code], &tag)
                })
        })
    }

    /// Whether nothing can be said of the codes that are current at `now`: what was given out of them is not known.
    pub(super) fn is_blind(&self, serial: &MfaSerial, now: SystemTime) -> bool {
        let now = seconds(now);
        self.floor(serial) >= now - now % USUAL_PERIOD
    }

    /// Takes down that `code`, which is the current one from `at` on, is given out.
    pub(super) fn spend(&mut self, serial: &MfaSerial, code: &SecretString, at: SystemTime) {
        let at = seconds(at);
        let parts =
            [serial.as_str().as_bytes(), &at.to_be_bytes(), code.expose_secret().as_bytes()];
        let tag = BASE64.encode(self.key.tag(LABEL, &parts));
        let device = self.devices.entry(serial.as_str().to_owned()).or_default();
        device.spent.push(Entry { at, tag });
        let too_many = device.spent.len().saturating_sub(MOST_ENTRIES);
        for old in device.spent.drain(..too_many) {
            device.floor = device.floor.max(old.at);
        }
    }

    fn floor(&self, serial: &MfaSerial) -> u64 {
        let of_device = self.devices.get(serial.as_str()).map_or(0, |device| device.floor);
        of_device.max(self.forgotten)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("devices", &self.devices.len()).finish_non_exhaustive()
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn tag_bytes(entry: &Entry) -> Option<[u8; TAG_LEN]> {
    BASE64.decode(&entry.tag).ok()?.try_into().ok()
}

/// The bytes of the key.
pub(super) const KEY_LEN: usize = 32;

const LABEL: &[u8] = b"mfa-code";

/// For so long a code is known by itself. A server takes it for a minute and a half, so that one which comes again
/// after five minutes is another of the same digits.
const MEMORY: Duration = Duration::from_mins(5);

/// In seconds: the life of a code of most devices (RFC 6238, section 5.2).
const USUAL_PERIOD: u64 = 30;

/// Entries of one device; older ones are remembered by their time alone.
const MOST_ENTRIES: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Zeroizing::new([7; KEY_LEN]))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn serial() -> MfaSerial {
        MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap()
    }

    const STEP: Duration = Duration::from_secs(30);

    #[test]
    fn a_step_is_given_out_once_also_where_the_clock_is_set_back() {
        let mut ledger = ledger();
        let code = SecretString::from("990077");
        assert_eq!(ledger.next(&serial(), STEP, at(3_001)), at(3_000));
        ledger.spend(&serial(), &code, at(3_000));
        assert_eq!(ledger.next(&serial(), STEP, at(3_029)), at(3_030));
        ledger.spend(&serial(), &code, at(3_030));
        assert_eq!(ledger.next(&serial(), STEP, at(2_980)), at(2_970), "was never given out");
        assert_eq!(ledger.next(&serial(), STEP, at(3_010)), at(3_060));
        let other = MfaSerial::parse("GAHT12345678").unwrap();
        assert_eq!(ledger.next(&other, STEP, at(3_010)), at(3_000));
        // The same seconds count where the device's period is another now.
        assert_eq!(ledger.next(&serial(), 2 * STEP, at(3_010)), at(3_060));
    }

    #[test]
    fn what_makes_place_for_newer_entries_stays_given_out() {
        let mut ledger = ledger();
        for step in 0..100 {
            ledger.spend(&serial(), &"990077".into(), at(3_000 + 30 * step));
        }
        assert_eq!(ledger.devices.values().next().unwrap().spent.len(), MOST_ENTRIES);
        for now in [0, 3_000, 4_000, 5_970] {
            assert_eq!(ledger.next(&serial(), STEP, at(now)), at(6_000), "{now}");
        }
    }

    #[test]
    fn a_code_is_known_again_for_some_minutes_and_only_on_its_device() {
        let mut ledger = ledger();
        let code = SecretString::from("990077");
        ledger.spend(&serial(), &code, at(3_000));
        for (now, known) in [(2_700, true), (3_000, true), (3_300, true), (3_301, false)] {
            assert_eq!(ledger.was_spent(&serial(), &code, at(now)), known, "{now}");
        }
        assert!(!ledger.was_spent(&serial(), &"990078".into(), at(3_000)));
        let other = MfaSerial::parse("GAHT12345678").unwrap();
        assert!(!ledger.was_spent(&other, &code, at(3_000)));
    }

    #[test]
    fn what_was_forgotten_is_waited_out() {
        let mut ledger = ledger();
        ledger.forget(at(3_010));
        assert!(ledger.is_blind(&serial(), at(3_029)));
        assert_eq!(ledger.next(&serial(), STEP, at(3_010)), at(3_030));
        assert!(!ledger.is_blind(&serial(), at(3_030)));
        assert_eq!(ledger.next(&serial(), STEP, at(3_031)), at(3_030));
    }

    #[test]
    fn the_text_holds_everything_and_no_code() {
        let mut ledger = ledger();
        ledger.forget(at(5));
        ledger.spend(&serial(), &"990077".into(), at(3_000));
        let text = ledger.to_text();
        assert!(!text.contains("990077"));
        let read = Ledger::parse(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert!(read.was_spent(&serial(), &"990077".into(), at(3_000)));
        for torn in
            ["", "{}", "null", &text[..text.len() - 1], &text.replace("tag\":\"", "tag\":\"x")]
        {
            assert!(Ledger::parse(torn).is_none(), "{torn}");
        }
    }

    proptest! {
        #[test]
        fn no_two_are_of_one_step(nows in prop::collection::vec(0_u64..10_000, 1..100)) {
            let mut ledger = ledger();
            let mut given = std::collections::BTreeSet::new();
            for now in nows {
                let start = ledger.next(&serial(), STEP, at(now));
                prop_assert!(start + STEP > at(now));
                prop_assert!(given.insert(start));
                ledger.spend(&serial(), &"990077".into(), start);
                ledger = Ledger::parse(&ledger.to_text()).unwrap();
            }
        }
    }
}
