//! An OpenAPI document as a tree, and the references within it.

use serde_json::Value;

use super::OpenApiError;

/// The largest document, in bytes.
const LARGEST: usize = 64 << 20;
/// How many references may lead one to the next.
const LONGEST_CHAIN: usize = 16;

/// A document of OpenAPI 3.0 or 3.1.
pub(super) struct Document {
    pub(super) root: Value,
    /// Whether schemas are of 3.0, with keywords of its own.
    pub(super) is_older: bool,
}

/// Why something in a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) pointer: String,
    pub(super) reason: String,
}

impl Refused {
    pub(super) fn new(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason: reason.into() }
    }
}

/// A place in a document: what stands there and its JSON Pointer.
#[derive(Debug, Clone)]
pub(super) struct At<'d> {
    pub(super) value: &'d Value,
    pub(super) pointer: String,
}

impl<'d> At<'d> {
    /// A member, where it is there.
    pub(super) fn member(&self, name: &str) -> Option<At<'d>> {
        let value = self.value.get(name)?;
        Some(At { value, pointer: step(&self.pointer, name) })
    }

    /// The members of an object, or nothing.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'d str, At<'d>)> + use<'_, 'd> {
        let members = self.value.as_object().into_iter().flatten();
        members
            .map(|(name, value)| (name.as_str(), At { value, pointer: step(&self.pointer, name) }))
    }

    /// The items of an array, or nothing.
    pub(super) fn items(&self) -> impl Iterator<Item = At<'d>> + use<'_, 'd> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(at, value)| At { value, pointer: format!("{}/{at}", self.pointer) })
    }

    /// A member's text, where it is one.
    pub(super) fn text(&self, name: &str) -> Option<&'d str> {
        self.value.get(name)?.as_str()
    }

    /// Whether a member is `true`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.value.get(name) == Some(&Value::Bool(true))
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> Refused {
        Refused::new(self.pointer.clone(), reason)
    }
}

/// One step further in a JSON Pointer (RFC 6901 §3).
pub(super) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Document {
    /// Reads JSON, or YAML where it is not.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, OpenApiError> {
        if bytes.len() > LARGEST {
            return Err(OpenApiError::Syntax("the document is larger than 64 MiB".into()));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| OpenApiError::Syntax("the document is not UTF-8".into()))?;
        let text = text.trim_start_matches('\u{feff}');
        let root: Value = if text.trim_start().starts_with('{') {
            match serde_json::from_str(text) {
                Ok(root) => root,
                // YAML may begin so too; what is told is what JSON says.
                Err(error) => yaml(text).map_err(|_| OpenApiError::Syntax(error.to_string()))?,
            }
        } else {
            yaml(text).map_err(OpenApiError::Syntax)?
        };
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_older = version == "3.0" || version.starts_with("3.0.");
        if !is_older && version != "3.1" && !version.starts_with("3.1.") {
            let found = match root.get("swagger").and_then(Value::as_str) {
                Some(swagger) => format!("swagger {swagger}"),
                None => version,
            };
            return Err(OpenApiError::Version(found.chars().take(40).collect()));
        }
        Ok(Self { root, is_older })
    }

    pub(super) fn at(&self, pointer: &str) -> Option<At<'_>> {
        let value = self.root.pointer(pointer)?;
        Some(At { value, pointer: pointer.to_owned() })
    }

    /// What stands behind a reference object, or the thing itself where it is none.
    pub(super) fn resolve<'d>(&'d self, place: At<'d>) -> Result<At<'d>, Refused> {
        let mut place = place;
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = place.text("$ref") else { return Ok(place) };
            place = self.target(reference, &place.pointer)?;
        }
        Err(place.refuse("references lead in a circle"))
    }

    /// What a reference leads to. Only references into the same document are followed: nothing
    /// is fetched and no file is read on a document's word.
    pub(super) fn target(&self, reference: &str, pointer: &str) -> Result<At<'_>, Refused> {
        let shown: String = reference.chars().take(200).collect();
        let Some(fragment) = reference.strip_prefix('#') else {
            let reason = format!("refers to {shown:?}, outside of the document");
            return Err(Refused::new(step(pointer, "$ref"), reason));
        };
        let target = super::escape::decoded(fragment).and_then(|pointer| self.at(&pointer));
        target.ok_or_else(|| {
            Refused::new(step(pointer, "$ref"), format!("refers to {shown:?}, which is not there"))
        })
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: 4_000_000,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}
