//! Request bodies.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::document::{At, Document, Refused};
use super::parameter::{Shape, Style, Unfit};
use super::schema;

/// How a body is written.
#[derive(Debug, Clone)]
pub(super) enum Format {
    Json,
    /// `application/x-www-form-urlencoded`.
    Form(BTreeMap<String, Shape>),
    /// `multipart/form-data`.
    Multipart(BTreeMap<String, Part>),
    Text,
    Bytes,
}

/// How one part of a multipart body is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    is_binary: bool,
    content_type: Option<HeaderValue>,
}

/// The body of an operation.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) content_type: HeaderValue,
    pub(super) format: Format,
}

/// How well a media type is liked; `None` where it cannot be written.
fn rank(media: &str) -> Option<u8> {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match essence.as_str() {
        "application/json" => 0,
        essence if essence.starts_with("application/") && essence.ends_with("+json") => 1,
        "*/*" | "application/*" => 2,
        "application/x-www-form-urlencoded" => 3,
        "multipart/form-data" => 4,
        "text/plain" | "text/markdown" | "text/csv" | "text/*" => 5,
        "application/octet-stream" => 6,
        _ => return None,
    })
}

impl Body {
    /// The body and its schema's place: of the media types offered, the one liked best.
    pub(super) fn of<'d>(
        document: &'d Document,
        body: &At<'d>,
    ) -> Result<Option<(Self, Option<At<'d>>)>, Refused> {
        let Some(content) = body.member("content") else { return Ok(None) };
        let best = content
            .members()
            .filter_map(|(media, place)| Some((rank(media)?, media, place)))
            .min_by_key(|(rank, ..)| *rank);
        let Some((rank, media, place)) = best else {
            return Err(
                content.refuse("has no media type that can be written: JSON, forms, text or bytes")
            );
        };
        let schema = place.member("schema");
        let (format, media) = match rank {
            0 | 1 => (Format::Json, media),
            2 => (Format::Json, "application/json"),
            3 => (Format::Form(shapes(&place)?), media),
            4 => (Format::Multipart(parts(document, &place, schema.as_ref())), media),
            5 if media.contains('*') => (Format::Text, "text/plain"),
            5 => (Format::Text, media),
            _ => (Format::Bytes, media),
        };
        let content_type = HeaderValue::from_str(media)
            .map_err(|_| content.refuse("has a media type that no header can hold"))?;
        Ok(Some((Self { required: body.is("required"), content_type, format }, schema)))
    }

    /// The schema of the argument where the document has none, or JSON cannot hold what it says.
    pub(super) fn argument(&self, schema: Option<Value>) -> Value {
        let described = |text: &str| {
            let note = schema.as_ref().and_then(|schema| schema.get("description")).cloned();
            let mut argument = Map::new();
            argument.insert("type".into(), "string".into());
            argument.insert("description".into(), note.unwrap_or_else(|| text.into()));
            argument
        };
        match &self.format {
            Format::Text => match &schema {
                Some(Value::Object(members))
                    if members.get("type").is_some_and(|kind| kind == "string") =>
                {
                    schema.unwrap_or_default()
                }
                _ => Value::Object(described("The text to send.")),
            },
            Format::Bytes => {
                let mut argument = described("The bytes to send, in Base64.");
                argument.insert("contentEncoding".into(), "base64".into());
                Value::Object(argument)
            }
            _ => schema.unwrap_or_else(|| Value::Object(Map::new())),
        }
    }

    /// The body's bytes, and its content type.
    pub(super) fn write(&self, raw: &str) -> Result<(Bytes, HeaderValue), Unfit> {
        let read = || serde_json::from_str::<Value>(raw).map_err(|_| "is no JSON");
        let bytes = match &self.format {
            // As the caller wrote it: no number changes.
            Format::Json => Bytes::copy_from_slice(raw.trim_ascii().as_bytes()),
            Format::Text => match read()? {
                Value::String(text) => text.into(),
                _ => return Err("must be a text"),
            },
            Format::Bytes => match read()? {
                Value::String(text) => base64(&text)?.into(),
                _ => return Err("must be a text in Base64"),
            },
            Format::Form(shapes) => match read()? {
                Value::Object(members) => form(shapes, &members)?.into(),
                _ => return Err("must be an object"),
            },
            Format::Multipart(parts) => match read()? {
                Value::Object(members) => return multipart(parts, &members),
                _ => return Err("must be an object"),
            },
        };
        Ok((bytes, self.content_type.clone()))
    }
}

/// The `encoding` of a form's properties that says how they are written.
fn shapes(media: &At<'_>) -> Result<BTreeMap<String, Shape>, Refused> {
    let mut shapes = BTreeMap::new();
    let Some(encoding) = media.member("encoding") else { return Ok(shapes) };
    for (name, rule) in encoding.members() {
        let style = match rule.text("style") {
            None | Some("form") => Style::Form,
            Some("spaceDelimited") => Style::Space,
            Some("pipeDelimited") => Style::Pipe,
            Some("deepObject") => Style::Deep,
            Some(_) => return Err(rule.refuse("has a style that forms do not have")),
        };
        let is_styled =
            ["style", "explode", "allowReserved"].iter().any(|word| rule.value.get(word).is_some());
        let style = match rule.text("contentType") {
            Some(media) if !is_styled && media.contains("json") => Style::Json,
            _ => style,
        };
        let explode =
            rule.value.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        shapes
            .insert(name.to_owned(), Shape { style, explode, reserved: rule.is("allowReserved") });
    }
    Ok(shapes)
}

fn form(shapes: &BTreeMap<String, Shape>, members: &Map<String, Value>) -> Result<String, Unfit> {
    let list = Shape { style: Style::Form, explode: true, reserved: false };
    let json = Shape { style: Style::Json, ..list.clone() };
    let mut out = String::new();
    for (name, value) in members {
        let is_nested = match value {
            Value::Object(_) => true,
            Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
            _ => false,
        };
        // Without a rule an object is JSON (OpenAPI, "Encoding Object", `contentType`).
        let shape = shapes.get(name).unwrap_or(if is_nested { &json } else { &list });
        for (name, value) in shape.pairs(name, value)? {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(&name);
            out.push('=');
            out.push_str(&value);
        }
    }
    Ok(out)
}

fn parts(document: &Document, media: &At<'_>, schema: Option<&At<'_>>) -> BTreeMap<String, Part> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let properties = schema
        .and_then(|schema| {
            document.resolve(At { value: schema.value, pointer: schema.pointer.clone() }).ok()
        })
        .and_then(|schema| schema.member("properties"));
    for (name, property) in properties.iter().flat_map(At::members) {
        parts.entry(name.to_owned()).or_default().is_binary =
            schema::is_binary(document, &property);
    }
    let encoding = media.member("encoding");
    for (name, rule) in encoding.iter().flat_map(At::members) {
        // Several may be allowed; the first that is no pattern is taken.
        let media = rule.text("contentType").unwrap_or_default();
        let first =
            media.split(',').map(str::trim).find(|media| !media.is_empty() && !media.contains('*'));
        let value = first.and_then(|media| HeaderValue::from_str(media).ok());
        parts.entry(name.to_owned()).or_default().content_type = value;
    }
    parts
}

fn multipart(
    parts: &BTreeMap<String, Part>,
    members: &Map<String, Value>,
) -> Result<(Bytes, HeaderValue), Unfit> {
    let mut pieces: Vec<(String, Vec<u8>)> = Vec::new();
    let plain = Part::default();
    for (name, value) in members {
        let part = parts.get(name).unwrap_or(&plain);
        let values = match value {
            Value::Null => &[],
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            pieces.push(piece(name, part, value)?);
        }
    }
    let boundary = boundary(&pieces);
    let mut out = Vec::new();
    for (head, bytes) in &pieces {
        out.extend_from_slice(["--", &boundary, "\r\n", head, "\r\n\r\n"].concat().as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(["--", &boundary, "--\r\n"].concat().as_bytes());
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
        .map_err(|_| "cannot be written")?;
    Ok((out.into(), content_type))
}

/// One part: its headers and bytes (RFC 7578 §4.2).
fn piece(name: &str, part: &Part, value: &Value) -> Result<(String, Vec<u8>), Unfit> {
    // As browsers escape names (WHATWG HTML, "multipart/form-data").
    let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let own = part.content_type.as_ref().and_then(|media| media.to_str().ok());
    let (file, media, bytes) = match value {
        Value::String(text) if part.is_binary => {
            let file = format!("; filename=\"{name}\"");
            (file, own.or(Some("application/octet-stream")), base64(text)?)
        }
        _ if part.is_binary => return Err("must be a text in Base64 where a file is sent"),
        Value::String(text) => (String::new(), own, text.clone().into_bytes()),
        Value::Object(_) | Value::Array(_) => {
            (String::new(), own.or(Some("application/json")), value.to_string().into_bytes())
        }
        other => (String::new(), own, other.to_string().into_bytes()),
    };
    let media = media.map(|media| format!("\r\nContent-Type: {media}")).unwrap_or_default();
    Ok((format!("Content-Disposition: form-data; name=\"{name}\"{file}{media}"), bytes))
}

/// A boundary that stands in no part. It comes from what is sent, so that the same arguments make
/// the same request; who writes the parts cannot write their hash into them.
fn boundary(pieces: &[(String, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    for (head, bytes) in pieces {
        hash.update(head.len().to_le_bytes());
        hash.update(head);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    let digest = doorward_core::Digest::from_bytes(hash.finalize().into()).to_string();
    ["doorward-", digest.get(..40).unwrap_or(&digest)].concat()
}

/// Bytes from Base64 as people write it: either alphabet, padded or not, in lines or not.
fn base64(text: &str) -> Result<Vec<u8>, Unfit> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    engines.iter().find_map(|engine| engine.decode(&text).ok()).ok_or("is no Base64")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn forms_follow_their_encoding() {
        let deep = Shape { style: Style::Deep, explode: true, reserved: false };
        let shapes = BTreeMap::from([("metadata".into(), deep.clone()), ("items".into(), deep)]);
        let members = json!({
            "amount": 100, "items": [{"price": "p_1"}], "metadata": {"order id": "6/7"},
            "tags": ["a", "b&c"], "extra": {"a": [1]}, "none": null,
        });
        let pairs = form(&shapes, &object(&members)).unwrap();
        assert_eq!(
            pairs,
            "amount=100&items%5B0%5D%5Bprice%5D=p_1&metadata%5Border%20id%5D=6%2F7\
             &tags=a&tags=b%26c&extra=%7B%22a%22%3A%5B1%5D%7D"
        );
    }

    #[test]
    fn parts_cannot_break_out() {
        let parts = BTreeMap::from([("file".into(), Part { is_binary: true, content_type: None })]);
        let members =
            json!({"file": "aGk=", "a\"\r\nX: y": "--doorward\r\n", "o": {"k": 1}, "n": 7});
        let (bytes, content_type) = multipart(&parts, &object(&members)).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let boundary = content_type.to_str().unwrap().split_once("boundary=").unwrap().1.to_owned();
        assert_eq!(
            text.replace(&boundary, "B"),
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nhi\r\n\
             --B\r\nContent-Disposition: form-data; name=\"a%22%0D%0AX: y\"\r\n\r\n--doorward\r\n\r\n\
             --B\r\nContent-Disposition: form-data; name=\"o\"\r\nContent-Type: application/json\r\n\r\n{\"k\":1}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n7\r\n\
             --B--\r\n"
        );
        assert!(multipart(&parts, &object(&json!({"file": 7}))).is_err());
        assert!(multipart(&parts, &object(&json!({"file": "not base64!"}))).is_err());
    }

    #[test]
    fn base64_is_read_however_it_is_written() {
        for text in ["-_8=", "-_8", "+/8=", "+/8", "+/\n8="] {
            assert_eq!(base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        assert!(base64("%").is_err());
    }
}
