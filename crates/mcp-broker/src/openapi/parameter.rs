//! Parameters, written as OpenAPI says ("Style Values", "Style Examples").

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::escape;

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Place {
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "path" => Self::Path,
            "query" => Self::Query,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// How values are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    Space,
    Pipe,
    Deep,
    /// As one JSON text (`content` instead of `schema`).
    Json,
}

impl Style {
    /// A style by its name, where it may be used in this place.
    pub(super) fn of(text: Option<&str>, place: Place) -> Option<Self> {
        let Some(text) = text else {
            return Some(match place {
                Place::Path | Place::Header => Self::Simple,
                Place::Query | Place::Cookie => Self::Form,
            });
        };
        Some(match (text, place) {
            ("simple", Place::Path | Place::Header) => Self::Simple,
            ("label", Place::Path) => Self::Label,
            ("matrix", Place::Path) => Self::Matrix,
            ("form", Place::Query | Place::Cookie) => Self::Form,
            ("spaceDelimited", Place::Query) => Self::Space,
            ("pipeDelimited", Place::Query) => Self::Pipe,
            ("deepObject", Place::Query) => Self::Deep,
            _ => return None,
        })
    }
}

/// How one value is written under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) reserved: bool,
}

/// One parameter of an operation.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// The argument that fills it.
    pub(super) argument: String,
    /// Its own name.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) shape: Shape,
    /// What is sent where a required one is not given.
    pub(super) default: Option<Value>,
    /// The JSON type that its schema names.
    pub(super) kind: Option<String>,
}

/// A value that its place cannot hold.
pub(super) type Unfit = &'static str;

/// A single value's text. `null` has none.
fn scalar(value: &Value) -> Result<String, Unfit> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err("cannot hold a list or object in this place"),
    }
}

impl Shape {
    fn escape(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        if self.reserved {
            escape::reserved(text, &mut out);
        } else {
            escape::strict(text, &mut out);
        }
        out
    }

    fn one(&self, value: &Value) -> Result<String, Unfit> {
        Ok(self.escape(&scalar(value)?))
    }

    /// The items of a list or object as texts; each member as name and value.
    fn list(&self, items: &[Value]) -> Result<Vec<String>, Unfit> {
        items.iter().map(|item| self.one(item)).collect()
    }

    fn members(
        &self,
        members: &serde_json::Map<String, Value>,
    ) -> Result<Vec<(String, String)>, Unfit> {
        members.iter().map(|(name, value)| Ok((self.escape(name), self.one(value)?))).collect()
    }

    /// The text that takes the place of `{name}` in a path.
    pub(super) fn path(&self, name: &str, value: &Value) -> Result<String, Unfit> {
        guard(value)?;
        let name = self.escape(name);
        let joined = |pairs: Vec<(String, String)>, between: &str, equals: &str| {
            pairs
                .into_iter()
                .map(|(n, v)| [n, equals.into(), v].concat())
                .collect::<Vec<_>>()
                .join(between)
        };
        let written = match (self.style, value) {
            (Style::Json, value) => self.escape(&value.to_string()),
            (Style::Simple, Value::Array(items)) => self.list(items)?.join(","),
            (Style::Simple, Value::Object(members)) => {
                joined(self.members(members)?, ",", if self.explode { "=" } else { "," })
            }
            (Style::Label, Value::Array(items)) => {
                [".", &self.list(items)?.join(if self.explode { "." } else { "," })].concat()
            }
            (Style::Label, Value::Object(members)) if self.explode => {
                [".", &joined(self.members(members)?, ".", "=")].concat()
            }
            (Style::Label, Value::Object(members)) => {
                [".", &joined(self.members(members)?, ",", ",")].concat()
            }
            (Style::Label, value) => [".", &self.one(value)?].concat(),
            (Style::Matrix, Value::Array(items)) if self.explode => {
                let items = self.list(items)?;
                items.iter().flat_map(|item| [";", &name, "=", item]).collect()
            }
            (Style::Matrix, Value::Array(items)) => {
                format!(";{name}={}", self.list(items)?.join(","))
            }
            (Style::Matrix, Value::Object(members)) if self.explode => {
                [";", &joined(self.members(members)?, ";", "=")].concat()
            }
            (Style::Matrix, Value::Object(members)) => {
                format!(";{name}={}", joined(self.members(members)?, ",", ","))
            }
            (Style::Matrix, value) => format!(";{name}={}", self.one(value)?),
            (_, value) => self.one(value)?,
        };
        if written.is_empty() {
            Err("must not be empty: it is a part of the path")
        } else {
            Ok(written)
        }
    }

    /// The names and values, escaped, that it adds to a query, a form or the cookies.
    pub(super) fn pairs(&self, name: &str, value: &Value) -> Result<Vec<(String, String)>, Unfit> {
        let plain = self.escape_name(name);
        Ok(match (self.style, value) {
            (_, Value::Null) => Vec::new(),
            (Style::Json, value) => vec![(plain, self.escape(&value.to_string()))],
            (Style::Deep, value @ (Value::Object(_) | Value::Array(_))) => {
                let mut pairs = Vec::new();
                self.deep(plain, value, &mut pairs)?;
                pairs
            }
            (_, Value::Array(items)) if items.is_empty() => Vec::new(),
            (Style::Form, Value::Array(items)) if self.explode => {
                self.list(items)?.into_iter().map(|item| (plain.clone(), item)).collect()
            }
            (Style::Form, Value::Object(members)) if self.explode => {
                let members = members.iter().filter(|(_, value)| !value.is_null());
                members
                    .map(|(name, value)| Ok((self.escape_name(name), self.one(value)?)))
                    .collect::<Result<_, Unfit>>()?
            }
            (style, Value::Array(items)) => vec![(plain, self.list(items)?.join(between(style)))],
            (style, Value::Object(members)) => {
                let parts: Vec<String> = self
                    .members(members)?
                    .into_iter()
                    .flat_map(|(name, value)| [name, value])
                    .collect();
                vec![(plain, parts.join(between(style)))]
            }
            (_, value) => vec![(plain, self.one(value)?)],
        })
    }

    /// Names never keep reserved characters.
    #[expect(clippy::unused_self, reason = "reads as its counterpart for values")]
    fn escape_name(&self, name: &str) -> String {
        let mut out = String::new();
        escape::strict(name, &mut out);
        out
    }

    /// `name[member]=value`, to any depth; lists by their places, as servers that read this do.
    fn deep(
        &self,
        name: String,
        value: &Value,
        pairs: &mut Vec<(String, String)>,
    ) -> Result<(), Unfit> {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.deep(format!("{name}%5B{at}%5D"), item, pairs)?;
                }
            }
            Value::Object(members) => {
                for (member, value) in members {
                    self.deep(format!("{name}%5B{}%5D", self.escape_name(member)), value, pairs)?;
                }
            }
            value => pairs.push((name, self.one(value)?)),
        }
        Ok(())
    }

    /// Adds a header. Values are not escaped there, so what a header cannot hold is refused.
    pub(super) fn header(
        &self,
        name: &HeaderName,
        value: &Value,
        headers: &mut HeaderMap,
    ) -> Result<(), Unfit> {
        let text = match (self.style, value) {
            (_, Value::Null) => return Ok(()),
            (Style::Json, value) => value.to_string(),
            (_, Value::Array(items)) => {
                items.iter().map(scalar).collect::<Result<Vec<_>, _>>()?.join(",")
            }
            (_, Value::Object(members)) => {
                let equals = if self.explode { "=" } else { "," };
                let parts: Result<Vec<String>, Unfit> = members
                    .iter()
                    .map(|(name, value)| Ok([name, equals, &scalar(value)?].concat()))
                    .collect();
                parts?.join(",")
            }
            (_, value) => scalar(value)?,
        };
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("holds characters that a header cannot hold");
        }
        let value = HeaderValue::from_str(&text)
            .map_err(|_| "holds characters that a header cannot hold")?;
        headers.append(name, value);
        Ok(())
    }
}

fn between(style: Style) -> &'static str {
    match style {
        Style::Space => "%20",
        Style::Pipe => "%7C",
        _ => ",",
    }
}

/// A value in a path must not lead out of its place, however often it is decoded on the way:
/// `/` is escaped, and what would climb is refused.
fn guard(value: &Value) -> Result<(), Unfit> {
    match value {
        Value::String(text) => guard_text(text),
        Value::Array(items) => items.iter().try_for_each(guard),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| guard_text(name).and_then(|()| guard(value))),
        Value::Null => Err("must not be null: it is a part of the path"),
        _ => Ok(()),
    }
}

fn guard_text(text: &str) -> Result<(), Unfit> {
    let mut text = text.to_owned();
    // Servers and proxies decode once or twice.
    for _ in 0..3 {
        if text.chars().any(char::is_control) {
            return Err("must not hold control characters: it is a part of the path");
        }
        if text.split(['/', '\\']).any(|piece| matches!(piece.split(';').next(), Some("." | "..")))
        {
            return Err("must not hold `.` or `..` as a step: it is a part of the path");
        }
        match escape::decoded(&text) {
            Some(decoded) if decoded != text => text = decoded,
            _ => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(style: Style, explode: bool) -> Shape {
        Shape { style, explode, reserved: false }
    }

    fn query(shape: &Shape, value: &Value) -> String {
        let pairs = shape.pairs("color", value).unwrap();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// OpenAPI 3.1.1, "Style Examples". Members are in alphabetical order.
    #[test]
    fn styles_write_what_the_specification_shows() {
        let (text, list, object) = (
            json!("blue"),
            json!(["blue", "black", "brown"]),
            json!({"B": 150, "G": 200, "R": 100}),
        );
        let path =
            |style, explode, value: &Value| shape(style, explode).path("color", value).unwrap();
        for (style, explode, expected) in [
            (
                Style::Matrix,
                false,
                [";color=blue", ";color=blue,black,brown", ";color=B,150,G,200,R,100"],
            ),
            (
                Style::Matrix,
                true,
                [";color=blue", ";color=blue;color=black;color=brown", ";B=150;G=200;R=100"],
            ),
            (Style::Label, false, [".blue", ".blue,black,brown", ".B,150,G,200,R,100"]),
            (Style::Label, true, [".blue", ".blue.black.brown", ".B=150.G=200.R=100"]),
            (Style::Simple, false, ["blue", "blue,black,brown", "B,150,G,200,R,100"]),
            (Style::Simple, true, ["blue", "blue,black,brown", "B=150,G=200,R=100"]),
        ] {
            let written = [&text, &list, &object].map(|value| path(style, explode, value));
            assert_eq!(written, expected, "{style:?} {explode}");
        }
        for (style, explode, expected) in [
            (
                Style::Form,
                false,
                ["color=blue", "color=blue,black,brown", "color=B,150,G,200,R,100"],
            ),
            (
                Style::Form,
                true,
                ["color=blue", "color=blue&color=black&color=brown", "B=150&G=200&R=100"],
            ),
            (
                Style::Space,
                false,
                ["color=blue", "color=blue%20black%20brown", "color=B%20150%20G%20200%20R%20100"],
            ),
            (
                Style::Pipe,
                false,
                ["color=blue", "color=blue%7Cblack%7Cbrown", "color=B%7C150%7CG%7C200%7CR%7C100"],
            ),
            (
                Style::Deep,
                true,
                [
                    "color=blue",
                    "color%5B0%5D=blue&color%5B1%5D=black&color%5B2%5D=brown",
                    "color%5BB%5D=150&color%5BG%5D=200&color%5BR%5D=100",
                ],
            ),
        ] {
            let written = [&text, &list, &object].map(|value| query(&shape(style, explode), value));
            assert_eq!(written, expected, "{style:?} {explode}");
        }
    }

    #[test]
    fn values_bring_no_delimiters_of_their_own() {
        let form = shape(Style::Form, false);
        assert_eq!(query(&form, &json!(["a,b", "c&d=e#f"])), "color=a%2Cb,c%26d%3De%23f");
        let exploded = shape(Style::Form, true);
        assert_eq!(query(&exploded, &json!({"a&b": "c"})), "a%26b=c");
        let open = Shape { reserved: true, ..form };
        assert_eq!(query(&open, &json!("a/b?c&d#e")), "color=a/b?c%26d%23e");
    }

    #[test]
    fn a_path_argument_stays_in_its_segment() {
        let simple = shape(Style::Simple, false);
        for value in [
            "..",
            ".",
            "../admin",
            "a/../b",
            "a\\..\\b",
            "%2e%2e",
            "%252e%252e/x",
            "..;x=1",
            "a\nb",
            "a\0",
            "",
        ] {
            assert!(simple.path("id", &json!(value)).is_err(), "{value:?}");
            assert!(simple.path("id", &json!([value])).is_err(), "{value:?}");
        }
        for (value, written) in [
            (json!("group/project"), "group%2Fproject"),
            (json!("a?b#c"), "a%3Fb%23c"),
            (json!("v1.2..3"), "v1.2..3"),
            (json!("100%"), "100%25"),
            (json!(7), "7"),
            (json!(true), "true"),
        ] {
            assert_eq!(simple.path("id", &value).unwrap(), written);
        }
        assert!(simple.path("id", &Value::Null).is_err());
        assert!(simple.path("id", &json!([[1]])).is_err());
        assert!(simple.path("id", &json!([])).is_err());
    }

    #[test]
    fn a_header_holds_one_line() {
        let name = HeaderName::from_static("x-a");
        let simple = shape(Style::Simple, false);
        for value in [
            json!("a\r\nx-admin: 1"),
            json!("a\nb"),
            json!("é"),
            json!(["a", "\r\n"]),
            json!({"\n": 1}),
        ] {
            assert!(simple.header(&name, &value, &mut HeaderMap::new()).is_err(), "{value}");
        }
        let mut headers = HeaderMap::new();
        simple.header(&name, &json!(["a", 1]), &mut headers).unwrap();
        assert_eq!(headers["x-a"], "a,1");
    }
}
