//! A tool's arguments, from JSON to Cedar's values, as a declaration says what they are.
//!
//! What is declared must fit: a number that comes as a text is refused, as a rule on the number
//! would not see it and the server might. What is not declared is left out, and
//! `arguments_complete` says so.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use cedar_policy::RestrictedExpression as Expression;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// The most values that are looked at in one call.
const VALUES_MOST: usize = 4096;
/// The longest text, in bytes.
const TEXT_MOST: usize = 64 << 10;
/// The deepest declaration.
const DEPTH_MOST: usize = 16;
/// Cedar's decimals are 64-bit integers of ten-thousandths.
const DECIMAL_MOST: f64 = 922_337_203_685_477.0;
/// Up to here every whole number is a float.
const WHOLE_MOST: f64 = 9_007_199_254_740_992.0;

/// What an argument is declared to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Text,
    Long,
    Bool,
    Decimal,
    Datetime,
    Duration,
    Address,
    Set(Box<Shape>),
    Record(BTreeMap<String, Member>),
}

/// A member of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    shape: Shape,
    required: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self::Record(BTreeMap::new())
    }
}

impl Shape {
    /// Reads a type of Cedar's JSON schema format
    /// (<https://docs.cedarpolicy.com/schema/json-schema.html>).
    pub(super) fn read(json: &Value, types: &Value) -> Result<Self, String> {
        Self::read_within(json, types, DEPTH_MOST)
    }

    fn read_within(json: &Value, types: &Value, depth: usize) -> Result<Self, String> {
        let depth = depth.checked_sub(1).ok_or("the type is nested too deeply")?;
        let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "Record" => {
                let members = json.get("attributes").and_then(Value::as_object);
                let members = members.into_iter().flatten().map(|(name, member)| {
                    let required = member.get("required").and_then(Value::as_bool);
                    let shape = Self::read_within(member, types, depth)?;
                    let member = Member { shape, required: required.unwrap_or(true) };
                    Ok((name.clone(), member))
                });
                Ok(Self::Record(members.collect::<Result<_, String>>()?))
            }
            "Set" => {
                let element = json.get("element").ok_or("a set of nothing")?;
                Ok(Self::Set(Box::new(Self::read_within(element, types, depth)?)))
            }
            "EntityOrCommon" | "Extension" | "Entity" => match types.get(text("name")) {
                Some(common) => Self::read_within(common, types, depth),
                None => Self::plain(text("name")),
            },
            name => match types.get(name) {
                Some(common) => Self::read_within(common, types, depth),
                None => Self::plain(name),
            },
        }
    }

    fn plain(name: &str) -> Result<Self, String> {
        Ok(match name.strip_prefix("__cedar::").unwrap_or(name) {
            "String" => Self::Text,
            "Long" => Self::Long,
            "Bool" | "Boolean" => Self::Bool,
            "decimal" => Self::Decimal,
            "datetime" => Self::Datetime,
            "duration" => Self::Duration,
            "ipaddr" => Self::Address,
            other => return Err(format!("`{other}` is not a type that JSON has values of")),
        })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Long => "a whole number",
            Self::Bool => "true or false",
            Self::Decimal => "a number with up to four decimals",
            Self::Datetime => "a point in time (RFC 3339)",
            Self::Duration => "a duration such as 1h30m",
            Self::Address => "an IP address or range",
            Self::Set(_) => "a list",
            Self::Record(_) => "an object",
        }
    }
}

/// Arguments as policies see them.
pub(super) struct Arguments {
    /// The declared ones.
    pub(super) record: Expression,
    /// Whether that is all there was.
    pub(super) complete: bool,
}

/// Reads arguments as they are declared.
///
/// # Errors
///
/// Where something declared is missing, of another type, too large, or named twice. The text
/// names the argument and none of its value.
pub(super) fn read(shape: &Shape, arguments: &RawValue) -> Result<Arguments, String> {
    let state = State { complete: Cell::new(true), left: Cell::new(VALUES_MOST) };
    let mut deserializer = serde_json::Deserializer::from_str(arguments.get());
    let seed = Seed { shape, state: &state, name: "" };
    let record = seed.deserialize(&mut deserializer).map_err(|error| plain(&error))?;
    deserializer.end().map_err(|error| plain(&error))?;
    let record = match record {
        Some(record) => record,
        None => Expression::new_record([]).map_err(|error| error.to_string())?,
    };
    Ok(Arguments { record, complete: state.complete.get() })
}

/// Without serde's place in the text, which nobody sees.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

struct State {
    complete: Cell<bool>,
    left: Cell<usize>,
}

/// Reads one value; `None` where it is `null`.
#[derive(Clone, Copy)]
struct Seed<'a> {
    shape: &'a Shape,
    state: &'a State,
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Option<Expression>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let left = self.state.left.get().checked_sub(1);
        self.state.left.set(left.ok_or_else(|| D::Error::custom("there are too many values"))?);
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn misfit<T, E: Error>(self) -> Result<T, E> {
        Err(E::custom(format_args!(
            "argument `{}` is declared as {} and is not that",
            self.name,
            self.shape.word()
        )))
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Expression>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape.word())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.shape {
            Shape::Bool => Ok(Some(Expression::new_bool(value))),
            _ => self.misfit(),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.shape {
            Shape::Long => Ok(Some(Expression::new_long(value))),
            Shape::Decimal => decimal(&format!("{value}.0")).map_or_else(|| self.misfit(), known),
            _ => self.misfit(),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.misfit(),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        match self.shape {
            Shape::Long if value.fract() == 0.0 && value.abs() <= WHOLE_MOST => {
                #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
                let whole = value as i64;
                Ok(Some(Expression::new_long(whole)))
            }
            Shape::Decimal if value.abs() <= DECIMAL_MOST => {
                let text = format!("{value:.4}");
                // Nothing is rounded away unseen.
                let same = text.parse::<f64>().is_ok_and(|back| back.to_bits() == value.to_bits());
                let shown = decimal(&text).filter(|_| same || value == 0.0);
                shown.map_or_else(|| self.misfit(), known)
            }
            _ => self.misfit(),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        if value.len() > TEXT_MOST {
            return Err(E::custom(format_args!("argument `{}` is too long", self.name)));
        }
        let read = match self.shape {
            Shape::Text => Some(Expression::new_string(value.to_owned())),
            Shape::Decimal => decimal(value),
            Shape::Datetime => evaluated(Expression::new_datetime(value)),
            Shape::Duration => evaluated(Expression::new_duration(value)),
            Shape::Address => address(value),
            _ => None,
        };
        read.map_or_else(|| self.misfit(), known)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Shape::Set(element) = self.shape else { return self.misfit() };
        let mut set = Vec::new();
        let seed = Seed { shape: element, ..self };
        while let Some(item) = items.next_element_seed(seed)? {
            // A set of texts cannot say that one of them is nothing.
            let Some(item) = item else { return self.misfit() };
            set.push(item);
        }
        Ok(Some(Expression::new_set(set)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Shape::Record(members) = self.shape else { return self.misfit() };
        let mut record = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if let Some(member) = members.get(&name) {
                let shaped = Seed { shape: &member.shape, name: &name, ..self };
                if let Some(value) = map.next_value_seed(shaped)? {
                    record.push((name.clone(), value));
                }
            } else {
                self.state.complete.set(false);
                map.next_value::<IgnoredAny>()?;
            }
            // Readers of JSON differ in which of two they take.
            if !seen.insert(name) {
                return Err(A::Error::custom("an argument is named twice"));
            }
            if seen.len() > VALUES_MOST {
                return Err(A::Error::custom("there are too many values"));
            }
        }
        for (name, member) in members {
            if member.required && !record.iter().any(|(given, _)| given == name) {
                let text = format!("argument `{name}` is declared as needed and is missing");
                return Err(A::Error::custom(text));
            }
        }
        match Expression::new_record(record) {
            Ok(record) => Ok(Some(record)),
            Err(_) => Err(A::Error::invalid_value(Unexpected::Map, &self)),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "in the form that visitors return")]
fn known<E>(value: Expression) -> Result<Option<Expression>, E> {
    Ok(Some(value))
}

fn decimal(text: &str) -> Option<Expression> {
    let text = if text.contains('.') { text.to_owned() } else { format!("{text}.0") };
    evaluated(Expression::new_decimal(text))
}

fn address(text: &str) -> Option<Expression> {
    // Cedar reads what the standard library reads, and a prefix length after it.
    text.split('/').next()?.parse::<IpAddr>().ok()?;
    evaluated(Expression::new_ip(text))
}

/// The value, if its text is one: Cedar looks at it only when it is evaluated.
fn evaluated(value: Expression) -> Option<Expression> {
    let pair = [("it".to_owned(), value.clone())];
    cedar_policy::Context::from_pairs(pair).is_ok().then_some(value)
}
