//! Which era a request is of, and whether it keeps that era's rules (MCP 2026-07-28, "Versioning"
//! and "Streamable HTTP").

use std::borrow::Cow;
use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;

use super::body::{FrontBody, whole};
use super::params::Params;
use super::revision::Revision;
use crate::envelope;
use crate::protocol::{META_CAPABILITIES, META_VERSION, MODERN, code};

/// A request that is not answered, and why.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: i64,
    message: Cow<'static, str>,
    data: Option<String>,
    cancelled: bool,
}

impl Refusal {
    /// A request that breaks the rules: HTTP 400.
    pub(super) fn bad(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        let (status, message) = (StatusCode::BAD_REQUEST, message.into());
        Self { status, code, message, data: None, cancelled: false }
    }

    /// A refusal that is an ordinary answer to HTTP.
    pub(super) fn answered(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad(code, message).with_status(StatusCode::OK)
    }

    /// The method is not there: HTTP 404 since 2026-07-28.
    pub(super) fn no_method(revision: Revision) -> Self {
        let refusal = Self::answered(code::METHOD_NOT_FOUND, "method not found");
        if revision.is_modern() { refusal.with_status(StatusCode::NOT_FOUND) } else { refusal }
    }

    /// A capability that the client would have to declare, a written `ClientCapabilities`.
    pub(super) fn capability(needed: &str) -> Self {
        let data = format!(r#"{{"requiredCapabilities":{needed}}}"#);
        Self::bad(code::MISSING_CAPABILITY, "a client capability is missing").with_data(data)
    }

    /// The session is over, or never was: HTTP 404.
    pub(super) fn no_session() -> Self {
        Self::bad(code::INVALID_REQUEST, "unknown session").with_status(StatusCode::NOT_FOUND)
    }

    /// The client took its request back; it wants no answer.
    pub(super) fn cancelled() -> Self {
        Self { cancelled: true, ..Self::answered(code::INTERNAL, "cancelled") }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds written JSON.
    pub(super) fn with_data(mut self, data: String) -> Self {
        self.data = Some(data);
        self
    }

    /// A request that is well formed and asks for what is not there.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    fn version(requested: &str) -> Self {
        let requested = crate::edit::quote(requested);
        let data = format!(r#"{{"supported":["{MODERN}"],"requested":{requested}}}"#);
        let refusal = Self::bad(code::VERSION_NOT_SERVED, "protocol version not served");
        Self { data: Some(data), ..refusal }
    }

    pub(super) fn header(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad(code::HEADER_MISMATCH, message)
    }

    pub(super) fn message(&self, id: Option<&RawValue>) -> String {
        envelope::refusal(id, self.code, &self.message, self.data.as_deref())
    }

    pub(super) fn response(&self, id: Option<&RawValue>) -> Response<FrontBody> {
        whole(self.status, self.message(id))
    }
}

/// A header's value, without the space around it. Given twice it is as good as malformed.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim_matches([' ', '\t']))),
        _ => Err(Refusal::header(format!("{name}: malformed"))),
    }
}

fn is_modern(version: &str) -> bool {
    let is_date = version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && version >= MODERN
}

/// The revision that the header names, for messages whose body says nothing of versions.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<Revision>, Refusal> {
    match header(headers, "mcp-protocol-version")? {
        None => Ok(None),
        Some(MODERN) => Ok(Some(Revision::Modern)),
        Some(version) if is_modern(version) => Err(Refusal::version(version)),
        Some(version) => match Revision::dated(version) {
            Some(known) => Ok(Some(known)),
            None => Err(Refusal::bad(code::INVALID_REQUEST, "unknown protocol version")),
        },
    }
}

/// Sorts a request, and checks what its era demands before its method is looked at. Gives the
/// revision; of a session's request that of the session counts.
pub(super) fn classify(
    headers: &HeaderMap,
    method: &str,
    params: &Params<'_>,
) -> Result<Revision, Refusal> {
    let said = header(headers, "mcp-protocol-version")?;
    if params.version().is_some() || said.is_some_and(is_modern) {
        return modern(headers, said, method, params).map(|()| Revision::Modern);
    }
    if method == "initialize" {
        // A handshake carries its version in the body; for all else the header counts.
        return Ok(Revision::UNSAID);
    }
    Ok(named(headers)?.unwrap_or(Revision::UNSAID))
}

fn modern(
    headers: &HeaderMap,
    said: Option<&str>,
    method: &str,
    params: &Params<'_>,
) -> Result<(), Refusal> {
    let missing = |key: &str| Refusal::bad(code::INVALID_PARAMS, format!("_meta lacks `{key}`"));
    let version = params.version().ok_or_else(|| missing(META_VERSION))?;
    match said {
        Some(said) if said == version => {}
        Some(_) => return Err(Refusal::header("MCP-Protocol-Version differs from the body")),
        None => return Err(Refusal::header("MCP-Protocol-Version is missing")),
    }
    if version != MODERN {
        return Err(Refusal::version(version));
    }
    if params.declared().is_none() {
        return Err(missing(META_CAPABILITIES));
    }
    match header(headers, "mcp-method")? {
        Some(said) if said == method => {}
        Some(_) => return Err(Refusal::header("Mcp-Method differs from the body")),
        None => return Err(Refusal::header("Mcp-Method is missing")),
    }
    let mirrored = ["tools/call", "prompts/get", "resources/read"].contains(&method)
        || ["tasks/get", "tasks/update", "tasks/cancel"].contains(&method);
    if !mirrored {
        return Ok(());
    }
    let said = header(headers, "mcp-name")?.map(|said| decoded("Mcp-Name", said)).transpose()?;
    match (said, params.subject(method)) {
        (Some(said), Some(name)) if said == name => Ok(()),
        (Some(_), _) => Err(Refusal::header("Mcp-Name differs from the body")),
        (None, _) => Err(Refusal::header("Mcp-Name is missing")),
    }
}

/// A mirrored value: as it is, or in Base64 where a header cannot hold it.
pub(super) fn decoded<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, Refusal> {
    let coded = value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?="));
    let Some(coded) = coded else { return Ok(Cow::Borrowed(value)) };
    let bytes = STANDARD.decode(coded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.map(Cow::Owned).ok_or_else(|| Refusal::header(format!("{name}: malformed Base64")))
}

/// What kinds of answer a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accept {
    pub(super) json: bool,
    pub(super) stream: bool,
    /// It takes both, and likes streams better.
    pub(super) rather_stream: bool,
}

impl Accept {
    /// Clients have to name both kinds. One that names none takes JSON, one that names one of
    /// them gets that; `None`: it takes neither. Of both it likes better what has the greater
    /// weight, else what it names first.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self { json: true, stream: false, rather_stream: false });
        }
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        // Each with its weight, and how early it is named.
        let (mut json, mut stream) = (None, None);
        for (at, kind) in values.flat_map(|value| value.split(',')).enumerate() {
            let mut parts = kind.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let rank = (weight(parts), Reverse(at));
            if rank.0 == 0 {
                continue;
            }
            if ["application/json", "application/*", "*/*"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known))
            {
                json = json.max(Some(rank));
            } else if kind.eq_ignore_ascii_case("text/event-stream") {
                stream = stream.max(Some(rank));
            }
        }
        let (takes_json, takes_stream) = (json.is_some(), stream.is_some());
        let rather_stream = takes_json && stream > json;
        (takes_json || takes_stream).then_some(Self {
            json: takes_json,
            stream: takes_stream,
            rather_stream,
        })
    }

    /// Whether an answer that is there at once comes as a stream. An HTTP error never does where
    /// the client takes JSON.
    pub(super) fn streams(self, status: StatusCode) -> bool {
        !self.json || (self.rather_stream && status == StatusCode::OK)
    }
}

/// The weight among a kind's parameters, in thousandths (RFC 9110 §12.4.2); 1 where it has none.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    let weight = parameters.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='));
    let Some(weight) = weight else { return 1000 };
    match weight.split_once('.').unwrap_or((weight, "")) {
        ("0", digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, d| sum * 10 + u16::from(d - b'0'))
        }
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_kind_that_a_client_likes_better_has_the_greater_weight_or_is_named_first() {
        for (accept, takes) in [
            ("application/json, text/event-stream", Some((true, true, false))),
            ("text/event-stream, application/json", Some((true, true, true))),
            ("text/event-stream;q=0.5, application/json", Some((true, true, false))),
            ("application/json;q=0.9, Text/Event-Stream; q=0.95", Some((true, true, true))),
            ("*/*, text/event-stream", Some((true, true, false))),
            ("text/event-stream", Some((false, true, false))),
            ("text/event-stream;q=0, */*", Some((true, false, false))),
            ("application/json;charset=utf-8;q=1.000", Some((true, false, false))),
            ("application/json;q=0.000, text/event-stream", Some((false, true, false))),
            ("application/json;q=x", Some((true, false, false))),
            ("text/html", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let read = Accept::read(&headers);
            let read = read.map(|read| (read.json, read.stream, read.rather_stream));
            assert_eq!(read, takes, "{accept}");
        }
    }
}
