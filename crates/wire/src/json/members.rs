//! The members of the object at the top of a text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Source, Text};
use crate::ReadError;

/// The most fields at the top of a request.
const MOST_MEMBERS: usize = 256;

impl<'a> Source<'a> {
    /// Splits the object at the top into its members.
    pub(crate) fn members(&self) -> Result<Members<'a>, ReadError> {
        let All { list, .. } = self.whole::<All<'a, IgnoredAny, IgnoredAny>>()?;
        Ok(Members { source: *self, list })
    }

    /// Splits an object within the text into its members.
    pub(crate) fn members_of(&self, value: &'a RawValue) -> Result<Members<'a>, ReadError> {
        let All { list, .. } = self.read::<All<'a, IgnoredAny, IgnoredAny>>(value)?;
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
