//! Which credential an operation wants, and where it goes.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::Credential;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::document::{At, Document, Refused};
use super::parameter::Place;
use super::{OpenApiError, escape};

/// Headers that no argument may set: they frame the message, route it or say who sends it
/// (OpenAPI ignores the first three as parameters itself).
const FRAMING: [&str; 22] = [
    "accept",
    "content-type",
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "host",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
];

/// Where an operation's credential goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// None is sent.
    Open,
    Bearer,
    Basic,
    Header(HeaderName),
    Query(String),
    Cookie(String),
}

/// The names that credentials have in a document. They are never arguments.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    headers: HashSet<String>,
    query: HashSet<String>,
    cookies: HashSet<String>,
}

impl Reserved {
    pub(super) fn of(document: &Document) -> Self {
        let mut reserved = Self::default();
        let schemes = document.at("/components/securitySchemes");
        for (_, scheme) in schemes.iter().flat_map(At::members) {
            let Ok(scheme) = document.resolve(scheme) else { continue };
            let (Some("apiKey"), Some(name)) = (scheme.text("type"), scheme.text("name")) else {
                continue;
            };
            match scheme.text("in") {
                Some("header") => reserved.headers.insert(name.to_ascii_lowercase()),
                Some("query") => reserved.query.insert(name.to_owned()),
                Some("cookie") => reserved.cookies.insert(name.to_owned()),
                _ => continue,
            };
        }
        reserved
    }

    /// Whether a name in this place is not for arguments.
    pub(super) fn holds(&self, place: Place, name: &str) -> bool {
        match place {
            Place::Path => false,
            Place::Query => self.query.contains(name),
            Place::Cookie => self.cookies.contains(name),
            Place::Header => {
                let name = name.to_ascii_lowercase();
                FRAMING.contains(&name.as_str()) || self.headers.contains(&name)
            }
        }
    }
}

impl Scheme {
    /// The scheme of an operation: of the alternatives that its `security` lists, the first that
    /// one credential satisfies; else none if that is an alternative. Where the document says
    /// nothing, its only scheme, or a bearer token where it declares none at all: an operator who
    /// sets a credential for a server means it to be sent.
    pub(super) fn of(document: &Document, operation: &At<'_>) -> Result<Self, Refused> {
        let root = At { value: &document.root, pointer: String::new() };
        let Some(security) = operation.member("security").or_else(|| root.member("security"))
        else {
            return Ok(Self::unsaid(document));
        };
        let mut is_open = security.value.as_array().is_none_or(Vec::is_empty);
        for alternative in security.items() {
            let names: Vec<_> = alternative.members().map(|(name, _)| name).collect();
            match names.as_slice() {
                [] => is_open = true,
                [name] => {
                    if let Some(scheme) = Self::named(document, name) {
                        return Ok(scheme);
                    }
                }
                _ => {}
            }
        }
        if is_open {
            Ok(Self::Open)
        } else {
            Err(security.refuse("wants several credentials at once, or one of an unknown kind"))
        }
    }

    fn unsaid(document: &Document) -> Self {
        let schemes = document.at("/components/securitySchemes");
        let names: Vec<_> = schemes.iter().flat_map(At::members).map(|(name, _)| name).collect();
        match names.as_slice() {
            [] => Self::Bearer,
            [name] => Self::named(document, name).unwrap_or(Self::Open),
            _ => Self::Open,
        }
    }

    fn named(document: &Document, name: &str) -> Option<Self> {
        let scheme = document.at("/components/securitySchemes")?.member(name)?;
        let scheme = document.resolve(scheme).ok()?;
        match scheme.text("type")? {
            "oauth2" | "openIdConnect" => Some(Self::Bearer),
            "http" if scheme.text("scheme")?.eq_ignore_ascii_case("bearer") => Some(Self::Bearer),
            "http" if scheme.text("scheme")?.eq_ignore_ascii_case("basic") => Some(Self::Basic),
            "apiKey" => {
                let name = scheme.text("name")?;
                match scheme.text("in")? {
                    "header" => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
                    "query" => Some(Self::Query(name.to_owned())),
                    "cookie" => Some(Self::Cookie(name.to_owned())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Shows the credential: in the headers, or as what the query gains.
    pub(super) fn show(
        &self,
        credential: Option<&Credential>,
        headers: &mut HeaderMap,
    ) -> Result<Option<String>, OpenApiError> {
        let unfit = || OpenApiError::Credential("no header can hold it");
        let key = match credential {
            None => return Ok(None),
            // The operator said the header: whatever the document says.
            Some(Credential::Header { name, value }) => {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
                insert(headers, name, value.expose())?;
                return Ok(None);
            }
            Some(Credential::Key(key)) => key.expose(),
            Some(Credential::Aws { .. } | Credential::ServiceAccount(_)) => {
                return Err(OpenApiError::Credential("it is of a kind that OpenAPI does not know"));
            }
        };
        match self {
            Self::Open => {}
            Self::Bearer => insert(headers, AUTHORIZATION, &["Bearer ", key].concat())?,
            Self::Basic => {
                // A key without a password is a name without one.
                let pair = if key.contains(':') { key.to_owned() } else { [key, ":"].concat() };
                insert(headers, AUTHORIZATION, &["Basic ", &STANDARD.encode(pair)].concat())?;
            }
            Self::Header(name) => insert(headers, name.clone(), key)?,
            Self::Cookie(name) => {
                let mut cookie = headers
                    .get(COOKIE)
                    .and_then(|known| known.to_str().ok())
                    .map(|known| [known, "; "].concat())
                    .unwrap_or_default();
                escape::strict(name, &mut cookie);
                cookie.push('=');
                escape::strict(key, &mut cookie);
                insert(headers, COOKIE, &cookie)?;
            }
            Self::Query(name) => {
                let mut pair = String::new();
                escape::strict(name, &mut pair);
                pair.push('=');
                escape::strict(key, &mut pair);
                return Ok(Some(pair));
            }
        }
        Ok(None)
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), OpenApiError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| OpenApiError::Credential("no header can hold it"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
