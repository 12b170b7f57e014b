//! Reading JSON text without copying it, and saying where it is wrong.
//!
//! Errors cost nothing until they happen: values are read with plain serde, and only when that
//! fails is the text walked once more to find the path of the failing byte.

mod members;
mod place;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use doorward_core::{Body, DialectId, Part};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ReadError;
use place::{depth_exceeds, offset, path, problem};

pub(crate) use members::{Member, Members, Quick};
pub(crate) use words::{Content, Count, Text, Whole, Word, data_url, raw, texts};

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

    /// Where the object at the top begins.
    pub(crate) fn start_of_object(&self) -> usize {
        self.text.find('{').unwrap_or(0)
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

#[cfg(test)]
mod tests;
