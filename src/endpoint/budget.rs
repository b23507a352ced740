//! How many connections each door may have: one budget of file descriptors for the whole process.
//!
//! A connection is a file descriptor, and so is a call to an STS, a pipe of a child and a file that is read. What is
//! kept back for those no door can use up, and no door can take what is another's: the control socket answers while the
//! endpoints that lend are full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit};

/// The file descriptors of the process, shared out among its doors as they come and go; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    descriptors: usize,
    doors: [AtomicUsize; 3],
}

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The control socket.
    Control,
    /// Credentials: a container or IMDS endpoint.
    Lending,
    /// Metrics and health.
    Metrics,
}

/// How many connections the doors may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Descriptors that no connection may have: for calls to an STS, children, files, and what the process itself keeps
    /// open.
    pub reserve: usize,
    /// Connections of each control socket.
    pub control: usize,
    /// Connections of each endpoint that lends.
    pub lending: usize,
    /// Connections of each metrics endpoint.
    pub metrics: usize,
}

impl Shares {
    /// The shares of as many doors as are given, where the process may open `descriptors` files.
    ///
    /// A quarter is kept back, at most `MOST_RESERVE`; the control sockets have an eighth of the rest, the metrics
    /// endpoints a sixteenth, and those that lend share what is left. None gets more than it can use, and none less than
    /// `LEAST_SHARE`, which a limit below [`FEWEST_DESCRIPTORS`] does not cover.
    #[must_use]
    pub fn of(descriptors: usize, control: usize, lending: usize, metrics: usize) -> Self {
        let reserve = (descriptors / 4).min(MOST_RESERVE);
        let rest = descriptors - reserve;
        let each =
            |part: usize, doors: usize, most: usize| (part / doors.max(1)).clamp(LEAST_SHARE, most);
        let control_share = each(rest / 8, control, MOST_CONTROL);
        let metrics_share = each(rest / 16, metrics, MOST_METRICS);
        let taken = control_share * control + metrics_share * metrics;
        let lending_share = each(rest.saturating_sub(taken), lending, MOST_LENDING);
        Self { reserve, control: control_share, lending: lending_share, metrics: metrics_share }
    }
}

impl Budget {
    /// The budget of a process that may open `descriptors` files.
    #[must_use]
    pub fn of(descriptors: usize) -> Self {
        Self(Arc::new(Inner { descriptors, doors: Default::default() }))
    }

    /// The budget of this process.
    #[must_use]
    pub fn of_process() -> Self {
        // Where it may not be asked, it is hardly lower than what a login has.
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((USUAL_DESCRIPTORS, 0));
        Self::of(usize::try_from(soft).unwrap_or(usize::MAX))
    }

    /// Room for one more door, as long as the answer lives; the others have less meanwhile.
    #[must_use]
    pub fn room(&self, purpose: Purpose) -> Room {
        self.0.doors(purpose).fetch_add(1, Ordering::Relaxed);
        Room(Arc::new(Place { budget: self.clone(), purpose, waiting: AtomicUsize::new(0) }))
    }

    /// The shares of the doors that are there now.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let doors = |purpose| self.0.doors(purpose).load(Ordering::Relaxed);
        Shares::of(
            self.0.descriptors,
            doors(Purpose::Control),
            doors(Purpose::Lending),
            doors(Purpose::Metrics),
        )
    }
}

impl Default for Budget {
    /// A budget that is larger than all doors together can use.
    fn default() -> Self {
        Self::of(MOST_DESCRIPTORS)
    }
}

impl Inner {
    fn doors(&self, purpose: Purpose) -> &AtomicUsize {
        let [control, lending, metrics] = &self.doors;
        match purpose {
            Purpose::Control => control,
            Purpose::Lending => lending,
            Purpose::Metrics => metrics,
        }
    }
}

/// A door's share of the budget; cloning is cheap, and dropping the last clone gives the share back to the others.
#[derive(Clone, Debug)]
pub struct Room(Arc<Place>);

#[derive(Debug)]
struct Place {
    budget: Budget,
    purpose: Purpose,
    waiting: AtomicUsize,
}

/// A request of a door's that may wait; dropping it says that it waits no longer.
#[derive(Debug)]
pub struct Wait<'a>(&'a Place);

impl Room {
    /// How many connections the door may have now.
    #[must_use]
    pub fn connections(&self) -> usize {
        let shares = self.0.budget.shares();
        match self.0.purpose {
            Purpose::Control => shares.control,
            Purpose::Lending => shares.lending,
            Purpose::Metrics => shares.metrics,
        }
    }

    /// A place for a request that may have to wait for an STS; `None` where as many wait as may.
    ///
    /// Three quarters of the connections may, so that what is answered from memory finds a way in while an STS is silent.
    #[must_use]
    pub fn wait(&self) -> Option<Wait<'_>> {
        let before = self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let wait = Wait(&self.0);
        let connections = self.connections();
        (before < connections - connections / 4).then_some(wait)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.0.doors(self.purpose).fetch_sub(1, Ordering::Relaxed);
    }
}

/// As many descriptors as a process can use: more would only mislead what it starts.
pub const MOST_DESCRIPTORS: usize = 16 * 1024;

/// The limit of a process that nobody gave another (getrlimit(2), systemd's `DefaultLimitNOFILE=`).
const USUAL_DESCRIPTORS: u64 = 1024;

/// Below this a daemon with a few doors serves, but may run out of descriptors when all doors are full.
pub const FEWEST_DESCRIPTORS: usize = 256;

/// Calls to an STS (a connection and a resolver's socket or two each), children with their pipes, files, and some thirty
/// descriptors that are always open.
const MOST_RESERVE: usize = 512;

/// Twice as many as the thousand clients that one machine is measured with.
const MOST_LENDING: usize = 2048;

/// A person's commands, and `process` of a machine's programs.
const MOST_CONTROL: usize = 512;

/// A scraper or two, and probes.
const MOST_METRICS: usize = 64;

/// With fewer a door is none.
const LEAST_SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_limits_have_these_shares() {
        let shares = |descriptors| {
            let it = Shares::of(descriptors, 1, 2, 1);
            (it.reserve, it.control, it.lending, it.metrics)
        };
        assert_eq!(shares(256), (64, 24, 78, 12));
        assert_eq!(shares(1024), (256, 96, 312, 48));
        assert_eq!(shares(8192), (512, 512, 2048, 64));
        assert_eq!(shares(MOST_DESCRIPTORS), (512, 512, 2048, 64));
    }

    #[test]
    fn a_door_that_goes_leaves_its_share_to_the_others() {
        let budget = Budget::of(1024);
        let _control = budget.room(Purpose::Control);
        let first = budget.room(Purpose::Lending);
        let alone = first.connections();
        let second = budget.room(Purpose::Lending);
        assert_eq!(first.connections(), alone / 2);
        drop(second);
        assert_eq!(first.connections(), alone);
    }

    #[test]
    fn a_quarter_of_the_places_is_kept_from_those_who_wait() {
        let room = Budget::of(FEWEST_DESCRIPTORS).room(Purpose::Metrics);
        assert_eq!(room.connections(), 12);
        let waits: Vec<_> = std::iter::from_fn(|| room.wait()).collect();
        assert_eq!(waits.len(), 9);
        drop(waits);
        assert!(room.wait().is_some());
    }

    proptest! {
        #[test]
        fn no_share_is_another_s(
            descriptors in FEWEST_DESCRIPTORS..100_000_usize,
            lending in 0..6_usize,
            metrics in 0..2_usize,
        ) {
            let it = Shares::of(descriptors, 1, lending, metrics);
            let all = it.reserve + it.control + it.lending * lending + it.metrics * metrics;
            prop_assert!(all <= descriptors, "{it:?}");
            prop_assert!(it.reserve >= 64, "{it:?}");
        }

        #[test]
        fn every_door_has_a_share_and_none_more_than_it_can_use(
            descriptors in 0..100_000_usize,
            control in 0..3_usize,
            lending in 0..100_usize,
            metrics in 0..5_usize,
        ) {
            let it = Shares::of(descriptors, control, lending, metrics);
            for (share, most) in [
                (it.control, MOST_CONTROL), (it.lending, MOST_LENDING), (it.metrics, MOST_METRICS),
            ] {
                prop_assert!((LEAST_SHARE..=most).contains(&share), "{it:?}");
            }
        }

        #[test]
        fn more_descriptors_are_never_a_smaller_share(
            descriptors in 0..20_000_usize,
            more in 0..20_000_usize,
            lending in 1..20_usize,
        ) {
            let few = Shares::of(descriptors, 1, lending, 1);
            let many = Shares::of(descriptors + more, 1, lending, 1);
            prop_assert!(few.reserve <= many.reserve && few.control <= many.control);
            prop_assert!(few.metrics <= many.metrics);
            // What the other doors gain may cost one that lends a place or two, by rounding.
            prop_assert!(few.lending <= many.lending + 1, "{few:?} {many:?}");
        }
    }
}
