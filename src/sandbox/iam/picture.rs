//! A QR code as a PNG: black and white, one bit a dot, not compressed.
//!
//! An encoder for a picture of this kind is shorter than what it takes to use one (PNG specification, third edition,
//! sections 5 and 10; RFC 1950 for the checksum, RFC 1951 section 3.2.4 for blocks that are stored as they are).

use qrcode::{Color, QrCode};

/// The picture of `text`; `None` where it is too long for any.
pub(super) fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::new(text).ok()?;
    let modules = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let of = |at: usize| (at / DOTS).checked_sub(QUIET).filter(|at| *at < modules);
        let at = of(x).zip(of(y)).map(|(x, y)| y * modules + x);
        at.and_then(|at| colors.get(at)) == Some(&Color::Dark)
    };
    let side = (modules + 2 * QUIET) * DOTS;
    let mut rows = Vec::with_capacity(side * (side / 8 + 2));
    for y in 0..side {
        // No filter.
        rows.push(0);
        for first in (0..side).step_by(8) {
            // A bit that is set is white.
            let dot = |bit: usize| u8::from(!is_dark(first + bit, y)) << (7 - bit);
            rows.push((0..8).map(dot).sum());
        }
    }
    let side = u32::try_from(side).ok()?.to_be_bytes();
    // One bit of grey, and the only ways there are to compress, filter and interlace.
    let header = [side.as_slice(), &side, &[1, 0, 0, 0, 0]].concat();
    let mut picture = SIGNATURE.to_vec();
    chunk(&mut picture, *b"IHDR", &header)?;
    chunk(&mut picture, *b"IDAT", &stored(&rows)?)?;
    chunk(&mut picture, *b"IEND", &[])?;
    Some(picture)
}

/// `data` as a zlib stream of stored blocks.
fn stored(data: &[u8]) -> Option<Vec<u8>> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).ok()?;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    Some(stream)
}

fn chunk(picture: &mut Vec<u8>, name: [u8; 4], data: &[u8]) -> Option<()> {
    picture.extend(u32::try_from(data.len()).ok()?.to_be_bytes());
    let start = picture.len();
    picture.extend(name);
    picture.extend(data);
    let checksum = crc32(picture.get(start..)?);
    picture.extend(checksum.to_be_bytes());
    Some(())
}

fn crc32(data: &[u8]) -> u32 {
    let whole = data.iter().fold(u32::MAX, |crc, byte| {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), step)
    });
    !whole
}

fn adler32(data: &[u8]) -> u32 {
    const PRIME: u32 = 65_521;
    let (low, high) = data.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % PRIME;
        (low, (high + low) % PRIME)
    });
    high << 16 | low
}

/// How wide a module is.
const DOTS: usize = 4;

/// The white margin that a reader needs, in modules (ISO/IEC 18004).
const QUIET: usize = 4;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_the_standards() {
        // The end of every PNG file, and the example that RFC 1950's algorithm is usually shown with.
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_has_its_size_and_ends_as_it_should() {
        let png = png("otpauth://totp/me@123456789012?secret=GEZDGNBV").unwrap();
        assert!(png.starts_with(&SIGNATURE));
        // Version 3: 29 modules.
        let side = u32::from_be_bytes(png[16..20].try_into().unwrap());
        assert_eq!(side, (29 + 8) * 4);
        assert!(png.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
        assert!(super::png(&"x".repeat(5000)).is_none());
    }
}
