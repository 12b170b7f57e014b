//! Where in a token a statement stands.

use std::sync::Arc;

use serde_json::{Map, Value};

/// A claim, by the names that lead to it.
///
/// ```
/// use doorward_identity::jwt::Claim;
/// let nested = Claim::from("realm_access.roles");
/// assert_eq!(nested, Claim::path(["realm_access", "roles"]));
/// // A URL is one name.
/// assert_eq!(Claim::from("https://x.example/groups"), Claim::path(["https://x.example/groups"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(Arc<[Box<str>]>);

impl Claim {
    /// The claim at the end of these names, each a member of the one before.
    pub fn path<S: Into<Box<str>>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    pub(crate) fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let mut value = claims.get(&**first)?;
        for name in rest {
            value = value.get(&**name)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// A single text.
    pub(crate) fn text<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a str> {
        self.of(claims)?.as_str().filter(|text| !text.is_empty())
    }

    /// A list of texts, or one. `None` where it is not there or something else.
    pub(crate) fn list(&self, claims: &Map<String, Value>) -> Option<Vec<Arc<str>>> {
        match self.of(claims)? {
            Value::String(text) => Some(vec![text.as_str().into()]),
            Value::Array(values) => values.iter().map(|v| v.as_str().map(Into::into)).collect(),
            _ => None,
        }
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        matches!(&*self.0, [only] if &**only == name)
    }
}

impl From<&str> for Claim {
    /// Names with dots between them; a URL is a single name.
    fn from(text: &str) -> Self {
        if text.contains("://") { Self::path([text]) } else { Self::path(text.split('.')) }
    }
}

/// A claim that a token must have.
#[derive(Debug, Clone)]
pub struct Requirement {
    pub(crate) claim: Claim,
    pub(crate) any_of: Vec<String>,
}

impl Requirement {
    /// The claim must be there.
    pub fn present(claim: impl Into<Claim>) -> Self {
        Self { claim: claim.into(), any_of: Vec::new() }
    }

    /// The claim must be, or have in its list, one of these. A text with spaces, as `scope` is,
    /// counts as a list too.
    pub fn any_of<S: Into<String>>(
        claim: impl Into<Claim>,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { claim: claim.into(), any_of: values.into_iter().map(Into::into).collect() }
    }

    pub(crate) fn is_met(&self, claims: &Map<String, Value>) -> bool {
        let Some(value) = self.claim.of(claims) else { return false };
        let wanted = |text: &str| self.any_of.iter().any(|wanted| wanted == text);
        self.any_of.is_empty()
            || match value {
                Value::String(text) => wanted(text) || text.split(' ').any(wanted),
                Value::Array(values) => values.iter().filter_map(Value::as_str).any(wanted),
                Value::Bool(value) => wanted(if *value { "true" } else { "false" }),
                Value::Number(value) => wanted(&value.to_string()),
                _ => false,
            }
    }
}

/// A point in time in whole seconds (RFC 7519 §2), rounded down.
pub(crate) fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, ()> {
    /// The year 9999, about; nothing beyond is meant.
    const FAR: i64 = 253_402_300_800;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole,
        #[expect(clippy::cast_possible_truncation, reason = "within the range just checked")]
        (None, Some(real)) if real.is_finite() && real.abs() < 1e15 => real.floor() as i64,
        _ => return Err(()),
    };
    if whole < 0 { Err(()) } else { Ok(Some(whole.min(FAR))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_requirement_is_met_by_a_value_or_one_of_a_list() {
        let claims = claims(json!({
            "scope": "openid doorward.use", "roles": ["a", "b"], "x": {"deep": true}, "n": 2,
        }));
        for (requirement, met) in [
            (Requirement::present("scope"), true),
            (Requirement::present("scopes"), false),
            (Requirement::any_of("scope", ["doorward.use"]), true),
            (Requirement::any_of("scope", ["doorward"]), false),
            (Requirement::any_of("roles", ["c", "b"]), true),
            (Requirement::any_of("roles", ["c"]), false),
            (Requirement::any_of("x.deep", ["true"]), true),
            (Requirement::any_of("x.deep", ["false"]), false),
            (Requirement::any_of("n", ["2"]), true),
            (Requirement::any_of("x", ["deep"]), false),
        ] {
            assert_eq!(requirement.is_met(&claims), met, "{requirement:?}");
        }
    }

    #[test]
    fn times_are_numbers_within_reason() {
        let read = |value: Value| seconds(&claims(json!({"exp": value})), "exp");
        assert_eq!(read(json!(1_700_000_000)), Ok(Some(1_700_000_000)));
        assert_eq!(read(json!(1_700_000_000.9)), Ok(Some(1_700_000_000)));
        assert_eq!(read(json!(9_000_000_000_000_000_i64)), Ok(Some(253_402_300_800)));
        assert_eq!(seconds(&Map::new(), "exp"), Ok(None));
        for wrong in [json!("1"), json!(-1), json!(null), json!(1e300), json!([1])] {
            assert_eq!(read(wrong.clone()), Err(()), "{wrong}");
        }
    }
}
