//! The same on a gateway that keeps keys as Ceph does: as many as one likes, named by who makes them, with no word of their
//! use; of an older one, which cannot turn a key off and tells no age, and of a newer one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;

/// A gateway's keys of one user.
struct Gateway {
    /// Whether it tells ages and turns keys off, as from Squid on.
    is_new: bool,
    keys: RefCell<BTreeMap<String, Kept>>,
    /// How many names were given away.
    names: Cell<u32>,
    started: tokio::time::Instant,
}

struct Kept {
    created: SystemTime,
    is_active: bool,
    secret: String,
}

impl Gateway {
    /// A user with the key `OLD`, and one that something else uses.
    fn user(is_new: bool) -> User<Self> {
        let started = tokio::time::Instant::now();
        let gateway = Self { is_new, keys: RefCell::default(), names: Cell::new(0), started };
        for id in ["OLD", "OTHER"] {
            gateway.keep(id);
        }
        User::new(gateway, &key("OLD", "secret/of/OLD/0"))
    }

    fn now(&self) -> SystemTime {
        parse_timestamp(START).unwrap() + self.started.elapsed()
    }

    /// Makes the key `id`; one that is there gets another secret.
    fn keep(&self, id: &str) -> LongTermKey {
        let secret = format!("secret/of/{id}/{}", self.names.get());
        let kept = Kept { created: self.now(), is_active: true, secret: secret.clone() };
        self.keys.borrow_mut().insert(id.to_owned(), kept);
        key(id, &secret)
    }

    fn knows(&self, key: &LongTermKey) -> bool {
        let keys = self.keys.borrow();
        let kept = keys.get(&key.access_key_id).filter(|kept| kept.is_active);
        kept.is_some_and(|kept| kept.secret == key.secret_access_key.expose_secret())
    }
}

impl Remote for Gateway {
    async fn create(&self, signer: &LongTermKey, named: Option<&str>) -> LongTermKey {
        assert!(self.knows(signer));
        self.keep(named.unwrap())
    }

    async fn deactivate(&self, signer: &LongTermKey, id: &str) {
        assert!(self.knows(signer) && self.is_new, "{id}");
        self.keys.borrow_mut().get_mut(id).unwrap().is_active = false;
    }

    async fn delete(&self, signer: &LongTermKey, id: &str) {
        assert!(self.knows(signer));
        self.keys.borrow_mut().remove(id).unwrap();
    }

    async fn keys(&self, signer: &LongTermKey) -> Vec<Seen> {
        assert!(self.knows(signer));
        let status = |kept: &Kept| {
            if kept.is_active { KeyStatus::Active } else { KeyStatus::Inactive }
        };
        let seen = |(id, kept): (&String, &Kept)| Seen {
            created: self.is_new.then_some(kept.created),
            id: id.clone(),
            last_used: None,
            status: self.is_new.then(|| status(kept)),
        };
        self.keys.borrow().iter().map(seen).collect()
    }

    fn is_ageless(&self) -> bool {
        !self.is_new
    }

    fn maker(&self) -> Maker {
        self.names.set(self.names.get() + 1);
        Maker::Ceph { name: format!("NAME{}", self.names.get()) }
    }

    fn others(&self) -> Vec<String> {
        vec!["OTHER".to_owned()]
    }

    async fn serves(&self, key: &LongTermKey) -> bool {
        self.knows(key)
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stopped_on_a_gateway_and_goes_on_loses_nothing() {
    for is_new in [false, true] {
        for pause in [Duration::ZERO, Duration::from_hours(1), 30 * DAY] {
            let user = async || Gateway::user(is_new);
            let points = stop_everywhere(user, "OLD", pause).await;
            assert!(points.len() >= if is_new { 22 } else { 18 }, "{points:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_tells_when_the_old_key_goes() {
    for (is_new, due) in [(false, vec![7]), (true, vec![1, 8])] {
        let user = Gateway::user(is_new);
        let mut rehearsal = Rehearsal::of(&mut user.runner(None)).await.unwrap();
        while let Outcome::Waiting { until, .. } =
            run(&mut rehearsal, &Terms::usual(None)).await.unwrap()
        {
            rehearsal.pass(until);
        }
        let ends =
            |step: &Step| matches!(step, Step::Deactivate(id) | Step::Delete(id) if id == "OLD");
        let steps = rehearsal.steps().iter().filter(|(_, step)| ends(step));
        let days = steps.map(|(at, _)| at.duration_since(user.now()).unwrap().as_secs() / 86_400);
        assert_eq!(days.collect::<Vec<_>>(), due);
        assert_eq!(user.remote.keys.borrow().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_age_that_nobody_tells_is_remembered() {
    let user = Gateway::user(false);
    let terms = Terms::usual(Some(90 * DAY));
    let began = user.now();
    // How old the first one is, nobody knows, so that it goes at once.
    let outcome = run(&mut user.runner(None), &terms).await.unwrap();
    let until = began + 7 * DAY;
    let Outcome::Waiting { key, until: due, what: Awaited::Kept } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(key, "OLD");
    assert!(due >= until && due < until + Duration::from_mins(1));
    advance(8 * DAY).await;
    let outcome = run(&mut user.runner(None), &terms).await.unwrap();
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    let outcome = run(&mut user.runner(None), &terms).await.unwrap();
    let Outcome::NotDue { until, .. } = outcome else { panic!("{outcome:?}") };
    let late = until.duration_since(began + 90 * DAY).unwrap();
    assert!(late < Duration::from_mins(1), "{late:?}");
    advance(83 * DAY).await;
    let outcome = run(&mut user.runner(None), &terms).await.unwrap();
    assert!(matches!(outcome, Outcome::Waiting { .. }), "{outcome:?}");
}

#[test]
fn a_key_of_the_name_that_was_given_is_ours_and_no_other_is() {
    let making = Progress::Making {
        before: vec!["OLD".into()],
        named: Some("NAME".into()),
        old: "OLD".into(),
        since: days_ago(3),
    };
    let active = KeyStatus::Active;
    let mut facts = facts(&[("OLD", active, 400, None), ("SOMEBODY", active, 0, None)]);
    facts.maker = Maker::Ceph { name: "NEXT".into() };
    let step = |facts: &Facts| next(Some(&making), facts, &Terms::usual(None));
    assert_eq!(step(&facts), Step::Create(Some("NAME".into())));
    facts.keys.push(Seen { created: None, id: "NAME".into(), last_used: None, status: None });
    assert_eq!(step(&facts), Step::Delete("NAME".into()));
    // Somebody put another key in place: ours still goes, and theirs stays.
    facts.stored = "SOMEBODY".into();
    assert_eq!(step(&facts), Step::Delete("NAME".into()));
    facts.stored = "NAME".into();
    assert_eq!(step(&facts), Step::Forget);
    facts.keys.pop();
    facts.stored = "SOMEBODY".into();
    assert_eq!(step(&facts), Step::Forget);
}

#[test]
fn an_age_is_that_of_the_key_that_it_was_noted_for() {
    let mut facts = facts(&[("OLD", KeyStatus::Active, 1, None)]);
    facts.maker = Maker::Ceph { name: "NEXT".into() };
    facts.keys[0].created = None;
    let step = |key: &str| {
        let settled = Progress::Settled { key: key.into(), since: days_ago(89) };
        next(Some(&settled), &facts, &Terms::usual(Some(90 * DAY)))
    };
    let until = facts.now + DAY;
    assert_eq!(step("OLD"), Step::End(Outcome::NotDue { key: "OLD".into(), until }));
    let Step::Note(Progress::Making { named, .. }) = step("ANOTHER") else { panic!() };
    assert_eq!(named.as_deref(), Some("NEXT"));
}

#[test]
fn a_journal_without_a_name_can_be_read() {
    let text = r#"{"state":"making","before":["OLD"],"old":"OLD","since":"2026-03-01T12:00:00Z"}"#;
    let read: Progress = serde_json::from_str(text).unwrap();
    assert!(matches!(read, Progress::Making { named: None, .. }), "{read:?}");
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}
