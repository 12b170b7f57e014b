//! `application/x-www-form-urlencoded`, for request bodies, queries and client authentication.

/// Pairs as a form.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        push(&mut text, name);
        text.push('=');
        push(&mut text, value);
    }
    text
}

/// One value, percent-encoded but for what RFC 3986 §2.3 leaves alone.
pub(crate) fn encode_one(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    push(&mut text, value);
    text
}

fn push(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => {
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_unreserved_is_escaped() {
        let pairs = [("a b", "c&d=e"), ("url", "https://x/?y"), ("ü", "~")];
        assert_eq!(encode(pairs), "a%20b=c%26d%3De&url=https%3A%2F%2Fx%2F%3Fy&%C3%BC=~");
        assert_eq!(encode_one("a:b+"), "a%3Ab%2B");
    }
}
