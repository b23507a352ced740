//! What is said of a panic: where it happened, never why. The reason is a library's own words, which may quote what it
//! worked on: text that is cut within a letter is shown in full.

use std::io::Write;
use std::panic::Location;

/// Has panics told by their place alone, on standard error.
pub fn withhold() {
    std::panic::set_hook(Box::new(|panic| {
        let line = line(panic.location());
        // Whoever closed standard error does not want to know.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }));
}

fn line(place: Option<&Location<'_>>) -> String {
    let place = place.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "credbroker: a fault of ours at {place}; please report it (the reason is withheld: it might quote a secret)\n"
    )
}
