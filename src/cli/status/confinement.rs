//! What the daemon gave up at its start, in words.

use crate::endpoint::control::wire::{ConfinementStatus, Measure};

/// A line for each measure.
pub(super) fn render(confinement: &ConfinementStatus) -> String {
    let ConfinementStatus { memory, writing, system_calls } = confinement;
    [
        line(memory, "memory is kept out of swap", "memory may be swapped"),
        line(writing, "writing is confined to its own directories", "writing is not confined"),
        line(system_calls, "system calls are confined", "system calls are not confined"),
    ]
    .concat()
}

fn line(measure: &Measure, on: &str, off: &str) -> String {
    match &measure.why {
        _ if measure.on => format!("{on}\n"),
        Some(why) => format!("{off}: {why}\n"),
        None => format!("{off}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_says_why() {
        let confinement = ConfinementStatus {
            memory: Err("the limit is finite".to_owned()).into(),
            writing: Ok(()).into(),
            system_calls: Measure::default(),
        };
        assert_eq!(
            render(&confinement),
            "memory may be swapped: the limit is finite\n\
             writing is confined to its own directories\n\
             system calls are not confined\n"
        );
    }
}
