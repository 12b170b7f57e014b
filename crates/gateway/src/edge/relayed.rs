//! What is read from a request that is sent on as it is: which model it names, and for which
//! upstream it is. Nothing else of it is understood.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

/// In which form a body may name a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    /// `multipart/form-data` (RFC 7578).
    Form,
    Other,
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().trim_start().to_ascii_lowercase();
        if kind.starts_with("application/json") {
            Self::Json
        } else if kind.starts_with("multipart/form-data") {
            Self::Form
        } else {
            Self::Other
        }
    }
}

/// The model a request names, and its body with the upstream's name taken off it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) model: Option<String>,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

/// Finds the model. `upstream/model` goes on as `model`, where there is such an upstream; other
/// names may hold a slash of their own.
pub(super) fn find_model(kind: Kind, body: Bytes, upstreams: &[String]) -> Found {
    let place = match kind {
        Kind::Json => in_json(&body),
        Kind::Form => in_form(&body),
        Kind::Other => None,
    };
    let Some((model, start, end)) = place else { return Found { model: None, body } };
    let known = |name: &str| upstreams.iter().any(|upstream| upstream == name);
    let Some((_, bare)) = model.split_once('/').filter(|(name, _)| known(name)) else {
        return Found { model: Some(model), body };
    };
    let text = if kind == Kind::Json {
        serde_json::Value::from(bare).to_string()
    } else {
        bare.to_owned()
    };
    let mut changed = BytesMut::with_capacity(body.len());
    changed.extend_from_slice(&body[..start]);
    changed.extend_from_slice(text.as_bytes());
    changed.extend_from_slice(&body[end..]);
    Found { model: Some(model), body: changed.freeze() }
}

/// The model and where it stands, quotes included.
fn in_json(body: &[u8]) -> Option<(String, usize, usize)> {
    let raw = serde_json::from_slice::<Named<'_>>(body).ok()?.model?.get();
    let model: String = serde_json::from_str(raw).ok()?;
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    Some((model, start, start + raw.len()))
}

/// The value of the form's field `model`.
fn in_form(body: &[u8]) -> Option<(String, usize, usize)> {
    let find = |from: usize, what: &[u8]| {
        let rest = body.get(from..)?;
        let at = rest.windows(what.len()).position(|window| window == what)?;
        Some(from + at)
    };
    let named = find(0, b"name=\"model\"")?;
    let start = find(named, b"\r\n\r\n")? + 4;
    let end = find(start, b"\r\n")?;
    let model = std::str::from_utf8(body.get(start..end)?).ok()?;
    (!model.is_empty() && model.len() <= 256).then(|| (model.to_owned(), start, end))
}

/// The upstream that the client names.
pub(super) fn upstream(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-doorward-upstream")?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// Headers that may go on. A list of what may, not of what may not: no credential, cookie or
/// address of the caller is among them.
pub(super) fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    const KEPT: [&str; 8] = [
        "accept",
        "content-type",
        "idempotency-key",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
        "range",
        "if-none-match",
    ];
    let kept = |name: &&str| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    };
    KEPT.iter().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_and_goes_on_without_its_upstream() {
        let form = |model: &str| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\x01\
                 \r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--"
            )
        };
        for (kind, body, model, sent) in [
            (
                Kind::Json,
                r#"{"a":1,"model": "openai/dall"}"#.to_owned(),
                Some("openai/dall"),
                r#"{"a":1,"model": "dall"}"#.to_owned(),
            ),
            (
                Kind::Json,
                r#"{"model":"dall"}"#.to_owned(),
                Some("dall"),
                r#"{"model":"dall"}"#.to_owned(),
            ),
            (Kind::Json, r#"{"model":5}"#.to_owned(), None, r#"{"model":5}"#.to_owned()),
            (
                Kind::Json,
                r#"{"model":"cohere/rerank"}"#.to_owned(),
                Some("cohere/rerank"),
                r#"{"model":"cohere/rerank"}"#.to_owned(),
            ),
            (Kind::Json, "no json".to_owned(), None, "no json".to_owned()),
            (Kind::Form, form("openai/whisper-1"), Some("openai/whisper-1"), form("whisper-1")),
            (
                Kind::Other,
                r#"{"model":"openai/dall"}"#.to_owned(),
                None,
                r#"{"model":"openai/dall"}"#.to_owned(),
            ),
        ] {
            let upstreams = ["openai".to_owned()];
            let found = find_model(kind, Bytes::from(body.clone()), &upstreams);
            assert_eq!(found.model.as_deref(), model, "{kind:?} {body}");
            assert_eq!(found.body, sent, "{kind:?} {body}");
        }
    }

    #[test]
    fn no_credential_goes_on() {
        let mut from = HeaderMap::new();
        for name in
            ["authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key", "forwarded"]
        {
            from.insert(name, "secret".parse().unwrap());
        }
        from.insert("accept", "image/png".parse().unwrap());
        assert_eq!(headers(&from), [("accept".to_owned(), "image/png".to_owned())]);
    }
}
