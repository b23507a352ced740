//! What has happened before, and how often it happened again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::endpoint::audit::Event;
use crate::endpoint::audit::record::Record;
use crate::model::Proof;

/// Everything that has happened lately, in drawers, so that those who take something down do not wait for each other.
///
/// What happened is known by a keyed hash of 64 bits: nobody who does not know the key makes two things look alike.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hasher: RandomState,
    drawers: [Mutex<HashMap<u64, Entry>>; DRAWERS],
}

/// One thing that has happened.
#[derive(Debug)]
struct Entry {
    record: Record,
    /// How often it happened again and was not told yet, and when first.
    again: u64,
    first: SystemTime,
    last: SystemTime,
}

/// Whether something has happened before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Yes, and it was counted.
    Before,
    /// No.
    First,
    /// No, and to make room for it this was given up, which is to be told.
    FirstAfter(Vec<Record>),
}

impl Tally {
    /// Takes down that `event` has happened at `now`.
    pub(super) fn see(&self, event: &Event<'_>, now: SystemTime) -> Seen {
        let key = self.key(event);
        let mut drawer = lock(self.drawer(key));
        if let Some(entry) = drawer.get_mut(&key) {
            if entry.again == 0 {
                entry.first = now;
            }
            entry.again += 1;
            entry.last = now;
            return Seen::Before;
        }
        let given_up = if drawer.len() < MOST_A_DRAWER {
            Vec::new()
        } else {
            drawer.drain().filter_map(|(_, mut entry)| entry.sum_up(now)).collect()
        };
        let record = Record::of(event, now);
        drawer.insert(key, Entry { record, again: 0, first: now, last: now });
        if given_up.is_empty() { Seen::First } else { Seen::FirstAfter(given_up) }
    }

    /// What happened again since the last time; what has not for an hour is forgotten.
    pub(super) fn sum_up(&self, now: SystemTime) -> Vec<Record> {
        let mut records = Vec::new();
        for drawer in &self.drawers {
            let mut drawer = lock(drawer);
            records.extend(drawer.values_mut().filter_map(|entry| entry.sum_up(now)));
            let is_recent =
                |entry: &Entry| now.duration_since(entry.last).is_ok_and(|since| since < KEPT);
            drawer.retain(|_, entry| is_recent(entry));
        }
        records
    }

    /// All that makes two events the same; not the process, of which one program may start twenty a minute.
    fn key(&self, event: &Event<'_>) -> u64 {
        let caller = event.caller;
        let proof = match &caller.proof {
            Proof::None => None,
            Proof::Ticket(uid) => Some(u64::from(*uid)),
            Proof::Token(_) => Some(u64::MAX),
        };
        let who = (&caller.endpoint, caller.uid, &caller.unit, caller.source, proof);
        self.hasher.hash_one((who, event.profile, event.outcome))
    }

    fn drawer(&self, key: u64) -> &Mutex<HashMap<u64, Entry>> {
        let [first, ..] = &self.drawers;
        let place = usize::try_from(key).unwrap_or_default() % DRAWERS;
        self.drawers.get(place).unwrap_or(first)
    }
}

impl Entry {
    fn sum_up(&mut self, now: SystemTime) -> Option<Record> {
        let again = std::mem::take(&mut self.again);
        (again > 0).then(|| self.record.again(again, self.first, self.last, now))
    }
}

/// A panic aborts the daemon, so a poisoned lock is met in tests at most.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many as there may be processors that serve.
const DRAWERS: usize = 16;

/// The most things that a drawer has.
const MOST_A_DRAWER: usize = 512;

/// How long what does not happen again is known.
const KEPT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::audit::Outcome;
    use crate::model::{Caller, ProfileName};

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    fn lent(key: &str) -> Outcome<'_> {
        Outcome::Lent { role_arn: None, access_key_id: key, expires: start() }
    }

    fn see(tally: &Tally, uid: u32, outcome: Outcome<'_>, seconds: u64) -> Seen {
        let (caller, profile) = (Caller::at_control(uid), ProfileName::parse("reader").unwrap());
        let event = Event { caller: &caller, profile: Some(&profile), outcome };
        tally.see(&event, start() + Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_is_told_at_once_and_others_are_counted() {
        let tally = Tally::default();
        assert_eq!(see(&tally, 1, lent("A"), 0), Seen::First);
        for (uid, outcome) in [(2, lent("A")), (1, lent("B")), (1, Outcome::Refused("no"))] {
            assert_eq!(see(&tally, uid, outcome, 1), Seen::First);
        }
        for seconds in 2..7 {
            assert_eq!(see(&tally, 1, lent("A"), seconds), Seen::Before);
        }
        let again = tally.sum_up(start() + Duration::from_mins(1));
        let [record] = again.as_slice() else { panic!("one thing happened again: {again:?}") };
        assert_eq!((record.count, record.event, record.who.uid), (Some(5), "lent", Some(1)));
        assert!(record.first.as_ref().unwrap() < record.last.as_ref().unwrap());
        assert_eq!(tally.sum_up(start() + Duration::from_mins(2)), []);
        assert_eq!(see(&tally, 1, lent("A"), 130), Seen::Before, "it is not news for an hour");
        assert_eq!(tally.sum_up(start() + Duration::from_hours(2)).len(), 1);
        assert_eq!(see(&tally, 1, lent("A"), 7300), Seen::First);
    }

    proptest! {
        /// Whatever comes, in whichever order, however much of it: what was told adds up to what happened.
        #[test]
        fn nothing_is_left_out(events in proptest::collection::vec((0_u32..20_000, 0_usize..4, any::<bool>()), 0..4000)) {
            let tally = Tally::default();
            let (mut told, mut now) = (0, 0);
            let count = |records: &[Record]| records.iter().map(|it| it.count.unwrap()).sum::<u64>();
            for (uid, key, pause) in &events {
                now += if *pause { 61 } else { 0 };
                told += match see(&tally, *uid % 9000, lent(["A", "B", "C", "D"][*key]), now) {
                    Seen::Before => 0,
                    Seen::First => 1,
                    Seen::FirstAfter(given_up) => 1 + count(&given_up),
                };
                if *pause {
                    told += count(&tally.sum_up(start() + Duration::from_secs(now)));
                }
            }
            told += count(&tally.sum_up(start() + Duration::from_secs(now)));
            prop_assert_eq!(told, u64::try_from(events.len()).unwrap());
            let kept: usize = tally.drawers.iter().map(|drawer| lock(drawer).len()).sum();
            prop_assert!(kept <= DRAWERS * MOST_A_DRAWER);
        }
    }
}
