//! The headers of a request: what is asked, of which session, in which version, by whom.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::Credential;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Ask, Failure};
use crate::edit;
use crate::protocol::MODERN;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// A legacy session, as one credential holds it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: Option<HeaderValue>,
    pub(super) version: &'static str,
}

/// How to talk to the server now.
#[derive(Clone)]
pub(super) enum Peer {
    Modern,
    Legacy(Arc<Session>),
}

/// The headers that say what is asked, of which session, in which version.
pub(super) fn address(
    headers: &mut HeaderMap,
    peer: &Peer,
    ask: Option<&Ask<'_>>,
) -> Result<(), Failure> {
    const WRONG: Failure = Failure::Nonsense("was to be asked what no header can hold");

    match peer {
        Peer::Modern => {
            headers.insert(VERSION, HeaderValue::from_static(MODERN));
            let Some(ask) = ask else { return Ok(()) };
            headers.insert(METHOD, HeaderValue::from_str(ask.method).map_err(|_| WRONG)?);
            if let Some(name) = ask.name {
                headers.insert(NAME, mirrored(name)?);
            }
            mirror_arguments(headers, ask)?;
        }
        Peer::Legacy(session) => {
            if ask.is_none_or(|ask| ask.method != "initialize") {
                headers.insert(VERSION, HeaderValue::from_static(session.version));
            }
            if let Some(id) = &session.id {
                headers.insert(SESSION, id.clone());
            }
        }
    }
    Ok(())
}

/// The arguments that the server's own schema wants in headers. What the client sent in such
/// headers never comes this far.
fn mirror_arguments(headers: &mut HeaderMap, ask: &Ask<'_>) -> Result<(), Failure> {
    let params = ask.params.filter(|_| !ask.mirrors.is_empty());
    let Some(arguments) = params.and_then(|params| edit::member(params.get(), "arguments")) else {
        return Ok(());
    };
    let wrong = |_| Failure::Nonsense("wants an argument in a header that cannot hold it");
    let arguments = serde_json::from_str(arguments)
        .map_err(|_| Failure::Nonsense("was to be sent arguments that are no JSON"))?;
    for mirror in ask.mirrors {
        let Some(value) = mirror.value(&arguments) else { continue };
        let name = HeaderName::try_from(format!("mcp-param-{}", mirror.header)).map_err(wrong)?;
        headers.insert(name, mirrored(&value)?);
    }
    Ok(())
}

/// A value of the body in a header: as it is where a header can hold it, else in Base64.
fn mirrored(value: &str) -> Result<HeaderValue, Failure> {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.trim() == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    let written = if plain {
        HeaderValue::from_str(value)
    } else {
        HeaderValue::try_from(format!("=?base64?{}?=", STANDARD.encode(value)))
    };
    written.map_err(|_| Failure::Nonsense("has a name or argument that no header can hold"))
}

pub(super) fn show(
    headers: &mut HeaderMap,
    credential: Option<&Credential>,
) -> Result<(), Failure> {
    let wrong = || Failure::Nonsense("wants a credential that no header can hold");
    let (name, mut value) = match credential {
        None => return Ok(()),
        Some(Credential::Key(key)) => {
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose()));
            (AUTHORIZATION, value.map_err(|_| wrong())?)
        }
        Some(Credential::Header { name, value }) => (
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
            HeaderValue::from_str(value.expose()).map_err(|_| wrong())?,
        ),
        Some(Credential::Aws { .. } | Credential::ServiceAccount(_)) => return Err(wrong()),
    };
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
