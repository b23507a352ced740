//! IMDS tokens: one that was made here, changed in some place, is refused; unchanged it is good.

#![no_main]

use std::sync::LazyLock;

use credbroker::model::Channel;
use credbroker_fuzz::{converse, imds, tells};
use libfuzzer_sys::fuzz_target;

static TOKEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let put = b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nConnection: close\r\n\r\n";
    let answer = converse(&imds(), Channel::Imds, put, true);
    let text = String::from_utf8(answer).expect("text");
    text.rsplit("\r\n\r\n").next().expect("a body").as_bytes().to_vec()
});

fuzz_target!(|change: (u16, u8, Vec<u8>, bool)| {
    let (place, keep, with, whole) = change;
    let mut token = TOKEN.clone();
    if !whole {
        let place = usize::from(place) % (token.len() + 1);
        let end = (place + usize::from(keep)).min(token.len());
        token.splice(place..end, with);
    }
    let mut request = b"GET /latest/meta-data/iam/security-credentials/reader HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-aws-ec2-metadata-token: ".to_vec();
    request.extend(&token);
    request.extend(b"\r\n\r\n");
    let answer = converse(&imds(), Channel::Imds, &request, true);
    // Spaces around a header's value are not part of it (RFC 9110, 5.5), and a line's end begins another header.
    let sent = token.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let same = sent.trim_ascii() == TOKEN.as_slice();
    assert!(same || !tells(&answer), "a changed token was good: {token:?}");
    assert!(
        token != *TOKEN || tells(&answer),
        "a good token was refused: {}",
        String::from_utf8_lossy(&answer)
    );
});
