//! JSON Pointers with `*`, and the paths that they are matched against.

use std::fmt;

/// One step down a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `*`: any key, any index.
    Any,
    /// A key; an index too where it reads as one.
    Named { key: Box<str>, index: Option<usize> },
}

impl Segment {
    fn fits(&self, step: Step<'_>) -> bool {
        match (self, step) {
            (Self::Any, _) => true,
            (Self::Named { key, .. }, Step::Key(name)) => **key == *name,
            (Self::Named { index, .. }, Step::Index(at)) => *index == Some(at),
        }
    }
}

/// A JSON Pointer (RFC 6901) in which a whole segment may be `*` for any key or index.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: Box<str>,
    segments: Box<[Segment]>,
}

impl Pointer {
    /// Reads a pointer, or says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("a JSON Pointer that begins with `/`, such as `/recipients`");
        };
        let segments = path.split('/').map(segment).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments })
    }

    /// The pointer as written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// How many segments it has.
    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether it names the place at `path` or one above it.
    pub(crate) fn covers(&self, path: &[Step<'_>]) -> bool {
        self.segments.len() <= path.len()
            && self.segments.iter().zip(path).all(|(segment, step)| segment.fits(*step))
    }

    /// Whether a place below `path` may be named.
    pub(crate) fn passes(&self, path: &[Step<'_>]) -> bool {
        self.segments.len() > path.len()
            && self.segments.iter().zip(path).all(|(segment, step)| segment.fits(*step))
    }

    /// Whether the key at the end of `path` is written out in the pointer.
    pub(crate) fn spells(&self, path: &[Step<'_>]) -> bool {
        let Some(last) = path.len().checked_sub(1) else { return false };
        matches!(self.segments.get(last), Some(Segment::Named { .. }))
            && self.segments.iter().zip(path).all(|(segment, step)| segment.fits(*step))
    }

    /// Whether its first segment can name a place of a list.
    pub(crate) fn spells_no_key(&self) -> bool {
        !matches!(self.segments.first(), Some(Segment::Named { index: None, .. }))
    }

    /// How exactly it names: longer first, then more written-out segments.
    pub(crate) fn rank(&self) -> (usize, usize) {
        let named = self.segments.iter().filter(|segment| **segment != Segment::Any).count();
        (self.segments.len(), named)
    }

    /// Whether the first segments are the same and this one is longer.
    pub(crate) fn extends(&self, other: &Self) -> bool {
        self.segments.len() > other.segments.len()
            && self.segments[..other.segments.len()] == *other.segments
    }

    /// The segments as text, `*` as `None`.
    pub(crate) fn names(&self) -> impl Iterator<Item = Option<&str>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Any => None,
            Segment::Named { key, .. } => Some(&**key),
        })
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    if text == "*" {
        return Ok(Segment::Any);
    }
    if text.is_empty() {
        return Err("no empty segment in a JSON Pointer");
    }
    let escapes_hold =
        text.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'));
    if !escapes_hold {
        return Err("`~0` for `~` and `~1` for `/` within a JSON Pointer");
    }
    let key: Box<str> = text.replace("~1", "/").replace("~0", "~").into();
    let canonical = key.len() == 1 || !key.starts_with('0');
    let digits = key.bytes().all(|byte| byte.is_ascii_digit());
    let index = if digits && canonical { key.parse().ok() } else { None };
    Ok(Segment::Named { key, index })
}

#[cfg(test)]
mod tests {
    use super::Step::{Index, Key};
    use super::*;

    #[test]
    fn a_pointer_covers_its_place_and_all_below() {
        for (pointer, path, covers) in [
            ("/a", vec![Key("a")], true),
            ("/a", vec![Key("a"), Index(3), Key("x")], true),
            ("/a/b", vec![Key("a")], false),
            ("/*/body", vec![Index(0), Key("body")], true),
            ("/*/body", vec![Key("k"), Key("body")], true),
            ("/0", vec![Index(0)], true),
            ("/00", vec![Index(0)], false),
            ("/a~1b~0", vec![Key("a/b~")], true),
            ("/a", vec![Key("A")], false),
        ] {
            assert_eq!(Pointer::parse(pointer).unwrap().covers(&path), covers, "{pointer}");
        }
    }

    #[test]
    fn malformed_pointers_say_what_was_expected() {
        for (text, expected) in
            [("recipients", "begins with `/`"), ("", "begins"), ("/a//b", "empty"), ("/~2", "~0")]
        {
            assert!(Pointer::parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
