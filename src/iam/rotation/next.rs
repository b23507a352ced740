//! What comes next in a rotation, decided from what is written down and what is seen.

use std::time::{Duration, SystemTime};

use crate::iam::KeyStatus;
use crate::iam::rotation::{Awaited, DAY, Facts, Maker, Outcome, Progress, Seen, Step, Terms};

/// What to do next, from what the journal has and what is seen.
#[must_use]
pub fn next(journal: Option<&Progress>, facts: &Facts, terms: &Terms) -> Step {
    let now = facts.now;
    // What took its place is no longer needed beside it.
    if facts.staged.as_ref() == Some(&facts.stored) {
        return Step::Discard;
    }
    match journal {
        None => begin(facts, terms, None),
        Some(Progress::Settled { key, since }) => {
            begin(facts, terms, Some(*since).filter(|_| *key == facts.stored))
        }
        Some(Progress::Making { named: Some(name), old, .. }) => making_named(name, old, facts),
        Some(Progress::Making { before, named: None, old, since }) => {
            making(before, old, *since, facts)
        }
        Some(Progress::Staged { new, old, since }) => staged(new, old, *since, facts),
        Some(Progress::Retiring { key, new, since }) => {
            let Some(seen) = facts.seen(key) else { return gone(new.as_ref(), *since, facts) };
            if *key == facts.stored {
                return Step::Forget;
            }
            match seen.status {
                None => return deleted_after(key, *since, Awaited::Kept, facts, terms),
                Some(KeyStatus::Inactive) => {
                    let (key, new) = (key.clone(), new.clone());
                    return Step::Note(Progress::Off { key, new, since: now });
                }
                Some(KeyStatus::Active) => {}
            }
            let was_used = seen.last_used.is_some_and(|at| at > *since + FRESH);
            if was_used && new.is_none() {
                // It is not spare after all.
                return Step::Forget;
            }
            let until = last(*since, seen) + terms.quiet;
            if now >= until {
                return Step::Deactivate(key.clone());
            }
            let what = match facts.maker {
                Maker::Ceph { .. } => Awaited::Time,
                Maker::Iam => Awaited::Quiet(was_used),
            };
            Step::End(Outcome::Waiting { key: key.clone(), until, what })
        }
        Some(Progress::Off { key, new, since }) => {
            let Some(seen) = facts.seen(key) else { return gone(new.as_ref(), *since, facts) };
            if *key == facts.stored {
                return Step::Forget;
            }
            if seen.status == Some(KeyStatus::Active) {
                // Somebody missed it.
                let (key, new) = (key.clone(), new.clone());
                if new.is_none() {
                    return Step::Forget;
                }
                return Step::Note(Progress::Retiring { key, new, since: now });
            }
            deleted_after(key, *since, Awaited::Grace, facts, terms)
        }
    }
}

/// What there is to do where no rotation is under way; `settled` is since when the key in use is, if anybody knows.
fn begin(facts: &Facts, terms: &Terms, settled: Option<SystemTime>) -> Step {
    let (now, stored) = (facts.now, &facts.stored);
    if let Some(staged) = &facts.staged {
        // The journal was lost.
        let (new, old) = (staged.clone(), stored.clone());
        return match facts.seen(staged) {
            None => Step::Discard,
            Some(_) => Step::Note(Progress::Staged { new, old, since: now }),
        };
    }
    let Some(in_use) = facts.seen(stored) else {
        let why = format!(
            "{stored}, the key in use, is not listed among its user's keys; wait a moment and run this again"
        );
        return Step::End(Outcome::Stuck { why });
    };
    if let (Some(max_age), Some(created)) = (terms.max_age, in_use.created.or(settled))
        && now < created + max_age
    {
        return Step::End(Outcome::NotDue { key: stored.clone(), until: created + max_age });
    }
    let (named, spare) = match &facts.maker {
        Maker::Ceph { name } => (Some(name.clone()), None),
        Maker::Iam => (None, facts.keys.iter().find(|key| key.id != *stored)),
    };
    let Some(spare) = spare else {
        let before = facts.keys.iter().map(|key| key.id.clone()).collect();
        return Step::Note(Progress::Making { before, named, old: stored.clone(), since: now });
    };
    let key = spare.id.clone();
    let idle_since = spare.last_used.max(spare.created).unwrap_or(now);
    if spare.status == Some(KeyStatus::Inactive) {
        return Step::Note(Progress::Off { key, new: None, since: idle_since });
    }
    if now >= idle_since + IDLE {
        return Step::Note(Progress::Retiring { key, new: None, since: idle_since });
    }
    let days = IDLE.as_secs() / DAY.as_secs();
    let why = format!(
        "a user has two access keys at most, and the other one, {key}, was made or used in the last {days} days; \
         where nothing needs it, run: credbroker keys deactivate PROFILE {key}; then this again"
    );
    Step::End(Outcome::Stuck { why })
}

fn making(before: &[String], old: &str, since: SystemTime, facts: &Facts) -> Step {
    let now = facts.now;
    if facts.stored != old {
        // Somebody put another key there.
        return Step::Forget;
    }
    if let Some(new) = facts.staged.clone().filter(|id| !before.contains(id)) {
        return Step::Note(Progress::Staged { new, old: old.to_owned(), since: now });
    }
    let Some(other) = facts.keys.iter().find(|key| !before.contains(&key.id)) else {
        if now < since + FRESH && now + FRESH > since {
            return Step::Create(None);
        }
        let (before, old) = (before.to_vec(), old.to_owned());
        return Step::Note(Progress::Making { before, named: None, old, since: now });
    };
    // Nobody can use a key whose secret is lost, and it was made when one was asked for.
    let made_then = other.created.is_some_and(|at| at + SKEW >= since && at <= since + SKEW);
    if other.last_used.is_none() && made_then {
        return Step::Delete(other.id.clone());
    }
    Step::Forget
}

/// The same, where the key that is made is `name`, whoever else makes one meanwhile.
fn making_named(name: &str, old: &str, facts: &Facts) -> Step {
    let name = name.to_owned();
    if facts.stored != old && (facts.stored == name || facts.seen(&name).is_none()) {
        // Somebody put another key there.
        return Step::Forget;
    }
    if facts.stored == old && facts.staged.as_ref() == Some(&name) {
        return Step::Note(Progress::Staged { new: name, old: old.to_owned(), since: facts.now });
    }
    if facts.seen(&name).is_some() { Step::Delete(name) } else { Step::Create(Some(name)) }
}

fn staged(new: &str, old: &str, since: SystemTime, facts: &Facts) -> Step {
    let now = facts.now;
    if facts.stored == new {
        let (key, new) = (old.to_owned(), Some(new.to_owned()));
        return Step::Note(Progress::Retiring { key, new, since: now });
    }
    let is_there = facts.staged.as_deref() == Some(new);
    let seen = facts.seen(new);
    // A new key may be listed late.
    let is_gone = seen.is_none() && now >= since + SKEW;
    let is_off = seen.is_some_and(|key| key.status == Some(KeyStatus::Inactive));
    if facts.stored != old || !is_there || is_gone || is_off {
        return match (seen, &facts.staged) {
            (Some(_), _) => Step::Delete(new.to_owned()),
            (None, Some(_)) => Step::Discard,
            (None, None) => Step::Forget,
        };
    }
    if facts.proven {
        return Step::Commit { new: new.to_owned(), old: old.to_owned() };
    }
    Step::Prove(new.to_owned())
}

/// Deletes `key`, which is out of use since `since`, after the grace period.
fn deleted_after(
    key: &str,
    since: SystemTime,
    what: Awaited,
    facts: &Facts,
    terms: &Terms,
) -> Step {
    let (key, until) = (key.to_owned(), since + terms.grace);
    if facts.now >= until {
        return Step::Delete(key);
    }
    Step::End(Outcome::Waiting { key, until, what })
}

/// What follows when a key that was to go is gone, since `since` at the latest.
fn gone(new: Option<&String>, since: SystemTime, facts: &Facts) -> Step {
    if new.is_none() {
        return Step::Forget;
    }
    let key = facts.stored.clone();
    let is_ageless = facts.seen(&key).is_some_and(|key| key.created.is_none());
    Step::End(Outcome::Done { key, settled: is_ageless.then_some(since) })
}

fn last(since: SystemTime, seen: &Seen) -> SystemTime {
    seen.last_used.map_or(since, |used| used.max(since))
}

impl Facts {
    fn seen(&self, id: &str) -> Option<&Seen> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// How soon after it was written down that a key is made, one is.
const FRESH: Duration = Duration::from_mins(1);

/// How long a spare key must be unused before it may be taken away for a new one.
const IDLE: Duration = Duration::from_hours(90 * 24);

/// How far IAM's clock may be off, and how late it may list a key; AWS refuses signatures that are older than 5 minutes
/// (IAM User Guide, "Elements of an AWS API request signature").
const SKEW: Duration = Duration::from_mins(10);
