//! The path of a request, cut into its segments.
//!
//! Java and C++ append `/latest/...` to an endpoint that ends in a slash (contract A.1), and .NET and C++ leave
//! the last slash off, so empty segments do not count. A query is ignored.

use std::borrow::Cow;

/// The segments of a path, as they were sent; at most [`MAX_SEGMENTS`].
#[derive(Debug)]
pub(super) struct Segments<'a> {
    segments: [&'a str; MAX_SEGMENTS],
    count: usize,
}

impl<'a> Segments<'a> {
    /// Cuts `path`, which has no query; `None` for one of more segments than any path of ours.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let mut segments = [""; MAX_SEGMENTS];
        let mut count = 0;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            *segments.get_mut(count)? = segment;
            count += 1;
        }
        Some(Self { segments, count })
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

/// One more than the longest path that any endpoint knows.
const MAX_SEGMENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_that_are_too_many_or_missing_do_not_count() {
        for path in ["/latest/meta-data", "//latest///meta-data/", "latest/meta-data"] {
            assert_eq!(Segments::of(path).unwrap().as_slice(), ["latest", "meta-data"], "{path}");
        }
        assert_eq!(Segments::of("/").unwrap().as_slice(), [""; 0]);
    }

    #[test]
    fn a_path_deeper_than_ours_is_no_path_of_ours() {
        assert_eq!(Segments::of("/1/2/3/4/5/6/7/8").unwrap().as_slice().len(), 8);
        assert!(Segments::of("/1/2/3/4/5/6/7/8/9").is_none());
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
