//! `application/x-www-form-urlencoded`: forms and queries.

use super::request::decoded;

/// The most pairs looked at.
const MOST: usize = 32;

/// The pairs of a form or a query, in their order.
pub(super) struct Form(Vec<(String, String)>);

/// A name that stands there more than once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice;

impl Form {
    pub(super) fn read(text: &str) -> Self {
        let plain = |text: &str| decoded(&text.replace('+', " "));
        let pairs = text.split('&').take(MOST).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (plain(name), plain(value))).collect())
    }

    /// The first value of a name.
    pub(super) fn any(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The only value of a name (RFC 6749 §3.1: parameters must not be repeated).
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Twice> {
        match self.0.iter().filter(|(known, _)| known == name).count() {
            0 | 1 => Ok(self.any(name)),
            _ => Err(Twice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_repeats_are_told() {
        let form = Form::read("a=1&b=x+y%26z&c&a=2&=&%62b=3");
        assert_eq!(form.any("a"), Some("1"));
        assert_eq!(form.one("a"), Err(Twice));
        assert_eq!(form.one("b"), Ok(Some("x y&z")));
        assert_eq!(form.any("c"), Some(""));
        assert_eq!(form.any("bb"), Some("3"));
        assert_eq!(form.one("none"), Ok(None));
    }
}
