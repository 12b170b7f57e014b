//! What comes in: a request, and the form in it.

use std::net::IpAddr;

use doorward_core::Secret;
use http::{HeaderMap, Method, Uri, header};

use super::fault::Fault;
use crate::oauth_client::decode_form;

/// The longest form, query or registration that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// A request as an edge received it. The body has been read whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target; only path and query are looked at.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// Where it comes from: failed attempts are counted by it.
    pub source: Option<IpAddr>,
    /// The SHA-256 hash of the certificate shown in TLS, as base64url (RFC 8705 §3.1). The edge
    /// that ended TLS says so; never taken from a header that a client could write.
    pub certificate: Option<&'a str>,
}

impl Request<'_> {
    /// A header's only value.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&str>, Fault> {
        let mut values = self.headers.get_all(name).iter();
        let (first, second) = (values.next(), values.next());
        let twice = || Fault::invalid_request("a header is repeated or not text");
        match (first, second) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| twice()),
            _ => Err(twice()),
        }
    }

    /// The form in the body (RFC 6749 §3.2): parameters in the query are never secrets' place.
    pub(crate) fn form(&self) -> Result<Form, Fault> {
        let kind = self.header(header::CONTENT_TYPE.as_str())?.unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Fault::invalid_request("the body must be a form"));
        }
        if self.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Fault::invalid_request("parameters belong into the body"));
        }
        let text = std::str::from_utf8(self.body).ok();
        Form::read(text.ok_or_else(|| Fault::invalid_request("the form is not text"))?)
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.body.len() > LONGEST
    }
}

/// Parameters. Each comes once, but for `resource` (RFC 8707 §2); empty ones count as left out
/// (RFC 6749 §3.1).
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::invalid_request("the parameters cannot be read");
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let mut pairs = decode_form(text).ok_or_else(wrong)?;
        pairs.retain(|(_, value)| !value.is_empty());
        let twice = pairs.iter().enumerate().any(|(nth, (name, _))| {
            name != "resource" && pairs[..nth].iter().any(|(other, _)| other == name)
        });
        if twice {
            return Err(Fault::invalid_request("a parameter is repeated"));
        }
        Ok(Self(pairs))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(crate) fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// What must be there.
    pub(crate) fn needed(&self, name: &'static str) -> Result<&str, Fault> {
        self.text(name).ok_or_else(|| Fault::invalid_request(format!("`{name}` is missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_once() {
        assert!(Form::read("a=1&b=2&a=1").is_err());
        assert!(Form::read("a=%zz").is_err());
        assert!(Form::read(&"x".repeat(LONGEST + 1)).is_err());
        let form = Form::read("a=1&b=&a=&resource=x&resource=y").unwrap();
        assert_eq!((form.text("a"), form.text("b")), (Some("1"), None));
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["x", "y"]);
    }
}
