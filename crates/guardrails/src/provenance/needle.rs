//! What must stand in a text for a value to stand in it.

use memchr::{memchr_iter, memmem};

/// A condition that is quick to check and that each text with a value fulfils, so that no other
/// text needs to be taken apart. It rests on how [`literal`](crate::literal) writes its forms.
#[derive(Debug)]
pub(super) enum Needle<'a> {
    /// These very bytes, none of them white space.
    Bytes(&'a str),
    /// A host after `://`, in any case.
    Host(&'a str),
    /// A host that begins with `www.`, in any case.
    Site(&'a str),
    /// An IBAN's country and check digits, the country in any case.
    Iban(&'a str, &'a str),
    /// Digits, with nothing but marks and space between them.
    Digits(&'a str),
    /// Any text will do.
    Nothing,
}

impl<'a> Needle<'a> {
    /// Of a canonical form.
    pub(super) fn of(form: &'a str) -> Self {
        let Some((kind, value)) = form.split_once(':') else { return Self::Nothing };
        let until = |end: &[char]| value.split(end).next().unwrap_or_default();
        match kind {
            "e" => value.find('@').map_or(Self::Nothing, |at| Self::Bytes(&value[..=at])),
            "u" => value.split_once("://").map_or(Self::Nothing, |(_, rest)| {
                Self::Host(rest.split([':', '/']).next().unwrap_or_default())
            }),
            "w" => Self::Site(until(&['/'])),
            "i" => match (value.get(..2), value.get(2..4)) {
                (Some(country), Some(check)) => Self::Iban(country, check),
                _ => Self::Nothing,
            },
            "p" => Self::Digits(value.trim_start_matches('+')),
            "n" | "m" => Self::Digits(until(&['e']).trim_start_matches('-')),
            "d" => Self::Bytes(until(&['-'])),
            "x" => Self::of_words(value),
            _ => Self::Nothing,
        }
    }

    /// Of words that stand in this order, but with any space between them.
    pub(super) fn of_words(words: &'a str) -> Self {
        Self::Bytes(words.split(' ').max_by_key(|word| word.len()).unwrap_or_default())
    }

    /// The first place from `from` on.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<usize> {
        let text = text.as_bytes().get(from..)?;
        let host_at = |at: usize, host: &str| {
            let there = text.get(at..).and_then(|rest| rest.get(..host.len()));
            there.is_some_and(|there| there.eq_ignore_ascii_case(host.as_bytes()))
        };
        let at = match self {
            Self::Bytes(bytes) => memmem::find(text, bytes.as_bytes()),
            Self::Host(host) => memmem::find_iter(text, "://").find(|at| host_at(at + 3, host)),
            Self::Site(host) => memchr_iter(b'.', text)
                .filter_map(|dot| dot.checked_sub(3))
                .find(|at| host_at(*at, host)),
            Self::Iban(country, check) => memmem::find_iter(text, check)
                .filter_map(|at| at.checked_sub(2))
                .find(|at| host_at(*at, country)),
            Self::Digits(digits) => find_digits(text, digits.as_bytes()),
            Self::Nothing => (!text.is_empty()).then_some(0),
        };
        at.map(|at| from + at)
    }
}

fn find_digits(text: &[u8], digits: &[u8]) -> Option<usize> {
    let (first, rest) = digits.split_first()?;
    memchr_iter(*first, text).find(|at| {
        let mut after = text[at + 1..].iter().filter(|byte| {
            // A letter ends a number; each mark, in whatever script, may part its digits.
            byte.is_ascii_alphanumeric()
        });
        rest.iter().all(|digit| after.next() == Some(digit))
    })
}
