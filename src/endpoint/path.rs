//! The path of a request, cut into its segments.
//!
//! Java and C++ append `/latest/...` to an endpoint that ends in a slash (contract A.1), and .NET and C++ leave
//! the last slash off, so empty segments do not count. A query is ignored.

use std::borrow::Cow;

/// The segments of a path, as they were sent: all of them, or the first [`MAX_SEGMENTS`] of a path that is longer
/// than any of ours and so matches none.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    segments: [&'a str; MAX_SEGMENTS],
    count: usize,
}

impl<'a> Segments<'a> {
    /// Cuts `path`, which has no query.
    pub(super) fn of(path: &'a str) -> Self {
        let mut segments = [""; MAX_SEGMENTS];
        let mut count = 0;
        let parts = path.split('/').filter(|segment| !segment.is_empty());
        for (place, segment) in segments.iter_mut().zip(parts) {
            *place = segment;
            count += 1;
        }
        Self { segments, count }
    }

    /// The segments in order.
    pub(super) fn as_slice(&self) -> &[&'a str] {
        self.segments.get(..self.count).unwrap_or_default()
    }
}

/// Decodes the percent-encoded `segment` (RFC 3986, section 2.1); `None` where an escape is broken or the
/// bytes are not UTF-8.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// More than any path has that an endpoint knows.
const MAX_SEGMENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_that_are_too_many_or_missing_do_not_count() {
        for path in ["/latest/meta-data", "//latest///meta-data/", "latest/meta-data"] {
            assert_eq!(Segments::of(path).as_slice(), ["latest", "meta-data"], "{path}");
        }
        assert_eq!(Segments::of("/").as_slice(), [""; 0]);
    }

    #[test]
    fn a_path_deeper_than_ours_is_no_path_of_ours() {
        assert_eq!(Segments::of("/1/2/3/4/5/6/7/8/9").as_slice().len(), MAX_SEGMENTS);
    }

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(decode("team%2Fprod%20admin").unwrap(), "team/prod admin");
        assert_eq!(decode("%C3%9C").unwrap(), "Ü");
        assert_eq!(decode("%2541").unwrap(), "%41");
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
