//! Times as they stand on the wire: whole seconds of UTC with a literal `Z`.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Writes `at` as `YYYY-MM-DDTHH:MM:SSZ`, truncated down to the second.
///
/// botocore parses an expiry with `%Y-%m-%dT%H:%M:%SZ`, the Rust SDK forbids offsets and s3fs reads no
/// fraction (contract A.3), so this is the one form in which a time leaves the broker. It has four digits for the
/// year: what an STS puts beyond them is written as their last second.
#[must_use]
pub fn timestamp(at: SystemTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from(at.min(SystemTime::UNIX_EPOCH + LAST_SECOND))
        .format(FORMAT)
        .unwrap_or_default()
}

/// Reads an RFC 3339 time with any fraction and any offset.
///
/// Ceph answers with nanoseconds, other servers with `+00:00`.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_cut_off_and_never_rounded_up() {
        let at = parse_timestamp("2026-01-02T03:04:05.999999999Z").unwrap();
        assert_eq!(timestamp(at), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn an_offset_becomes_utc() {
        let at = parse_timestamp("2026-01-02T04:04:05+01:00").unwrap();
        assert_eq!(timestamp(at), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_time_beyond_the_last_year_is_written_as_its_last_second() {
        let beyond = parse_timestamp("9999-12-31T23:59:59-23:00").unwrap();
        let far = SystemTime::UNIX_EPOCH + Duration::from_hours(100_000_000);
        for at in [beyond, far] {
            assert_eq!(timestamp(at), "9999-12-31T23:59:59Z");
        }
    }
}
