//! Hexadecimal, without the formatting machinery: identifiers are written on every call.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes the bytes' digits into a text of twice their number.
pub(crate) fn encode(bytes: &[u8], text: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// What [`encode`] wrote, and prefixes of ours, are ASCII.
pub(crate) fn as_text(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// Writes up to 32 bytes as digits.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut text = [0; 64];
    let (text, _) = text.split_at_mut(bytes.len().min(32) * 2);
    encode(bytes, text);
    f.write_str(as_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_digits() {
        let mut text = [0; 8];
        encode(&[0x00, 0x7f, 0xa5, 0xff], &mut text);
        assert_eq!(as_text(&text), "007fa5ff");
    }
}
