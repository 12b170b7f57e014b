//! Reading JSON text without copying it, and saying where it is wrong.
//!
//! Errors cost nothing until they happen: values are read with plain serde, and only when that
//! fails is the text walked once more to find the path of the failing byte.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::ops::Range;

use doorward_core::{Body, DialectId, Part};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ReadError;

/// The most fields at the top of a request.
const MOST_MEMBERS: usize = 256;

/// How deep a request may nest.
const MOST_DEPTH: usize = 128;

/// A JSON text whose parts are read one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ReadError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text }),
            Err(error) => Err(ReadError::Utf8 { at: error.valid_up_to() }),
        }
    }

    /// Reads the whole text.
    pub(crate) fn whole<T: Deserialize<'a>>(&self) -> Result<T, ReadError> {
        self.part(self.text)
    }

    /// Reads one value of the text.
    pub(crate) fn read<T: Deserialize<'a>>(&self, value: &'a RawValue) -> Result<T, ReadError> {
        self.part(value.get())
    }

    fn part<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, ReadError> {
        serde_json::from_str(part).map_err(|error| {
            let at = self.span(part).start + offset(part, error.line(), error.column());
            ReadError::field(path(self.text, at), problem(&error))
        })
    }

    /// Where a part of the text stands in it.
    pub(crate) fn span(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        start..start + part.len()
    }

    /// An error at a part of the text.
    pub(crate) fn wrong(
        &self,
        part: &RawValue,
        problem: impl Into<Cow<'static, str>>,
    ) -> ReadError {
        ReadError::field(path(self.text, self.span(part.get()).start), problem)
    }

    /// Keeps a value as it is written, if it does not nest too deep to be read later.
    pub(crate) fn keep(&self, value: &RawValue) -> Result<Box<RawValue>, ReadError> {
        if depth_exceeds(value.get(), MOST_DEPTH) {
            return Err(self.wrong(value, "nested too deep"));
        }
        Ok(value.to_owned())
    }

    /// Keeps a value that need not be there.
    pub(crate) fn keep_any(
        &self,
        value: Option<&RawValue>,
    ) -> Result<Option<Box<RawValue>>, ReadError> {
        value.map(|value| self.keep(value)).transpose()
    }

    /// Keeps a piece that only `dialect` knows.
    pub(crate) fn opaque(&self, dialect: DialectId, piece: &RawValue) -> Result<Part, ReadError> {
        Ok(Body::Opaque { dialect, raw: self.keep(piece)? }.into())
    }

    /// Splits the object at the top into its members.
    pub(crate) fn members(&self) -> Result<Members<'a>, ReadError> {
        let All { list, .. } = self.whole::<All<'a, IgnoredAny, IgnoredAny>>()?;
        Ok(Members { source: *self, list })
    }

    /// Splits the object at the top into its members, two of them read in passing. `None` where
    /// that fails for whatever reason.
    pub(crate) fn quick<M, T>(&self, names: [&'static str; 2]) -> Option<Quick<'a, M, T>>
    where
        M: Deserialize<'a>,
        T: Deserialize<'a>,
    {
        let seed = Collect { names: Some(names), kinds: PhantomData };
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        let All { list, first, second } = seed.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(Quick { members: Members { source: *self, list }, first, second })
    }
}

/// Members of which two were read in passing.
#[derive(Debug)]
pub(crate) struct Quick<'a, M, T> {
    pub(crate) members: Members<'a>,
    pub(crate) first: Option<M>,
    pub(crate) second: Option<T>,
}

/// The members of the object at the top of a text.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    source: Source<'a>,
    list: Vec<Member<'a>>,
}

/// One member of an object.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The name as written, quotes included.
    pub(crate) key: &'a RawValue,
    pub(crate) value: &'a RawValue,
    taken: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.list.iter().find(|member| member.name == name)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Member<'a>> {
        self.list.iter()
    }

    /// Takes a member's value; `null` counts as not given.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let member = self.list.iter_mut().find(|member| member.name == name)?;
        member.taken = true;
        (member.value.get() != "null").then_some(member.value)
    }

    /// Takes and reads a member.
    pub(crate) fn read<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, ReadError> {
        let source = self.source;
        self.take(name).map(|value| source.read(value)).transpose()
    }

    /// Takes a member that must be there.
    pub(crate) fn need(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<&'a RawValue, ReadError> {
        let missing = || ReadError::field(name, format!("missing, expected {expected}"));
        self.take(name).ok_or_else(missing)
    }

    /// What nobody took, in order. A name that differs from a known one only in case is refused:
    /// some upstreams would read it as the known one.
    pub(crate) fn rest(self, known: &[&str]) -> Result<Vec<(String, Box<RawValue>)>, ReadError> {
        let mut rest = Vec::new();
        for member in self.list {
            if member.taken {
                continue;
            }
            let name = member.name.into_owned();
            let is_near = |known: &&&str| ***known != name && known.eq_ignore_ascii_case(&name);
            if let Some(meant) = known.iter().find(is_near) {
                let problem = format!("unknown field, did you mean `{meant}`?");
                return Err(ReadError::field(name, problem));
            }
            rest.push((name, self.source.keep(member.value)?));
        }
        Ok(rest)
    }
}

struct All<'a, M, T> {
    list: Vec<Member<'a>>,
    first: Option<M>,
    second: Option<T>,
}

impl<'de, M: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for All<'de, M, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Collect { names: None, kinds: PhantomData }.deserialize(deserializer)
    }
}

/// Collects the members of an object; those of two names are read in passing.
struct Collect<M, T> {
    names: Option<[&'static str; 2]>,
    kinds: PhantomData<(M, T)>,
}

impl<'de, M: Deserialize<'de>, T: Deserialize<'de>> DeserializeSeed<'de> for Collect<M, T> {
    type Value = All<'de, M, T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, M: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for Collect<M, T> {
    type Value = All<'de, M, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut first, mut second) = (Vec::<Member<'de>>::with_capacity(16), None, None);
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let Text(name) = serde_json::from_str(key.get()).map_err(de::Error::custom)?;
            if list.len() == MOST_MEMBERS {
                return Err(de::Error::custom("too many fields"));
            }
            if list.iter().any(|member| member.name == name) {
                return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
            }
            // What is read in passing is taken; its key stands for its value.
            let (mut value, mut taken) = (key, true);
            match self.names {
                Some([one, _]) if name == one => first = map.next_value()?,
                Some([_, two]) if name == two => second = map.next_value()?,
                _ => (value, taken) = (map.next_value()?, false),
            }
            list.push(Member { name, key, value, taken });
        }
        Ok(All { list, first, second })
    }
}

/// Whether a JSON value nests deeper than `most`.
pub(crate) fn depth_exceeds(text: &str, most: usize) -> bool {
    let opening = |byte: &&u8| matches!(byte, b'{' | b'[');
    if text.len() <= 2 * most || text.as_bytes().iter().filter(opening).count() <= most {
        return false;
    }
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The index after the closing quote of a string whose opening quote is before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The byte that serde's line and column name.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = match line {
        0 | 1 => 0,
        _ => memchr::memchr_iter(b'\n', text.as_bytes()).nth(line - 2).map_or(0, |at| at + 1),
    };
    (start + column).min(text.len())
}

/// What serde says, in one order and without the value it found: that may be private.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let Some(rest) =
        text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "))
    else {
        return text.to_owned();
    };
    let found = rest.split([' ', ',']).next().unwrap_or_default();
    match rest.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}, found {found}"),
        None => format!("found {found}"),
    }
}

enum Step {
    Member(Option<Range<usize>>),
    Item(usize),
}

/// The JSON path of the value at or just before a byte.
fn path(text: &str, until: usize) -> String {
    let (bytes, mut steps, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < until {
        let Some(&byte) = bytes.get(at) else { break };
        at += 1;
        match byte {
            b'{' => steps.push(Step::Member(None)),
            b'[' => steps.push(Step::Item(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Member(key)) => *key = None,
                Some(Step::Item(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let start = at;
                at = string_end(bytes, at);
                if let Some(Step::Member(key @ None)) = steps.last_mut() {
                    *key = Some(start..at.saturating_sub(1).max(start));
                }
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for step in steps.iter().take(MOST_DEPTH) {
        match step {
            Step::Item(index) => drop(write!(path, "[{index}]")),
            Step::Member(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.extend(text.get(key.clone()).unwrap_or_default().chars().take(64));
            }
            Step::Member(None) => {}
        }
    }
    path
}

/// A string, borrowed where it holds no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

/// A string or a number, as text; anything else is nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Word<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(n.to_string())))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(n.to_string())))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(n.to_string())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Word<'de>, E> {
                Ok(Word::default())
            }

            fn visit_unit<E>(self) -> Result<Word<'de>, E> {
                Ok(Word::default())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Word<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Word::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Word<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Word::default())
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A count as upstreams write it: fractions are cut off, a negative is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Count, E> {
                Ok(Count(n))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(n).unwrap_or(0)))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Count, E> {
                Ok(Count(whole_of(n)))
            }
        }

        deserializer.deserialize_u64(Any)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is meant"
)]
fn whole_of(n: f64) -> u64 {
    n as u64
}

/// A whole number as clients must write it; `16.0` passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = f64::deserialize(deserializer)?;
        // 2^53: up to there a double is exact.
        if n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&n) {
            Ok(Self(whole_of(n)))
        } else {
            Err(de::Error::custom("expected a whole number, not negative"))
        }
    }
}

/// A list or one lone item.
pub(crate) fn texts<'a>(source: Source<'a>, value: &'a RawValue) -> Result<Vec<String>, ReadError> {
    if value.get().starts_with('"') {
        return Ok(vec![source.read::<Text<'a>>(value)?.into_string()]);
    }
    Ok(source.read::<Vec<Text<'a>>>(value)?.into_iter().map(Text::into_string).collect())
}

/// Message content as it is written: one string, or a list of pieces.
#[derive(Debug)]
pub(crate) enum Content<'a, P> {
    Nothing,
    Text(Cow<'a, str>),
    Pieces(Vec<P>),
}

impl<P> Default for Content<'_, P> {
    fn default() -> Self {
        Self::Nothing
    }
}

impl<'de: 'a, 'a, P: Deserialize<'de>> Deserialize<'de> for Content<'a, P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<P>(PhantomData<P>);

        impl<'de, P: Deserialize<'de>> Visitor<'de> for Any<P> {
            type Value = Content<'de, P>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::Nothing)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = seq.next_element()? {
                    pieces.push(piece);
                }
                Ok(Content::Pieces(pieces))
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

impl<P> Content<'_, P> {
    /// As parts; `part` reads one piece.
    pub(crate) fn parts(
        self,
        part: impl FnMut(P) -> Result<Part, ReadError>,
    ) -> Result<Vec<Part>, ReadError> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Text(text) if text.is_empty() => Ok(Vec::new()),
            Self::Text(text) => Ok(vec![Part::text(text)]),
            Self::Pieces(pieces) => pieces.into_iter().map(part).collect(),
        }
    }
}

/// What is read straight from the text, or first kept as it is written. The first is quick and
/// does for almost every request; the second can keep pieces that are not known, and says where
/// something is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way<'a> {
    Quick,
    Careful(&'a RawValue),
}

impl<'a> Way<'a> {
    /// An error at the piece being read.
    pub(crate) fn wrong(
        self,
        source: Source<'a>,
        problem: impl Into<Cow<'static, str>>,
    ) -> ReadError {
        match self {
            Self::Quick => ReadError::field("", ""),
            Self::Careful(piece) => source.wrong(piece, problem),
        }
    }

    /// The piece as it is written. The quick way ends here.
    pub(crate) fn piece(self) -> Result<&'a RawValue, ReadError> {
        match self {
            Self::Quick => Err(ReadError::field("", "")),
            Self::Careful(piece) => Ok(piece),
        }
    }
}

/// A raw value that is known to be JSON.
pub(crate) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_default()
}

/// The media type and data of a `data:` URL in base64 (RFC 2397).
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next().unwrap_or_default(), data))
}

#[cfg(test)]
mod tests;
