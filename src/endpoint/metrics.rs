//! What monitoring asks: `GET /metrics`, `/healthz` and `/readyz`.
//!
//! Metrics are in the format of Prometheus, or in that of `OpenMetrics` where the scraper prefers it. What is counted comes
//! from [`Meters`]; what is held is looked at when somebody asks. No label holds anything of a secret; of the profiles
//! those are shown that somebody has asked for, at most [`MOST_PROFILES`] of them.

mod health;
mod profiles;
mod series;
mod services;

use http::header::{ACCEPT, HeaderValue};
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::broker::Broker;
use crate::endpoint::metrics::profiles::Profiles;
use crate::endpoint::metrics::services::Services;
use crate::endpoint::path::Segments;
use crate::endpoint::reply::{self, No, Reply};
use crate::endpoint::{Endpoint, Visitor, guard, unix_seconds};
use crate::model::ProfileName;
use crate::telemetry::meters::Meters;

pub use health::Health;

/// A metrics endpoint; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What it tells of.
    pub broker: Broker,
    /// What is counted.
    pub meters: Meters,
    /// How it stands with the daemon.
    pub health: Health,
}

impl Endpoint for Metrics {
    async fn answer(&self, request: Request<Incoming>, visitor: &Visitor) -> Reply {
        let (request, _) = request.into_parts();
        if guard::check(&request, visitor.address()).is_err() {
            return reply::last(reply::bare(No::Forbidden));
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return reply::bare(No::MethodNotAllowed("GET, HEAD"));
        }
        let answer = self.tell(&request, |_| true);
        answer.unwrap_or_else(|| reply::bare(No::NotFound))
    }
}

impl Metrics {
    /// The answer to a request that asks for metrics or health, with the profiles that are `shown`; `None` where it asks
    /// for something else.
    pub(super) fn tell(
        &self,
        request: &Parts,
        shown: impl Fn(&ProfileName) -> bool,
    ) -> Option<Reply> {
        match Segments::of(request.uri.path()).as_slice() {
            ["metrics"] => Some(self.exposition(Format::wanted(request), shown)),
            ["healthz"] => Some(health::reply(Health::is_alive(&self.broker))),
            ["readyz"] => Some(health::reply(self.health.is_ready(&self.broker))),
            _ => None,
        }
    }

    fn exposition(&self, format: Format, shown: impl Fn(&ProfileName) -> bool) -> Reply {
        let mut registry = Registry::with_prefix("credbroker");
        registry.register(
            "build",
            "The version of this daemon",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_with_unit(
            "start_time",
            "When the daemon started, since the epoch",
            Unit::Seconds,
            ConstGauge::new(unix_seconds(self.health.started())),
        );
        self.meters.register(&mut registry);
        registry.register_collector(Box::new(Profiles::of(&self.broker, shown)));
        registry.register_collector(Box::new(Services::of(&self.broker)));
        let mut body = String::new();
        let (written, content_type) = match format {
            Format::OpenMetrics => (text::encode(&mut body, &registry), OPEN_METRICS),
            Format::Prometheus => (
                prometheus_text::encode(&mut body, &registry),
                HeaderValue::from_static(prometheus_text::CONTENT_TYPE),
            ),
        };
        // Writing into memory does not fail.
        if written.is_err() {
            body.clear();
        }
        reply::document(content_type, body)
    }
}

/// The formats of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// What the scraper takes: `OpenMetrics` where it names that, else what everybody reads.
    fn wanted(request: &Parts) -> Self {
        let accepted = request.headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let mut names = accepted.flat_map(|value| value.split(','));
        if names.any(|it| it.trim_start().starts_with("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// `OpenMetrics` 1.0, section "Content type".
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// How many profiles have series of their own, the first by name; all count in `credbroker_profiles`.
const MOST_PROFILES: usize = 1000;
