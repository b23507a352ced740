//! How lists and times are shown to a person.

use std::time::{Duration, SystemTime};

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::model::parse_timestamp;

/// Rows under a header, columns lined up with two spaces between, a line break at the end.
pub(super) fn columns(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// One fact a line, the values lined up.
pub(super) fn facts(facts: impl IntoIterator<Item = (&'static str, String)>) -> String {
    facts
        .into_iter()
        .fold(String::new(), |text, (label, value)| format!("{text}{label:<12}{value}\n"))
}

/// A timestamp as a person counts: `in 41 min`, `3 h ago`; `-` where there is none.
pub(super) fn when(timestamp: Option<&str>, now: SystemTime) -> String {
    let Some(at) = timestamp.and_then(parse_timestamp) else { return "-".to_owned() };
    match at.duration_since(now) {
        Ok(ahead) => format!("in {}", about(ahead)),
        Err(past) => format!("{} ago", about(past.duration())),
    }
}

/// A duration in its largest unit that fits, cut off and never rounded up.
fn about(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_as_people_do() {
        let now = parse_timestamp("2026-01-02T03:00:00Z").unwrap();
        let shown = |at| when(Some(at), now);
        assert_eq!(shown("2026-01-02T03:41:59Z"), "in 41 min");
        assert_eq!(shown("2026-01-02T03:01:59Z"), "in 119 s");
        assert_eq!(shown("2026-01-02T06:10:00Z"), "in 3 h");
        assert_eq!(shown("2026-01-02T00:00:00Z"), "3 h ago");
        assert_eq!(shown("2026-01-09T03:00:00Z"), "in 7 days");
        assert_eq!(when(None, now), "-");
    }

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let rows = [vec!["a".into(), "b".into()], vec!["longer".into(), "c".into()]];
        assert_eq!(columns(&["X", "Y"], rows), "X       Y\na       b\nlonger  c\n");
    }
}
