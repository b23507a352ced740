//! How fast an STS may be asked: a rate for each of them, and all its leases keep to it together.
//!
//! What an STS bears, it says itself: each call that it throttles or does not answer halves the rate, and each that it
//! answers gives a little of it back, as TCP finds the width of a line. So however many leases are in trouble, an STS that is down,
//! or comes back, is asked once a second and not by each of them.
//!
//! The rate is kept by the generic cell rate algorithm (ITU-T I.371): the time at which a call would be on schedule moves
//! on by one interval with each call, and a call may come a burst of intervals before it.

use std::time::Duration;

use tokio::time::Instant;

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody: a renewal that is due, or a first session that may be wanted later.
    Renewal,
    /// Nobody yet, but what is held has been due for long, and whoever asks next waits.
    Overdue,
    /// A client, or a person.
    Awaited,
}

/// The pace of the calls to one STS.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two calls.
    interval: Duration,
    /// When the next call is on schedule.
    next: Instant,
    /// When the next renewal is that nobody waits for.
    next_renewal: Instant,
    /// When the rate was last halved.
    halved: Option<Instant>,
}

impl Pace {
    /// The pace of an STS of which nothing is known: [`CALLS_A_SECOND`], a fifth of it for renewals.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { interval: LEAST_INTERVAL, next: now, next_renewal: now, halved: None }
    }

    /// Takes one call of this urgency.
    ///
    /// # Errors
    /// When to try again, where it is too early for one.
    pub fn take(&mut self, urgency: Urgency, now: Instant) -> Result<(), Instant> {
        // A second's worth of calls may come at once, so that whoever waits never does for the rate's sake alone.
        let second = Duration::from_secs(1).saturating_sub(self.interval);
        let mut at = self.next.max(now).checked_sub(second).unwrap_or(now);
        let renewals = self.interval * RENEWAL_SHARE;
        if urgency == Urgency::Renewal {
            let burst = renewals * RENEWALS_AT_ONCE.saturating_sub(1);
            let burst = burst.min(Duration::from_secs(1));
            at = at.max(self.next_renewal.max(now).checked_sub(burst).unwrap_or(now));
            if at <= now {
                self.next_renewal = self.next_renewal.max(now) + renewals;
            }
        }
        if at > now {
            return Err(at);
        }
        self.next = self.next.max(now) + self.interval;
        Ok(())
    }

    /// Notes that the STS answered, if only with a refusal.
    pub fn answered(&mut self) {
        let seconds = self.interval.as_secs_f64();
        self.interval = self.interval.div_f64(1.0 + seconds * seconds).max(LEAST_INTERVAL);
    }

    /// Notes that the STS throttled, or did not answer, a call that was made at `asked`. Calls that were under way together
    /// tell it once.
    pub fn troubled(&mut self, asked: Instant, now: Instant) {
        if self.halved.is_none_or(|halved| asked > halved) {
            self.interval = (self.interval * 2).min(MOST_INTERVAL);
            self.halved = Some(now);
        }
    }

    /// How many calls a second are made at most; `None` where nothing holds them back.
    #[must_use]
    pub fn slowed_to(&self) -> Option<f64> {
        (self.interval > LEAST_INTERVAL).then(|| self.interval.as_secs_f64().recip())
    }
}

/// Calls a second to an STS in good health. AWS grants an account 600 in each region (IAM User Guide, "IAM and AWS STS
/// quotas"), which this machine shares with others.
pub const CALLS_A_SECOND: u32 = 50;

/// The same as an interval.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);

/// Between two calls to an STS that throttles or answers none.
const MOST_INTERVAL: Duration = Duration::from_secs(1);

/// One call in so many may be a renewal that nobody waits for.
const RENEWAL_SHARE: u32 = 5;

/// So many renewals may come together.
const RENEWALS_AT_ONCE: u32 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many calls of `urgency` are made within `span`, by one who takes each as soon as it may.
    fn calls(pace: &mut Pace, urgency: Urgency, from: Instant, span: Duration) -> u32 {
        let (mut now, mut calls) = (from, 0);
        while now < from + span {
            match pace.take(urgency, now) {
                Ok(()) => calls += 1,
                Err(at) => {
                    assert!(at > now, "no spin");
                    now = at;
                }
            }
        }
        calls
    }

    fn troubled(pace: &mut Pace, times: u32, from: Instant) -> Instant {
        (1..=times).fold(from, |now, _| {
            let now = now + SECOND;
            pace.troubled(now, now);
            now
        })
    }

    #[test]
    fn who_waits_is_asked_for_at_once_and_renewals_are_spread() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(calls(&mut pace, Urgency::Renewal, now, SECOND), 13);
        let mut pace = Pace::new(now);
        assert_eq!(calls(&mut pace, Urgency::Awaited, now, Duration::from_millis(1)), 50);
        let mut pace = Pace::new(now);
        assert_eq!(calls(&mut pace, Urgency::Overdue, now, SECOND * 10), 549);
    }

    #[test]
    fn ten_thousand_renewals_take_a_quarter_of_an_hour_and_no_second_more_than_fourteen() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut seconds = vec![0_u32; 1100];
        let mut now = start;
        for _ in 0..10_000 {
            while let Err(at) = pace.take(Urgency::Renewal, now) {
                now = at;
            }
            seconds[usize::try_from((now - start).as_secs()).unwrap()] += 1;
        }
        assert!(now - start < SECOND * 1000, "{:?}", now - start);
        assert!(*seconds.iter().max().unwrap() <= 14);
    }

    #[test]
    fn trouble_slows_down_to_one_a_second_and_answers_give_it_back_in_a_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let now = troubled(&mut pace, 20, start);
        assert_eq!(pace.slowed_to(), Some(1.0));
        assert!(calls(&mut pace, Urgency::Awaited, now, SECOND * 60) <= 61);
        let mut now = now + SECOND * 60;
        let start = now;
        while pace.slowed_to().is_some() {
            match pace.take(Urgency::Awaited, now) {
                Ok(()) => pace.answered(),
                Err(at) => now = at,
            }
        }
        let took = (now - start).as_secs();
        assert!((30..=60).contains(&took), "{took} s");
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..16 {
            pace.troubled(start, start + SECOND);
        }
        assert_eq!(pace.slowed_to(), Some(25.0));
        pace.troubled(start + SECOND * 2, start + SECOND * 3);
        assert_eq!(pace.slowed_to(), Some(12.5));
    }

    proptest! {
        /// Whatever happened before, the calls of the next minute keep to the rate that the trouble has left.
        #[test]
        fn no_minute_has_more_than_its_calls(
            events in prop::collection::vec((0_u64..5_000, 0..4_u8), 0..200),
            urgency in 0..3_u8,
        ) {
            let urgency = [Urgency::Renewal, Urgency::Overdue, Urgency::Awaited][usize::from(urgency)];
            let mut now = Instant::now();
            let mut pace = Pace::new(now);
            for (pause, event) in events {
                now += Duration::from_millis(pause);
                match event {
                    0 => pace.answered(),
                    1 => pace.troubled(now, now),
                    _ => drop(pace.take(urgency, now)),
                }
                let rate = pace.slowed_to().unwrap_or(50.0);
                prop_assert!((1.0..=50.0).contains(&rate), "{rate}");
            }
            let rate = pace.slowed_to().unwrap_or(50.0);
            let share = if urgency == Urgency::Renewal { 0.2 } else { 1.0 };
            let most = rate * share * 60.0 + rate.max(4.0) + 1.0;
            let made = f64::from(calls(&mut pace, urgency, now, SECOND * 60));
            prop_assert!(made <= most, "{made} calls at {rate} a second");
        }

        /// Nobody waits longer than an idle STS's interval, whatever renewals were made before.
        #[test]
        fn renewals_keep_nobody_waiting(before in 0_u64..100_000) {
            let start = Instant::now();
            let mut pace = Pace::new(start);
            let span = Duration::from_millis(before);
            calls(&mut pace, Urgency::Renewal, start, span);
            prop_assert_eq!(pace.take(Urgency::Awaited, start + span), Ok(()));
        }
    }
}
