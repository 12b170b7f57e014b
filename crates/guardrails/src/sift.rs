//! Keeps some bytes of a text and drops the others, without a branch per byte.

/// What becomes of each byte: the byte to write, and whether it stays.
pub(crate) struct Sieve([(u8, bool); 256]);

impl Sieve {
    /// All but the white space of ASCII.
    pub(crate) const DENSE: Self = {
        let mut table = [(0, true); 256];
        let mut byte = 0_u8;
        loop {
            table[byte as usize] = (byte, !byte.is_ascii_whitespace());
            if byte == u8::MAX {
                break Self(table);
            }
            byte += 1;
        }
    };

    /// The letters and digits of ASCII, in lower case.
    pub(crate) const PLAIN: Self = {
        let mut table = [(0, false); 256];
        let mut byte = 0_u8;
        while byte.is_ascii() {
            table[byte as usize] = (byte.to_ascii_lowercase(), byte.is_ascii_alphanumeric());
            byte += 1;
        }
        Self(table)
    };

    /// Adds what stays of `bytes`.
    pub(crate) fn add(&self, bytes: &[u8], into: &mut Vec<u8>) {
        into.reserve(bytes.len());
        // As long as a `u8` counts, so that no index into it needs a check.
        let mut block = [0; 256];
        for chunk in bytes.chunks(128) {
            let mut end = 0_u8;
            for byte in chunk {
                let (written, stays) = self.0[usize::from(*byte)];
                block[usize::from(end)] = written;
                end = end.wrapping_add(u8::from(stays));
            }
            into.extend_from_slice(&block[..usize::from(end)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stays_or_goes_as_its_kind_says() {
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let (mut dense, mut plain) = (Vec::new(), Vec::new());
        Sieve::DENSE.add(&all, &mut dense);
        Sieve::PLAIN.add(&all, &mut plain);
        let expected: Vec<u8> = all.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        assert_eq!(dense, expected);
        let plainly = all.iter().filter(|byte| byte.is_ascii_alphanumeric());
        assert_eq!(plain, plainly.map(u8::to_ascii_lowercase).collect::<Vec<_>>());
    }
}
