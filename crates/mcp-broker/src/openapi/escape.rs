//! Percent-encoding (RFC 3986 §2).

use std::fmt::Write as _;

/// What stays as it is where a parameter allows reserved characters. `&` and `#` would begin
/// another parameter or end the query, and `+` is read as a space: those never stay.
const RESERVED: &[u8] = b":/?[]@!$'()*,;=";

/// Writes a text so that nothing in it has a meaning in a URL: only unreserved characters stay.
pub(super) fn strict(text: &str, out: &mut String) {
    encode(text, b"", out);
}

/// Writes a text that may hold reserved characters.
pub(super) fn reserved(text: &str, out: &mut String) {
    encode(text, RESERVED, out);
}

fn encode(text: &str, kept: &[u8], out: &mut String) {
    for byte in text.bytes() {
        let is_unreserved =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if is_unreserved || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The literal part of a path as it may stand in a URL: what must be escaped is, what is stays.
pub(super) fn literal(text: &str, out: &mut String) {
    for c in text.chars() {
        if c.is_ascii_graphic()
            && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '?' | '#')
        {
            out.push(c);
        } else {
            strict(c.encode_utf8(&mut [0; 4]), out);
        }
    }
}

/// Undoes percent-encoding; `None` where it is broken or no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The names and values of a query.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let read = |text: &str| decoded(&text.replace('+', " ")).unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (read(name), read(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_unreserved_characters_stay() {
        let mut out = String::new();
        strict("aZ9-._~ /?#[]@!$&'()*+,;=%\"é\n", &mut out);
        assert_eq!(
            out,
            "aZ9-._~%20%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25%22%C3%A9%0A"
        );
        out.clear();
        reserved("a/b?c=d&e#f+g%h", &mut out);
        assert_eq!(out, "a/b?c=d%26e%23f%2Bg%25h");
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(text in "\\PC*") {
            let mut out = String::new();
            strict(&text, &mut out);
            prop_assert_eq!(decoded(&out), Some(text));
        }
    }
}
