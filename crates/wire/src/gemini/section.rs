//! The members of one object of a request, in either spelling.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ReadError;
use crate::json::{Members, Source, Word};

/// What has no place in the common form: path and value.
pub(super) type Extra = Vec<(String, Box<RawValue>)>;

/// An object whose members are taken one by one, by the names of protobuf's JSON.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// The whole request: errors tell their place in it.
    pub(super) source: Source<'a>,
    members: Members<'a>,
    /// Where the object stands; empty for the request itself.
    path: String,
}

impl<'a> Section<'a> {
    pub(super) fn whole(source: Source<'a>, members: Members<'a>) -> Self {
        Self { source, members, path: String::new() }
    }

    /// Opens an object within the request.
    pub(super) fn open(
        source: Source<'a>,
        value: &'a RawValue,
        path: impl Into<String>,
    ) -> Result<Self, ReadError> {
        if !value.get().starts_with('{') {
            return Err(source.wrong(value, "expected an object"));
        }
        let path = path.into();
        let members = Source::new(value.get().as_bytes())?.members();
        let members = members.map_err(|error| within(&path, error))?;
        Ok(Self { source, members, path })
    }

    /// Takes a member; `null` counts as not given.
    pub(super) fn take(&mut self, camel: &str) -> Result<Option<&'a RawValue>, ReadError> {
        let snake = snake(camel);
        if snake != camel
            && let (Some(_), Some(other)) = (self.members.find(camel), self.members.find(&snake))
        {
            return Err(self.source.wrong(other.key, format!("duplicate field `{camel}`")));
        }
        Ok(match self.members.take(camel) {
            Some(value) => Some(value),
            None if snake != camel => self.members.take(&snake),
            None => None,
        })
    }

    /// Takes and reads a member.
    pub(super) fn read<T: Deserialize<'a>>(&mut self, camel: &str) -> Result<Option<T>, ReadError> {
        let source = self.source;
        self.take(camel)?.map(|value| source.read(value)).transpose()
    }

    /// Takes a number; protobuf's JSON also takes it in a string.
    pub(super) fn number<T: FromStr>(&mut self, camel: &str) -> Result<Option<T>, ReadError> {
        let source = self.source;
        let Some(value) = self.take(camel)? else { return Ok(None) };
        let wrong = || source.wrong(value, "expected a number in range");
        if !value.get().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
            return Err(wrong());
        }
        source.read::<Word<'a>>(value)?.0.parse().map(Some).map_err(|_| wrong())
    }

    /// Keeps what nobody took, under its path.
    pub(super) fn rest(self, known: &[&str], extra: &mut Extra) -> Result<(), ReadError> {
        let Self { members, path, .. } = self;
        let rest = members.rest(known).map_err(|error| within(&path, error))?;
        for (name, value) in rest {
            if name.contains('.') {
                // Paths have a meaning in `extra`.
                return Err(ReadError::field(joined(&path, &name), "unknown field"));
            }
            extra.push((joined(&path, &camel(&name)), value));
        }
        Ok(())
    }

    /// The members, in order, with their names in camel case.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &'a RawValue)> {
        self.members.iter().map(|member| (camel(&member.name), member.value))
    }
}

/// The items of a list. Google also takes a lone item where a list is meant, and its own
/// examples give one.
pub(super) fn list<'a>(
    source: Source<'a>,
    value: &'a RawValue,
) -> Result<Vec<&'a RawValue>, ReadError> {
    if value.get().starts_with('{') { Ok(vec![value]) } else { source.read(value) }
}

/// An error within the object at `path`, told in the whole request.
fn within(path: &str, error: ReadError) -> ReadError {
    match error {
        ReadError::Field { path: inner, problem } => {
            ReadError::field(joined(path, &inner), problem)
        }
        other => other,
    }
}

fn joined(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

/// `camelCase` as `snake_case`.
pub(super) fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// `snake_case` as `camelCase`; what begins with `_` stays.
pub(super) fn camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') || name.starts_with('_') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one_name() {
        for (one, other) in [
            ("systemInstruction", "system_instruction"),
            ("topP", "top_p"),
            ("parametersJsonSchema", "parameters_json_schema"),
            ("contents", "contents"),
        ] {
            assert_eq!((snake(one), camel(other)), (other.to_owned(), Cow::Borrowed(one)));
        }
        assert_eq!(camel("_responseJsonSchema"), "_responseJsonSchema");
    }
}
