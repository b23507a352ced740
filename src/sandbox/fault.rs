//! Things that go wrong on purpose: what, for which operation, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::count::Operation;

/// Something that goes wrong for the next calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFault", into = "RawFault")]
pub struct Fault {
    kind: FaultKind,
    operation: Option<Operation>,
    times: Option<u32>,
}

impl Fault {
    /// A fault of all operations, until it is cleared.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, operation: None, times: None }
    }

    /// The same for `operation` alone.
    #[must_use]
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same for the next `times` calls alone.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The answer comes this much later; other faults apply after the wait.
    Delay(Duration),
    /// The answer is a good one, but its credentials have already expired.
    Expired,
    /// 200, with a page that is no XML.
    Garbage,
    /// 200, with 64 MiB that never become XML.
    Huge,
    /// The connection ends without an answer; a TCP connection is reset.
    Reset,
    /// This status, 500 to 599, in AWS's error document.
    ServerError(u16),
    /// 400 `Throttling`.
    Throttling,
}

/// What the faults make of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disturbance {
    pub(super) delay: Duration,
    pub(super) kind: Option<FaultKind>,
}

/// Takes from `faults` what applies to one call of `operation`: all delays, and the first fault of another kind.
pub(super) fn take(faults: &mut Vec<Fault>, operation: Operation) -> Disturbance {
    let mut disturbance = Disturbance::default();
    for fault in faults.iter_mut() {
        if fault.operation.is_some_and(|only| only != operation) || fault.times == Some(0) {
            continue;
        }
        match fault.kind {
            FaultKind::Delay(delay) => disturbance.delay += delay,
            kind if disturbance.kind.is_none() => disturbance.kind = Some(kind),
            FaultKind::Expired
            | FaultKind::Garbage
            | FaultKind::Huge
            | FaultKind::Reset
            | FaultKind::ServerError(_)
            | FaultKind::Throttling => continue,
        }
        fault.times = fault.times.map(|times| times - 1);
    }
    faults.retain(|fault| fault.times != Some(0));
    disturbance
}

/// A fault as TOML and JSON spell it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    kind: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Operation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Delay,
    Expired,
    Garbage,
    Huge,
    Reset,
    ServerError,
    Throttling,
}

impl TryFrom<RawFault> for Fault {
    type Error = String;

    fn try_from(raw: RawFault) -> Result<Self, String> {
        if raw.delay.is_some() && raw.kind != Word::Delay {
            return Err("delay belongs to a fault of kind \"delay\" alone".to_owned());
        }
        if raw.status.is_some() && raw.kind != Word::ServerError {
            return Err("status belongs to a fault of kind \"server-error\" alone".to_owned());
        }
        let kind = match raw.kind {
            Word::Delay => {
                let text =
                    raw.delay.ok_or("a fault of kind \"delay\" needs a delay, such as \"2s\"")?;
                let delay = humantime::parse_duration(&text)
                    .map_err(|error| format!("delay {text:?} is no length of time: {error}"))?;
                if delay > LONGEST_DELAY {
                    return Err("a delay is at most an hour".to_owned());
                }
                FaultKind::Delay(delay)
            }
            Word::Expired => FaultKind::Expired,
            Word::Garbage => FaultKind::Garbage,
            Word::Huge => FaultKind::Huge,
            Word::Reset => FaultKind::Reset,
            Word::ServerError => match raw.status.unwrap_or(500) {
                status @ 500..=599 => FaultKind::ServerError(status),
                status => return Err(format!("status {status} is none of 500 to 599")),
            },
            Word::Throttling => FaultKind::Throttling,
        };
        Ok(Self { kind, operation: raw.operation, times: raw.times })
    }
}

impl From<Fault> for RawFault {
    fn from(fault: Fault) -> Self {
        let (kind, delay, status) = match fault.kind {
            FaultKind::Delay(delay) => {
                (Word::Delay, Some(humantime::format_duration(delay).to_string()), None)
            }
            FaultKind::Expired => (Word::Expired, None, None),
            FaultKind::Garbage => (Word::Garbage, None, None),
            FaultKind::Huge => (Word::Huge, None, None),
            FaultKind::Reset => (Word::Reset, None, None),
            FaultKind::ServerError(status) => (Word::ServerError, None, Some(status)),
            FaultKind::Throttling => (Word::Throttling, None, None),
        };
        Self { kind, operation: fault.operation, times: fault.times, delay, status }
    }
}

/// The longest wait that a fault may ask for.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_for_its_calls_of_its_operation() {
        let mut faults = vec![Fault::new(FaultKind::Reset).on(Operation::AssumeRole).times(2)];
        assert_eq!(take(&mut faults, Operation::GetCallerIdentity).kind, None);
        assert_eq!(take(&mut faults, Operation::AssumeRole).kind, Some(FaultKind::Reset));
        assert_eq!(take(&mut faults, Operation::AssumeRole).kind, Some(FaultKind::Reset));
        assert_eq!(take(&mut faults, Operation::AssumeRole).kind, None);
        assert!(faults.is_empty());
    }

    #[test]
    fn delays_add_up_and_other_faults_take_turns() {
        let second = Duration::from_secs(1);
        let mut faults = vec![
            Fault::new(FaultKind::Delay(second)),
            Fault::new(FaultKind::Garbage).times(1),
            Fault::new(FaultKind::Delay(second)).times(1),
            Fault::new(FaultKind::Throttling).times(1),
        ];
        let calls: Vec<_> = (0..3).map(|_| take(&mut faults, Operation::AssumeRole)).collect();
        assert_eq!(calls[0], Disturbance { delay: 2 * second, kind: Some(FaultKind::Garbage) });
        assert_eq!(calls[1], Disturbance { delay: second, kind: Some(FaultKind::Throttling) });
        assert_eq!(calls[2], Disturbance { delay: second, kind: None });
    }

    #[test]
    fn faults_are_read_strictly_and_written_back() {
        let text = r#"{"kind":"server-error","operation":"AssumeRole","times":3,"status":503}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(
            fault,
            Fault::new(FaultKind::ServerError(503)).on(Operation::AssumeRole).times(3)
        );
        assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        for wrong in [
            r#"{"kind":"delay"}"#,
            r#"{"kind":"delay","delay":"2h"}"#,
            r#"{"kind":"reset","delay":"2s"}"#,
            r#"{"kind":"server-error","status":404}"#,
            r#"{"kind":"reset","time":1}"#,
        ] {
            assert!(serde_json::from_str::<Fault>(wrong).is_err(), "{wrong}");
        }
    }
}
