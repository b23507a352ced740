//! The series of what is looked at when somebody asks, and counted nowhere.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::registry::Unit;

/// Writes the series of one name, if there are any.
pub(super) fn family<'a, const LABELS: usize, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    series: impl IntoIterator<Item = ([(&'a str, &'a str); LABELS], M)>,
) -> fmt::Result {
    let mut series = series.into_iter().peekable();
    let Some((_, first)) = series.peek() else { return Ok(()) };
    // With a full stop, as the registry writes the others.
    let help = format!("{help}.");
    let mut encoder = encoder.encode_descriptor(name, &help, unit, first.metric_type())?;
    for (labels, metric) in series {
        metric.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
