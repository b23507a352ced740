//! Whole connections: whatever is sent, nobody gets credentials without a ticket or a token that was made here.

#![no_main]

use credbroker::model::Channel;
use credbroker_fuzz::{container, converse, imds, tells};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let answer = if which % 2 == 0 {
        converse(&container(), Channel::Container, bytes, false)
    } else {
        converse(&imds(), Channel::Imds, bytes, false)
    };
    assert!(!tells(&answer), "credentials without a ticket or a token");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "an answer is HTTP");
});
