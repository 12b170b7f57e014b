//! What is wrong with a value, told without telling the value.

use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde::Serialize;
use serde_json::Value;

/// The longest list or name told, in characters.
const LONGEST: usize = 200;

/// One rule that a value breaks. It names members and quotes the schema, never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where: a JSON Pointer into the value, empty for the whole of it.
    pub pointer: String,
    /// The schema's keyword, or `size` where the value was too much to check.
    pub keyword: String,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

impl Violation {
    pub(super) fn of(error: &ValidationError<'_>) -> Self {
        Self {
            pointer: cut(error.instance_path().as_str()),
            keyword: error.kind().keyword().to_owned(),
            message: sentence(error),
        }
    }

    /// The one violation of a value that is beyond the bounds.
    pub(super) fn beyond(what: &str) -> Vec<Self> {
        vec![Self { pointer: String::new(), keyword: "size".into(), message: what.to_owned() }]
    }

    pub(super) fn unnamed() -> Self {
        let message = "does not fit the schema".to_owned();
        Self { pointer: String::new(), keyword: "schema".into(), message }
    }
}

/// What was expected, in words.
pub(super) fn sentence(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(kind) } => {
            format!("must be {}", with_article(kind.as_str()))
        }
        Kind::Type { kind: TypeKind::Multiple(kinds) } => {
            let kinds: Vec<_> = kinds.iter().map(|kind| with_article(kind.as_str())).collect();
            format!("must be {}", kinds.join(" or "))
        }
        Kind::Required { property } => format!("must have {}", cut(&property.to_string())),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<_> = unexpected.iter().map(|name| format!("{name:?}")).collect();
            format!("must not have {}", cut(&names.join(", ")))
        }
        Kind::Enum { options } => format!("must be one of {}", listed(options)),
        Kind::Constant { expected_value } => {
            format!("must be {}", cut(&expected_value.to_string()))
        }
        Kind::Minimum { limit } => format!("must be {limit} or more"),
        Kind::Maximum { limit } => format!("must be {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have {limit} characters or more"),
        Kind::MaxLength { limit } => format!("must have {limit} characters or fewer"),
        Kind::MinItems { limit } => format!("must have {limit} items or more"),
        Kind::MaxItems { limit } => format!("must have {limit} items or fewer"),
        Kind::MinProperties { limit } => format!("must have {limit} members or more"),
        Kind::MaxProperties { limit } => format!("must have {limit} members or fewer"),
        Kind::AdditionalItems { limit } => format!("must have {limit} items or fewer"),
        Kind::UnevaluatedItems { .. } => "has items that no rule allows".into(),
        Kind::UniqueItems => "must not have the same item twice".into(),
        Kind::Pattern { pattern } => format!("must match {}", cut(pattern)),
        Kind::Format { format } => format!("must be in the format {}", cut(format)),
        Kind::Contains => "must have an item of the kind asked for".into(),
        Kind::PropertyNames { error } => format!("has a member whose name {}", sentence(error)),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => none_of(context, error),
        Kind::OneOfMultipleValid { .. } => "fits more than one of the alternatives".into(),
        Kind::FalseSchema => "is not allowed".into(),
        Kind::Not { .. } => "is what the schema excludes".into(),
        Kind::ContentEncoding { content_encoding } => {
            format!("must be encoded in {}", cut(content_encoding))
        }
        Kind::ContentMediaType { content_media_type } => {
            format!("must be {}", cut(content_media_type))
        }
        _ => "does not fit the schema".into(),
    }
}

/// None of several alternatives fits: the one that is nearest says what it lacks.
fn none_of(context: &[Vec<ValidationError<'static>>], whole: &ValidationError<'_>) -> String {
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
    // The nearest went deepest into the value before it failed, and failed seldom.
    let nearest = context.iter().filter(|errors| !errors.is_empty()).max_by_key(|errors| {
        let deepest = errors.iter().map(depth).max().unwrap_or_default();
        (deepest, std::cmp::Reverse(errors.len()))
    });
    let Some(first) = nearest.and_then(|errors| errors.first()) else {
        return "fits none of the alternatives".into();
    };
    if matches!(first.kind(), Kind::AnyOf { .. } | Kind::OneOfNotValid { .. }) {
        return "fits none of the alternatives".into();
    }
    let (inner, outer) = (first.instance_path().as_str(), whole.instance_path().as_str());
    let place = match inner.strip_prefix(outer).unwrap_or(inner) {
        "" => String::new(),
        place => format!("{} ", cut(place)),
    };
    format!("fits none of the alternatives; of the nearest, {place}{}", sentence(first))
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".into(),
        "array" | "integer" | "object" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// The values of an enumeration.
fn listed(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    cut(&options.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
