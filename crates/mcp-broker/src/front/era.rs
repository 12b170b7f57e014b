//! Which era a request is of, and whether it keeps that era's rules (MCP 2026-07-28, "Versioning"
//! and "Streamable HTTP").

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;

use super::body::{FrontBody, whole};
use super::rpc::Params;
use crate::Era;
use crate::envelope;
use crate::protocol::{DATED, META_CAPABILITIES, META_VERSION, MODERN, code};

/// What kind of client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Modern,
    Legacy,
}

impl Client {
    pub(super) fn era(self) -> Era {
        match self {
            Self::Modern => Era::Modern,
            Self::Legacy => Era::Legacy,
        }
    }
}

/// A request that is not answered, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: i64,
    message: Cow<'static, str>,
    data: Option<String>,
}

impl Refusal {
    /// A request that breaks the rules: HTTP 400.
    pub(super) fn bad(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), data: None }
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

    fn header(message: impl Into<Cow<'static, str>>) -> Self {
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
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
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

/// The version that the header names, for messages whose body says nothing of versions.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    match header(headers, "mcp-protocol-version")? {
        None => Ok(None),
        Some(MODERN) => Ok(Some(MODERN)),
        Some(version) if is_modern(version) => Err(Refusal::version(version)),
        Some(version) => match DATED.into_iter().find(|known| *known == version) {
            Some(known) => Ok(Some(known)),
            None => Err(Refusal::bad(code::INVALID_REQUEST, "unknown protocol version")),
        },
    }
}

/// Sorts a request, and checks what its era demands before its method is looked at.
pub(super) fn classify(
    headers: &HeaderMap,
    method: &str,
    params: &Params<'_>,
) -> Result<Client, Refusal> {
    let said = header(headers, "mcp-protocol-version")?;
    if params.version().is_some() || said.is_some_and(is_modern) {
        return modern(headers, said, method, params).map(|()| Client::Modern);
    }
    if method != "initialize" {
        // A handshake carries its version in the body; for all else the header counts.
        named(headers)?;
    }
    Ok(Client::Legacy)
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
    if !params.has_capabilities() {
        return Err(missing(META_CAPABILITIES));
    }
    match header(headers, "mcp-method")? {
        Some(said) if said == method => {}
        Some(_) => return Err(Refusal::header("Mcp-Method differs from the body")),
        None => return Err(Refusal::header("Mcp-Method is missing")),
    }
    if method != "tools/call" {
        return Ok(());
    }
    let said = header(headers, "mcp-name")?.map(decoded).transpose()?;
    match (said, params.name()) {
        (Some(said), Some(name)) if said == name => Ok(()),
        (Some(_), _) => Err(Refusal::header("Mcp-Name differs from the body")),
        (None, _) => Err(Refusal::header("Mcp-Name is missing")),
    }
}

/// A mirrored value: as it is, or in Base64 where a header cannot hold it.
fn decoded(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let coded = value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?="));
    let Some(coded) = coded else { return Ok(Cow::Borrowed(value)) };
    let bytes = STANDARD.decode(coded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.map(Cow::Owned).ok_or_else(|| Refusal::header("Mcp-Name: malformed Base64"))
}
