//! The small values of wire formats, borrowed from the text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use doorward_core::Part;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Source;
use crate::ReadError;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug, Default)]
pub(crate) enum Content<'a, P> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    Pieces(Vec<P>),
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
