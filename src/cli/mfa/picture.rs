//! The seed for an app's camera: an `otpauth://` URI, and its QR code in half blocks.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::{Color, QrCode};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The URI that apps take (IAM API Reference, `VirtualMFADevice`, `QRCodePNG`; the key URI format of Google
/// Authenticator), for the device called `name` in `account`.
pub(super) fn uri(name: &str, account: &str, seed: &SecretString) -> Zeroizing<String> {
    let seed = seed.expose_secret();
    // As long as it gets, so that no copy of it is left behind.
    let mut uri = Zeroizing::new(String::with_capacity(128 + 3 * name.len() + seed.len()));
    let name = utf8_percent_encode(name, KEPT);
    // Writing to a String cannot fail.
    let _ = write!(uri, "otpauth://totp/AWS:{name}@{account}?secret={seed}&issuer=AWS");
    uri
}

/// The QR code of `text`, black on white whatever the terminal's colours are, two rows of dots on a line; `None` where
/// the text is too long for any.
pub(super) fn qr(text: &str) -> Option<Zeroizing<String>> {
    let code = QrCode::new(text).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (x, y) = (x.checked_sub(QUIET), y.checked_sub(QUIET));
        let at = x.zip(y).filter(|(x, y)| *x < width && *y < width);
        at.and_then(|(x, y)| colors.get(y * width + x)) == Some(&Color::Dark)
    };
    let side = width + 2 * QUIET;
    let mut picture = Zeroizing::new(String::with_capacity((side * 3 + 32) * (side / 2 + 1)));
    for y in (0..side).step_by(2) {
        picture.push_str(BLACK_ON_WHITE);
        picture.extend((0..side).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        picture.push_str(PLAIN);
    }
    Some(picture)
}

/// What a device's name may have and a URI's path, too.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The white margin that a reader needs, in dots (ISO/IEC 18004).
const QUIET: usize = 4;

/// The colours 16 and 231 of 256 are the same black and white in every theme.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";

const PLAIN: &str = "\x1b[0m\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_told_whose_device_it_is() {
        let uri = uri("me@work", "123456789012", &"ABC".to_owned().into());
        assert_eq!(*uri, "otpauth://totp/AWS:me%40work@123456789012?secret=ABC&issuer=AWS");
        assert!(crate::model::Seed::parse(&uri).is_err(), "three letters are no seed");
    }

    #[test]
    fn the_dots_of_a_code_are_all_there() {
        let text = "otpauth://totp/AWS:me@1?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let picture = qr(text).unwrap();
        let mut dots = Vec::new();
        for line in picture.lines() {
            let line = line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix("\x1b[0m").unwrap();
            for rows in ["█▀", "█▄"] {
                dots.push(line.chars().map(|dot| rows.contains(dot)).collect::<Vec<_>>());
            }
        }
        let code = QrCode::new(text).unwrap();
        let inner = dots[QUIET..QUIET + code.width()].iter();
        let inner = inner.flat_map(|row| &row[QUIET..QUIET + code.width()]);
        let expected = code.to_colors().into_iter().map(|color| color == Color::Dark);
        assert_eq!(inner.copied().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        let dark = |row: &[bool]| row.iter().filter(|dot| **dot).count();
        assert_eq!(dots[..QUIET].iter().map(|row| dark(row)).sum::<usize>(), 0);
        assert!(qr(&"x".repeat(5000)).is_none());
    }
}
