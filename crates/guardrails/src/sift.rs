//! Keeps some bytes of a text and drops the others, without a branch per byte.

static DENSE: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        table[byte as usize] = !byte.is_ascii_whitespace();
        byte += 1;
    }
    table
};

static PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// Adds all but the white space of ASCII.
pub(crate) fn dense(bytes: &[u8], into: &mut Vec<u8>) {
    sift(bytes, into, |byte| (byte, DENSE[usize::from(byte)]));
}

/// Adds the letters and digits of ASCII, in lower case.
pub(crate) fn plain(bytes: &[u8], into: &mut Vec<u8>) {
    sift(bytes, into, |byte| {
        let lower = PLAIN[usize::from(byte)];
        (lower, lower != 0)
    });
}

#[inline]
fn sift(bytes: &[u8], into: &mut Vec<u8>, becomes: impl Fn(u8) -> (u8, bool)) {
    into.reserve(bytes.len());
    // As long as a `u8` counts, so that no index into it needs a check.
    let mut block = [0; 256];
    for chunk in bytes.chunks(128) {
        let mut end = 0_u8;
        for byte in chunk {
            let (written, stays) = becomes(*byte);
            block[usize::from(end)] = written;
            end = end.wrapping_add(u8::from(stays));
        }
        into.extend_from_slice(&block[..usize::from(end)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stays_or_goes_as_its_kind_says() {
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let (mut without_space, mut lower) = (Vec::new(), Vec::new());
        dense(&all, &mut without_space);
        plain(&all, &mut lower);
        let expected: Vec<u8> = all.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        assert_eq!(without_space, expected);
        let plainly = all.iter().filter(|byte| byte.is_ascii_alphanumeric());
        assert_eq!(lower, plainly.map(u8::to_ascii_lowercase).collect::<Vec<_>>());
    }
}
