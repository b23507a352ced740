//! What the daemon counts, for `/metrics`: plain counters that the layers raise, and nothing of the crate.
//!
//! Whoever counts holds a meter whose series were looked up once, so that counting is one addition without a lock. A
//! meter that was never registered counts too, and nobody reads it. No label holds anything of a secret, and none has
//! more values than the configuration has names, or the lists below.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// All that is counted; cloning is cheap, and a clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    requests: Family<Request, Counter>,
    connections: Family<Door, Gauge>,
    places: Family<Door, Gauge>,
    cut: Family<Cut, Counter>,
    accept_errors: Family<Door, Counter>,
    sts: StsMeter,
}

/// The connections and requests of one door; cloning is cheap.
#[derive(Clone, Debug)]
pub struct DoorMeter {
    /// In the order of [`STATUSES`], and one for all others.
    requests: Vec<Counter>,
    connections: Gauge,
    places: Gauge,
    slow: Counter,
    crowded: Counter,
    malformed: Counter,
    accept_errors: Counter,
}

/// A connection that is open; dropping it says that it is so no more.
#[derive(Debug)]
pub struct Open<'a>(&'a DoorMeter);

/// The calls to STSs; cloning is cheap.
#[derive(Clone, Debug)]
pub struct StsMeter {
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
    errors: Family<Code, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Door {
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    endpoint: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cut {
    endpoint: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

impl Meters {
    /// Makes all of it known to `registry`, whose prefix the names get.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests that were answered, by endpoint and HTTP status",
            self.requests.clone(),
        );
        registry.register(
            "connections",
            "Connections that are open, by endpoint",
            self.connections.clone(),
        );
        registry.register(
            "connections_max",
            "Connections that may be open at once, by endpoint",
            self.places.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections that the daemon closed: a client was slow, made room for another, or spoke no HTTP",
            self.cut.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that the system did not hand over, mostly for want of file descriptors",
            self.accept_errors.clone(),
        );
        registry.register_with_unit(
            "sts_request_duration",
            "How long calls to an STS took, by operation, with those that failed",
            Unit::Seconds,
            self.sts.seconds.clone(),
        );
        registry.register(
            "sts_errors",
            "Calls to an STS that failed, by its code or one of ours; codes that are not listed count as other",
            self.sts.errors.clone(),
        );
    }

    /// The meter of the endpoint called `name`; a door that comes back counts on.
    #[must_use]
    pub fn door(&self, name: &str) -> DoorMeter {
        let endpoint = || name.to_owned();
        let door = Door { endpoint: endpoint() };
        let request =
            |status| self.requests.get_or_create_owned(&Request { endpoint: endpoint(), status });
        let cut = |reason| self.cut.get_or_create_owned(&Cut { endpoint: endpoint(), reason });
        DoorMeter {
            requests: STATUSES
                .iter()
                .map(|(_, label)| *label)
                .chain([OTHER])
                .map(request)
                .collect(),
            connections: self.connections.get_or_create_owned(&door),
            places: self.places.get_or_create_owned(&door),
            slow: cut("slow"),
            crowded: cut("crowded"),
            malformed: cut("malformed"),
            accept_errors: self.accept_errors.get_or_create_owned(&door),
        }
    }

    /// The meter of the calls to STSs.
    #[must_use]
    pub fn sts(&self) -> StsMeter {
        self.sts.clone()
    }
}

impl DoorMeter {
    /// A connection has been opened.
    #[must_use]
    pub fn opened(&self) -> Open<'_> {
        self.connections.inc();
        Open(self)
    }

    /// So many connections may be open at once.
    pub fn has_places(&self, count: usize) {
        self.places.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A request has been answered with `status`.
    pub fn answered(&self, status: u16) {
        let place = STATUSES.iter().position(|(known, _)| *known == status);
        if let Some(counter) = self.requests.get(place.unwrap_or(STATUSES.len())) {
            counter.inc();
        }
    }

    /// A connection was closed because its client was slow.
    pub fn cut_slow(&self) {
        self.slow.inc();
    }

    /// A connection was closed to make room for another.
    pub fn cut_for_room(&self) {
        self.crowded.inc();
    }

    /// A connection was closed because what came was no request.
    pub fn cut_malformed(&self) {
        self.malformed.inc();
    }

    /// A connection could not be taken.
    pub fn not_accepted(&self) {
        self.accept_errors.inc();
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

impl StsMeter {
    /// A call of `operation` has taken so long.
    pub fn took(&self, operation: &'static str, time: Duration) {
        self.seconds.get_or_create(&Operation { operation }).observe(time.as_secs_f64());
    }

    /// A call has failed with `code`.
    pub fn failed(&self, code: &str) {
        let code = code.strip_suffix("Exception").unwrap_or(code);
        let code = CODES.iter().find(|known| **known == code).copied().unwrap_or(OTHER);
        self.errors.get_or_create(&Code { code }).inc();
    }
}

impl Default for StsMeter {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(|| Histogram::new(STS_SECONDS)),
            errors: Family::default(),
        }
    }
}

/// What endpoints answer with, the most frequent first.
const STATUSES: [(u16, &str); 9] = [
    (200, "200"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (503, "503"),
    (400, "400"),
    (405, "405"),
    (413, "413"),
    (500, "500"),
];

/// The codes that have a series of their own: what STSs say for reasons of which one wants to be told, and ours. Any other
/// could be somebody's invention.
const CODES: [&str; 27] = [
    "AccessDenied",
    "ExpiredToken",
    "IDPCommunicationError",
    "IDPRejectedClaim",
    "InternalError",
    "InternalFailure",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidMfaCode",
    "InvalidAccessKeyId",
    "InvalidAnswer",
    "MalformedPolicyDocument",
    "NoSuchEntity",
    "PackedPolicyTooLarge",
    "RegionDisabled",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "Throttling",
    "Timeout",
    "TooManyRequests",
    "UnrecognizedClient",
    "Unreachable",
    "ValidationError",
];

/// The label of whatever is not listed.
const OTHER: &str = "other";

/// Bounds of the histogram, in seconds: a local gateway takes milliseconds, AWS a tenth of a second; a call is given up
/// after 15.
const STS_SECONDS: [f64; 10] = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(meters: &Meters) -> String {
        let mut registry = Registry::with_prefix("credbroker");
        meters.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn statuses_and_codes_that_nobody_listed_are_others() {
        let meters = Meters::default();
        let door = meters.door("local");
        door.answered(200);
        door.answered(200);
        door.answered(418);
        for code in ["AccessDenied", "AccessDeniedException", "mine-1", "mine-2"] {
            meters.sts().failed(code);
        }
        let text = text(&meters);
        for line in [
            "credbroker_requests_total{endpoint=\"local\",status=\"200\"} 2\n",
            "credbroker_requests_total{endpoint=\"local\",status=\"403\"} 0\n",
            "credbroker_requests_total{endpoint=\"local\",status=\"other\"} 1\n",
            "credbroker_sts_errors_total{code=\"AccessDenied\"} 2\n",
            "credbroker_sts_errors_total{code=\"other\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn a_door_that_comes_back_counts_on() {
        let meters = Meters::default();
        let (open, again) = (meters.door("local"), meters.door("local"));
        let first = open.opened();
        let _second = again.opened();
        assert_eq!(open.connections.get(), 2);
        drop(first);
        assert_eq!(open.connections.get(), 1);
    }
}
