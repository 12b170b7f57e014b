//! Arguments and results checked against a tool's JSON Schema.
//!
//! Schemas come from servers that are not trusted and values from models that are not careful,
//! so both are bounded: a schema in size, depth and in what it refers to, a check in steps. A
//! check that would take too long is refused, never hung in.
//!
//! ```
//! use doorward_mcp_broker::schema::Checked;
//! use serde_json::{json, value::to_raw_value};
//! let schema = json!({"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}});
//! let checked = Checked::compile(&to_raw_value(&schema)?)?;
//! assert!(checked.check(&json!({"id": 7})).is_ok());
//!
//! let wrong = checked.check(&json!({"id": "my password"})).unwrap_err();
//! assert_eq!(wrong[0].to_string(), "/id: must be an integer");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod prepare;
mod violation;

use std::cell::Cell;
use std::fmt;

use jsonschema::paths::Location;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use cache::SchemaCache;
pub use violation::Violation;

/// The largest schema, in bytes.
const LARGEST: usize = 256 << 10;
/// How deep a schema or a value may nest.
const DEEPEST: usize = 64;
/// The most values (numbers, texts, members, items) in what is checked.
const MOST_VALUES: usize = 200_000;
/// The most that schema and value may come to together: parts of the one times parts of the other.
const MOST_WORK: usize = 1 << 28;
/// The most references followed in one check.
const MOST_STEPS: u32 = 200_000;
/// The same while it is found out what is wrong: every alternative that failed is gone through.
const MOST_STEPS_TOLD: u32 = 20_000;
/// How deep references and values may come to together: it bounds the stack.
const MOST_FRAMES: usize = 512;
/// The most violations told.
const MOST_VIOLATIONS: usize = 16;
/// What one pattern may take when compiled, in bytes.
const LARGEST_PATTERN: usize = 256 << 10;

/// Why a schema cannot be checked against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON object or boolean.
    #[error("the schema is no JSON object")]
    NoSchema,
    /// It is larger or deeper than is taken.
    #[error("the schema is too large or nests too deep")]
    TooLarge,
    /// It refers to something outside of itself. Nothing is ever fetched.
    #[error("the schema refers to something outside of itself at {0}")]
    Outside(String),
    /// It refers to something that is not there or no schema.
    #[error("the schema refers to nothing at {0}")]
    Nowhere(String),
    /// A reference leads back to itself without looking into the value.
    #[error("the schema refers to itself without end at {0}")]
    Endless(String),
    /// A pattern over names needs more than a linear-time engine has.
    #[error("the schema has a pattern that cannot be matched in linear time at {0}")]
    Pattern(String),
    /// It breaks a rule of JSON Schema.
    #[error("the schema is not valid at {pointer}: {reason}")]
    Invalid {
        /// Where: a JSON Pointer into the schema.
        pointer: String,
        /// What is wrong.
        reason: String,
    },
}

/// A compiled schema.
///
/// Without `$schema` it is read as JSON Schema 2020-12; drafts 2019-09, 7, 6 and 4 are honoured
/// where it says so. `format` is a note, not a rule. Patterns run on a linear-time engine; one
/// with look-around or back-references is left out and told by [`unchecked`](Self::unchecked).
pub struct Checked {
    validator: Validator,
    parts: usize,
    chain: usize,
    unchecked: Vec<String>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("parts", &self.parts)
            .field("unchecked", &self.unchecked)
            .finish_non_exhaustive()
    }
}

impl Checked {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// Where it is too large, refers outside of itself or in circles, or breaks the rules of JSON
    /// Schema.
    pub fn compile(schema: &RawValue) -> Result<Self, SchemaError> {
        if schema.get().len() > LARGEST {
            return Err(SchemaError::TooLarge);
        }
        let schema: Value =
            serde_json::from_str(schema.get()).map_err(|_| SchemaError::TooLarge)?;
        let prepared = prepare::prepare(schema)?;
        let validator = options(prepared.draft).build(&prepared.schema).map_err(|error| {
            SchemaError::Invalid {
                pointer: error.instance_path().as_str().to_owned(),
                reason: violation::sentence(&error),
            }
        })?;
        let (parts, chain, unchecked) = (prepared.parts, prepared.chain, prepared.unchecked);
        Ok(Self { validator, parts, chain, unchecked })
    }

    /// JSON Pointers to patterns that are not checked.
    pub fn unchecked(&self) -> &[String] {
        &self.unchecked
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// What is wrong with it, at most 16 violations, none of which quotes the value; or that it
    /// is too large, too deep or too much work to check.
    pub fn check(&self, value: &Value) -> Result<(), Vec<Violation>> {
        let size = Size::of(value).ok_or_else(|| Violation::beyond("is too large to check"))?;
        if size.depth.saturating_mul(self.chain) > MOST_FRAMES
            || size.values.saturating_mul(self.parts) > MOST_WORK
        {
            return Err(Violation::beyond("is too large or deep to check against this schema"));
        }
        let steps = Steps::begin(MOST_STEPS);
        let fits = self.validator.is_valid(value);
        if !steps.are_left() {
            // Whatever it said: an exhausted check refuses, and a `not` around that accepts.
            return Err(Violation::beyond("takes too long to check against this schema"));
        }
        if fits {
            return Ok(());
        }
        let steps = Steps::begin(MOST_STEPS_TOLD);
        // Where the steps run out, it says so at an `else` of ours: that is no violation.
        let errors = self
            .validator
            .iter_errors(value)
            .filter(|error| steps.are_left() || !error.schema_path().as_str().ends_with("/else"));
        let mut violations: Vec<_> =
            errors.take(MOST_VIOLATIONS).map(|error| Violation::of(&error)).collect();
        if violations.is_empty() {
            violations.push(Violation::unnamed());
        }
        Err(violations)
    }
}

/// How all schemas are read.
fn options(draft: Draft) -> jsonschema::ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(draft)
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(
            PatternOptions::regex().size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN),
        )
        .with_keyword(prepare::STEP, step)
}

/// The size of a value.
struct Size {
    values: usize,
    depth: usize,
}

impl Size {
    /// `None` where it is beyond what is checked at all.
    fn of(value: &Value) -> Option<Self> {
        let mut size = Self { values: 0, depth: 0 };
        size.add(value, 1).then_some(size)
    }

    fn add(&mut self, value: &Value, depth: usize) -> bool {
        self.values += 1;
        self.depth = self.depth.max(depth);
        if self.values > MOST_VALUES || depth > DEEPEST {
            return false;
        }
        match value {
            Value::Array(items) => items.iter().all(|item| self.add(item, depth + 1)),
            Value::Object(members) => members.values().all(|member| self.add(member, depth + 1)),
            _ => true,
        }
    }
}

thread_local! {
    /// How many references the check that runs on this thread may still follow. A check never
    /// leaves its thread, and the validator has no place to carry a count of its own.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// The steps of one check.
struct Steps;

impl Steps {
    fn begin(most: u32) -> Self {
        STEPS.set(most);
        Self
    }

    #[expect(clippy::unused_self, reason = "only who began a check may ask")]
    fn are_left(&self) -> bool {
        STEPS.get() > 0
    }

    /// Takes one; `false` where none is left.
    fn take() -> bool {
        let left = STEPS.get().saturating_sub(1);
        STEPS.set(left);
        left > 0
    }
}

/// The keyword that stands before every reference: it holds while there are steps left.
struct Step;

#[expect(clippy::unnecessary_wraps, reason = "as the library calls it")]
fn step<'a>(
    _: &'a Map<String, Value>,
    _: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    Ok(Box::new(Step))
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(value) { Ok(()) } else { Err(ValidationError::custom("no steps left")) }
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        Steps::take()
    }
}

#[cfg(test)]
mod tests;
