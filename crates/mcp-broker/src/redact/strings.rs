//! The strings of a JSON text, where they stand and what they say.

use std::borrow::Cow;
use std::ops::Range;

/// One string that is a value.
pub(super) struct Text {
    /// Its bytes between the quotes.
    pub(super) span: Range<usize>,
    /// The name of the member whose value it is, as it reads.
    pub(super) member: Option<String>,
}

/// The string values of valid JSON, in order; names of members are passed over.
pub(super) struct Strings<'a> {
    json: &'a str,
    at: usize,
    /// The last name and where its colon stands.
    name: Option<(Range<usize>, usize)>,
}

impl<'a> Strings<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        Self { json, at: 0, name: None }
    }

    /// Where the string that begins here ends: the place of its closing quote.
    fn end(&self, start: usize) -> Option<usize> {
        let bytes = self.json.as_bytes();
        let mut at = start;
        loop {
            at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
            match bytes[at] {
                b'"' => return Some(at),
                _ => at += 2,
            }
        }
    }
}

impl Iterator for Strings<'_> {
    type Item = Text;

    fn next(&mut self) -> Option<Text> {
        loop {
            let bytes = self.json.as_bytes();
            let quote = self.at + memchr::memchr(b'"', bytes.get(self.at..)?)?;
            let span = quote + 1..self.end(quote + 1)?;
            self.at = span.end + 1;
            let rest = self.json.get(self.at..)?;
            let spaces = rest.len() - rest.trim_ascii_start().len();
            if rest.as_bytes().get(spaces) == Some(&b':') {
                self.name = Some((span, self.at + spaces));
                continue;
            }
            let own = self.name.take().filter(|(_, colon)| {
                self.json.get(colon + 1..quote).is_some_and(|gap| gap.trim_ascii().is_empty())
            });
            let member =
                own.and_then(|(name, _)| Some(Decoded::of(self.json.get(name)?).text.into_owned()));
            return Some(Text { span, member });
        }
    }
}

/// A string as it reads, and the way back to how it is written.
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where escapes were: from this byte of the text on, and of the raw string.
    steps: Vec<(usize, usize)>,
}

impl<'a> Decoded<'a> {
    /// Of the bytes between the quotes. What no string can hold, half a surrogate pair, reads as
    /// the sign for that.
    pub(super) fn of(raw: &'a str) -> Self {
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Self { text: Cow::Borrowed(raw), steps: Vec::new() };
        }
        let mut text = String::with_capacity(raw.len());
        let mut steps = Vec::new();
        let mut at = 0;
        while let Some(plain) = raw.get(at..).and_then(|rest| rest.find('\\')) {
            text.push_str(&raw[at..at + plain]);
            at += plain;
            let (c, length) = escaped(&raw[at..]);
            // The escape itself, then what follows it.
            steps.push((text.len(), at));
            text.push(c);
            at += length;
            steps.push((text.len(), at));
        }
        text.push_str(raw.get(at..).unwrap_or_default());
        Self { text: Cow::Owned(text), steps }
    }

    /// Where a range of the text is written. An escape belongs to it whole.
    pub(super) fn raw(&self, range: &Range<usize>) -> Range<usize> {
        let place = |at: usize| {
            let next = self.steps.partition_point(|(text, _)| *text <= at);
            match next.checked_sub(1).and_then(|last| self.steps.get(last)) {
                Some((text, raw)) => raw + (at - text),
                None => at,
            }
        };
        place(range.start)..place(range.end)
    }
}

/// The character that an escape stands for, and how many bytes it takes (RFC 8259 §7).
fn escaped(raw: &str) -> (char, usize) {
    let unit = |at: usize| raw.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let c = match raw.as_bytes().get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => {
            let Some(high) = unit(2) else { return (char::REPLACEMENT_CHARACTER, 2) };
            if let (0xD800..=0xDBFF, Some(r"\u"), Some(low @ 0xDC00..=0xDFFF)) =
                (high, raw.get(6..8), unit(8))
            {
                let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
            }
            return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
        }
        Some(byte) if byte.is_ascii() => char::from(*byte),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (c, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_told_from_names() {
        let json = r#"{"a" : "x","b\"": ["y", {"c":1,"d":"z\\"}],"e":2, "\u0066":"w"}"#;
        let found: Vec<_> =
            Strings::of(json).map(|text| (json[text.span].to_owned(), text.member)).collect();
        let expected = [("x", Some("a")), ("y", None), (r"z\\", Some("d")), ("w", Some("f"))];
        assert_eq!(found, expected.map(|(s, m)| (s.to_owned(), m.map(str::to_owned))));
    }

    proptest! {
        #[test]
        fn a_string_reads_as_serde_reads_it(text in "\\PC*|[\\n\\t\"\\\\\u{1}😀a]*") {
            let json = serde_json::to_string(&text).unwrap();
            let decoded = Decoded::of(&json[1..json.len() - 1]);
            prop_assert_eq!(&*decoded.text, &*text);
            for (at, c) in text.char_indices() {
                let raw = decoded.raw(&(at..at + c.len_utf8()));
                let piece = format!("\"{}\"", &json[1..json.len() - 1][raw]);
                prop_assert_eq!(serde_json::from_str::<String>(&piece).unwrap(), c.to_string());
            }
        }
    }
}
