//! Parameters of a request, as far as any method reads them.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};
use doorward_core::LogLevel;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::edit;

/// Parameters. What only some methods read stays raw, so that others may use the name otherwise.
#[derive(Deserialize, Default)]
pub(super) struct Params<'a> {
    #[serde(skip)]
    pub(super) raw: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "protocolVersion")]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "taskId")]
    task_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    level: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) notifications: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) task: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputResponses")]
    pub(super) responses: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestState")]
    pub(super) state: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    pub(super) request_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    pub(super) raw_meta: Option<&'a RawValue>,
    #[serde(skip)]
    meta: Meta<'a>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    level: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
}

/// A raw value as text, where it is a string.
pub(super) fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Cow<'_, str>>(raw?.get()).ok()
}

/// A raw value, where it is an object.
pub(super) fn object(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get().starts_with('{'))
}

impl<'a> Params<'a> {
    /// Reads them; `None` where something in them is not of its kind.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        let Some(raw) = raw else { return Some(Self::default()) };
        let mut params: Self = edit::read(raw.get().as_bytes()).ok()?;
        if let Some(meta) = params.raw_meta {
            params.meta = edit::read(meta.get().as_bytes()).ok()?;
        }
        params.raw = Some(raw);
        Some(params)
    }

    /// The modern version that the request names in `_meta`.
    pub(super) fn version(&self) -> Option<&str> {
        self.meta.version.as_deref()
    }

    /// The capabilities that a modern request declares.
    pub(super) fn declared(&self) -> Option<&'a RawValue> {
        object(self.meta.capabilities)
    }

    /// The log level that a modern request asks for.
    pub(super) fn wanted_level(&self) -> Option<LogLevel> {
        level(self.meta.level)
    }

    /// The level of `logging/setLevel`.
    pub(super) fn level(&self) -> Option<LogLevel> {
        level(self.level)
    }

    /// The token that progress is told under: a string or an integer.
    pub(super) fn token(&self) -> Option<&'a RawValue> {
        self.meta.token.filter(|token| {
            let first = token.get().as_bytes().first();
            first.is_some_and(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9'))
        })
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(super) fn uri(&self) -> Option<Cow<'a, str>> {
        text(self.uri)
    }

    pub(super) fn task_id(&self) -> Option<Cow<'a, str>> {
        text(self.task_id)
    }

    pub(super) fn protocol_version(&self) -> Cow<'a, str> {
        text(self.protocol_version).unwrap_or_default()
    }

    /// What names the thing that a method is about.
    pub(super) fn subject(&self, method: &str) -> Option<Cow<'_, str>> {
        match method {
            "tools/call" | "prompts/get" => self.name().map(Cow::Borrowed),
            "resources/read" => self.uri(),
            _ => self.task_id(),
        }
    }

    /// What a call and its retry have in common: a digest of method and parameters, whatever the
    /// order of their members, without what a retry adds.
    pub(super) fn digest(&self, method: &str) -> Option<[u8; 32]> {
        let mut context = Context::new(&SHA256);
        context.update(method.as_bytes());
        context.update(&[0]);
        if let Some(raw) = self.raw {
            let mut value: Value = serde_json::from_str(raw.get()).ok()?;
            if let Some(members) = value.as_object_mut() {
                for name in ["_meta", "inputResponses", "requestState"] {
                    members.remove(name);
                }
            }
            let mut canonical = String::new();
            canon(&value, &mut canonical);
            context.update(canonical.as_bytes());
        }
        context.finish().as_ref().try_into().ok()
    }
}

fn level(raw: Option<&RawValue>) -> Option<LogLevel> {
    serde_json::from_str(raw?.get()).ok()
}

/// Writes a value with the members of its objects in order.
fn canon(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in sorted {
                out.push_str(&edit::quote(name));
                out.push(':');
                canon(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canon(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(text) => out.push_str(&edit::quote(text)),
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(method: &str, params: &str) -> [u8; 32] {
        let raw = RawValue::from_string(params.into()).unwrap();
        Params::read(Some(&raw)).unwrap().digest(method).unwrap()
    }

    #[test]
    fn a_retry_has_the_digest_of_its_call() {
        let call = digest("tools/call", r#"{"name":"t","arguments":{"a":1,"b":[{"x":1,"y":2}]}}"#);
        let retry = r#"{"arguments": {"b":[{"y":2,"x":1}], "a":1}, "name":"t",
            "_meta":{"k":1},"inputResponses":{"q":{}},"requestState":"s"}"#;
        assert_eq!(digest("tools/call", retry), call);
        for other in [
            r#"{"name":"u","arguments":{"a":1,"b":[{"x":1,"y":2}]}}"#,
            r#"{"name":"t","arguments":{"a":2,"b":[{"x":1,"y":2}]}}"#,
            r#"{"name":"t","arguments":{"a":1,"b":[{"x":1},{"y":2}]}}"#,
            r#"{"name":"t"}"#,
        ] {
            assert_ne!(digest("tools/call", other), call, "{other}");
        }
        let same = r#"{"name":"t","arguments":{"a":1,"b":[{"x":1,"y":2}]}}"#;
        assert_ne!(digest("prompts/get", same), call);
    }
}
