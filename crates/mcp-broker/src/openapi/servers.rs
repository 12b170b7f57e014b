//! Where an API is.

use http::Uri;

use super::document::{At, Document, Refused};
use super::{OpenApiError, escape};

/// The servers of a document: the one that all operations share, and whether the operator chose
/// it.
pub(super) struct Servers {
    base: String,
    is_chosen: bool,
}

impl Servers {
    pub(super) fn of(document: &Document, chosen: Option<&str>) -> Result<Self, OpenApiError> {
        let invalid = |pointer: &str, reason: &str| OpenApiError::Invalid {
            pointer: pointer.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(url) = chosen {
            let base = base(url).map_err(|reason| invalid("", &format!("base_url {reason}")))?;
            return Ok(Self { base, is_chosen: true });
        }
        let root = At { value: &document.root, pointer: String::new() };
        match first(&root)? {
            Some(base) => Ok(Self { base, is_chosen: false }),
            None => Err(invalid("/servers", "says no server: set base_url")),
        }
    }

    /// Where an operation goes: its own server, its path's, or that of all. Another origin than
    /// that of all is refused: the credential is for one.
    pub(super) fn base(&self, path: &At<'_>, operation: &At<'_>) -> Result<String, Refused> {
        if self.is_chosen {
            return Ok(self.base.clone());
        }
        let own = match first(operation)? {
            Some(own) => Some(own),
            None => first(path)?,
        };
        match own {
            Some(own) if origin(&own) == origin(&self.base) => Ok(own),
            Some(_) => Err(operation.refuse("is on another server than the rest: set base_url")),
            None => Ok(self.base.clone()),
        }
    }
}

/// The first server of a place, its variables at their defaults.
fn first(place: &At<'_>) -> Result<Option<String>, Refused> {
    let Some(servers) = place.member("servers") else { return Ok(None) };
    let Some(server) = servers.items().next() else { return Ok(None) };
    let mut url = String::new();
    let mut rest = server.text("url").unwrap_or_default();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| server.refuse("has a `{` without `}`"))?;
        let default =
            server.value.get("variables").and_then(|all| all.get(name)?.get("default")?.as_str());
        let default =
            default.ok_or_else(|| server.refuse(format!("has no default for {{{name}}}")))?;
        url.extend([before, default]);
        rest = after;
    }
    url.push_str(rest);
    base(&url).map(Some).map_err(|reason| server.refuse(reason))
}

/// A URL that paths can be put after.
fn base(url: &str) -> Result<String, &'static str> {
    if url.contains(['?', '#']) {
        return Err("must have neither query nor fragment");
    }
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is no absolute http or https URL: set base_url");
    };
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password: credentials come with the call");
    }
    let climbs =
        |step: &str| escape::decoded(step).is_none_or(|step| matches!(step.as_str(), "." | ".."));
    if uri.path().split('/').any(climbs) {
        return Err("must not have `.` or `..` in its path");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_owned();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}
