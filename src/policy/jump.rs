//! Whether the wall clock was set, or the machine slept.

use std::time::Duration;

use crate::model::Passed;

/// What became of the wall clock against the one that only runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// It was set back.
    Back(Duration),
    /// It was set forward, or the machine slept, which the steady clock does not count.
    Forward(Duration),
}

/// What the time between two looks at both clocks tells of the wall clock; `None` where it just went on, give or take what
/// a busy machine takes between reading one and the other.
#[must_use]
pub fn jump(passed: Passed) -> Option<Jump> {
    let Passed { wall, steady } = passed;
    let jump = match wall {
        Ok(wall) if wall >= steady => Jump::Forward(wall.abs_diff(steady)),
        Ok(wall) => Jump::Back(wall.abs_diff(steady)),
        Err(back) => Jump::Back(steady.saturating_add(back)),
    };
    let (Jump::Back(by) | Jump::Forward(by)) = jump;
    (by >= Duration::from_secs(5)).then_some(jump)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_goes_on() {
        let seconds = Duration::from_secs;
        let ok = |wall, steady| jump(Passed { wall: Ok(seconds(wall)), steady: seconds(steady) });
        assert_eq!(ok(10, 10), None);
        assert_eq!(ok(14, 10), None);
        assert_eq!(ok(6, 10), None);
        assert_eq!(ok(7210, 10), Some(Jump::Forward(seconds(7200))));
        assert_eq!(ok(0, 10), Some(Jump::Back(seconds(10))));
        let back = jump(Passed { wall: Err(seconds(7190)), steady: seconds(10) });
        assert_eq!(back, Some(Jump::Back(seconds(7200))));
        // A process that was stopped is late by both clocks.
        assert_eq!(ok(28_800, 28_800), None);
    }
}
