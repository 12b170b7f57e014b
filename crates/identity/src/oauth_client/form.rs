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

/// The pairs of a form, in their order; `None` where it is not one.
#[cfg(feature = "oauth-server")]
pub(crate) fn decode(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode_one(name)?, decode_one(value)?))
        })
        .collect()
}

/// One value as it was before it was encoded.
#[cfg(feature = "oauth-server")]
pub(crate) fn decode_one(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "oauth-server")]
    #[test]
    fn what_was_encoded_comes_back_and_what_was_not_does_not() {
        let pairs = [("a b", "c&d=e+"), ("url", "https://x/?y"), ("ü", "~"), ("", "")];
        let back = decode(&encode(pairs)).unwrap();
        assert!(back.iter().map(|(name, value)| (&**name, &**value)).eq(pairs));
        assert_eq!(
            decode("a+b&&c"),
            Some(vec![("a b".into(), String::new()), ("c".into(), String::new())])
        );
        for wrong in ["a=%", "a=%4", "a=%+1", "a=%zz", "%ff=a", "a=%é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whatever_is_not_unreserved_is_escaped() {
        let pairs = [("a b", "c&d=e"), ("url", "https://x/?y"), ("ü", "~")];
        assert_eq!(encode(pairs), "a%20b=c%26d%3De&url=https%3A%2F%2Fx%2F%3Fy&%C3%BC=~");
        assert_eq!(encode_one("a:b+"), "a%3Ab%2B");
    }
}
