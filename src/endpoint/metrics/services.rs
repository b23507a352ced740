//! How it stands with each STS, at the moment of a scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::broker::Broker;
use crate::endpoint::metrics::series::family;
use crate::model::Skew;
use crate::policy::CALLS_A_SECOND;
use crate::source::StsState;

/// Each STS that was asked, with the line before it and its clock.
#[derive(Debug)]
pub(super) struct Services(Vec<Service>);

#[derive(Debug)]
struct Service {
    sts: String,
    ahead: i64,
    most_calls: f64,
    waiting: i64,
}

impl Services {
    pub(super) fn of(broker: &Broker) -> Self {
        let service = |state: StsState| Service {
            sts: state.endpoint.to_string(),
            ahead: state.skew.map_or(0, Skew::seconds_ahead),
            most_calls: state.slowed_to.unwrap_or_else(|| f64::from(CALLS_A_SECOND)),
            waiting: i64::try_from(state.waiting).unwrap_or(i64::MAX),
        };
        Self(broker.sts_states().into_iter().map(service).collect())
    }
}

impl Collector for Services {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        family(
            &mut encoder,
            "sts_waiting",
            "Leases that wait for their turn at the STS",
            None,
            self.0.iter().map(|it| ([("sts", it.sts.as_str())], ConstGauge::new(it.waiting))),
        )?;
        family(
            &mut encoder,
            "sts_requests_per_second_max",
            "How fast the STS is asked at most; less than usual while it throttles or does not answer",
            None,
            self.0.iter().map(|it| ([("sts", it.sts.as_str())], ConstGauge::new(it.most_calls))),
        )?;
        family(
            &mut encoder,
            "clock_ahead",
            "How far this machine's clock is ahead of that of the STS; 0 where they are less than a minute apart",
            Some(&Unit::Seconds),
            self.0.iter().map(|it| ([("sts", it.sts.as_str())], ConstGauge::new(it.ahead))),
        )
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn each_sts_has_its_line_and_its_clock() {
        let service = |sts: &str, ahead, most_calls| Service {
            sts: sts.to_owned(),
            ahead,
            most_calls,
            waiting: 3,
        };
        let services = [service("AWS in eu-west-1", 0, 50.0), service("http://ceph", -7200, 12.5)];
        let mut registry = Registry::with_prefix("credbroker");
        registry.register_collector(Box::new(Services(services.into())));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "credbroker_sts_waiting{sts=\"AWS in eu-west-1\"} 3",
            "credbroker_sts_requests_per_second_max{sts=\"http://ceph\"} 12.5",
            "credbroker_clock_ahead_seconds{sts=\"AWS in eu-west-1\"} 0",
            "credbroker_clock_ahead_seconds{sts=\"http://ceph\"} -7200",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
