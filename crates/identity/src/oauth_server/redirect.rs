//! Where answers may be sent: redirect URIs, matched exactly (OAuth 2.1 §2.3, RFC 8252 §7).

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;

use crate::oauth_client::{encode_form, literal};

/// The longest redirect URI.
const LONGEST: usize = 2048;
/// Schemes that run or read something in the browser, or go nowhere near an app: never a redirect.
const NEVER: [&str; 16] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "about",
    "blob",
    "view-source",
    "ftp",
    "ws",
    "wss",
    "mailto",
    "tel",
    "sms",
    "filesystem",
    "jar",
    "chrome",
];

/// A redirect URI in a form that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectUri {
    text: Arc<str>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// `https`, at this host.
    Web(String),
    /// An app on the person's own machine, at any port: this host and this path.
    Loopback { host: String, rest: String },
    /// An app that has claimed a scheme (RFC 8252 §7.1).
    Private(String),
}

impl RedirectUri {
    /// The URI, if its form is one that may be used. Private schemes are those listed only; every
    /// other way is `https`, or `http` to the person's own machine.
    pub(crate) fn read(text: &str, schemes: &[String]) -> Result<Self, &'static str> {
        let odd = |byte: u8| !byte.is_ascii_graphic() || b"\\<>\"{}|^`".contains(&byte);
        if text.len() > LONGEST || text.bytes().any(odd) {
            return Err("a redirect URI has characters that no URI has, or too many");
        }
        if text.contains('#') {
            return Err("a redirect URI has no fragment");
        }
        let (scheme, _) = text.split_once(':').ok_or("a redirect URI is absolute")?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "https" => {
                let uri = authority(text)?;
                Kind::Web(uri.host().unwrap_or_default().to_ascii_lowercase())
            }
            "http" => {
                let uri = authority(text)?;
                let host = uri.host().unwrap_or_default().to_ascii_lowercase();
                if !is_loopback(&host) {
                    return Err("a redirect URI with http leads to the machine itself only");
                }
                let rest = uri.path_and_query().map_or("/", |rest| rest.as_str()).to_owned();
                Kind::Loopback { host, rest }
            }
            other if NEVER.contains(&other) || !schemes.iter().any(|known| known == other) => {
                return Err("a redirect URI with this scheme is not accepted");
            }
            other => Kind::Private(other.to_owned()),
        };
        Ok(Self { text: text.into(), kind })
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether an asked one is this one: byte for byte, but for the port of the person's own
    /// machine, which the system chooses (RFC 8252 §7.3).
    pub(crate) fn matches(&self, asked: &str) -> bool {
        if *self.text == *asked {
            return true;
        }
        let Kind::Loopback { .. } = self.kind else { return false };
        Self::read(asked, &[]).is_ok_and(|asked| asked.kind == self.kind)
    }

    /// The host, where it is one of the web.
    pub(crate) fn web_host(&self) -> Option<&str> {
        match &self.kind {
            Kind::Web(host) => Some(host),
            _ => None,
        }
    }

    pub(crate) fn scheme_and_host(&self) -> Option<(bool, &str)> {
        match &self.kind {
            Kind::Web(host) => Some((true, host)),
            Kind::Loopback { host, .. } => Some((false, host)),
            Kind::Private(_) => None,
        }
    }

    /// What a person is shown of it.
    pub(crate) fn shown(&self) -> &str {
        match &self.kind {
            Kind::Web(host) | Kind::Loopback { host, .. } => host,
            Kind::Private(scheme) => scheme,
        }
    }

    /// What stands for it in a remembered consent: without the port that the system chose.
    pub(crate) fn remembered(&self) -> Arc<str> {
        match &self.kind {
            Kind::Loopback { host, rest } => format!("http://{host}{rest}").into(),
            _ => self.text.clone(),
        }
    }
}

/// The URI with these parameters added.
pub(crate) fn with_answer<'a>(
    uri: &str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{uri}{joint}{}", encode_form(pairs))
}

fn authority(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "a redirect URI cannot be read")?;
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    if plain { Ok(uri) } else { Err("a redirect URI has a host and no user") }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RedirectUri, &'static str> {
        RedirectUri::read(text, &["cursor".to_owned(), "javascript".to_owned()])
    }

    #[test]
    fn only_the_port_of_the_own_machine_may_differ() {
        for (known, asked, same) in [
            ("https://app.example/cb", "https://app.example/cb", true),
            ("https://app.example/cb", "https://app.example/cb/", false),
            ("https://app.example/cb", "https://app.example/cb?x=1", false),
            ("https://app.example/cb", "https://app.example:443/cb", false),
            ("https://app.example/cb", "https://APP.example/cb", false),
            ("https://app.example/cb", "https://app.example.evil.example/cb", false),
            ("https://app.example/cb", "https://app.example/cb/../evil", false),
            ("https://app.example/cb", "http://app.example/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true),
            ("http://[::1]/cb", "http://[::1]:9/cb", true),
            ("http://localhost/cb", "http://localhost:9/cb", true),
            ("http://localhost/cb", "http://127.0.0.1:9/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:9/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:9/cb?x=1", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:9@evil.example/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:9/cb", false),
            ("cursor://app/cb", "cursor://app/cb", true),
            ("cursor://app/cb", "cursor://app/cb2", false),
        ] {
            assert_eq!(read(known).unwrap().matches(asked), same, "{known} {asked}");
        }
    }

    #[test]
    fn a_redirect_leads_to_the_web_the_own_machine_or_a_listed_app() {
        for wrong in [
            "",
            "/cb",
            "//app.example/cb",
            "app.example/cb",
            "javascript:alert(1)",
            "JavaScript://app.example/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "other://app/cb",
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://10.0.0.1/cb",
            "https://user@app.example/cb",
            "https://app.example\\@evil.example/cb",
            "https://app.example/cb#x",
            "https://app.example/c b",
            "https:///cb",
            "https://",
            " https://app.example/cb",
            "https://app.example/\r\nx",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(read("https://App.example/cb").unwrap().shown(), "app.example");
        assert_eq!(read("http://localhost:7/cb?x=1").unwrap().shown(), "localhost");
    }

    #[test]
    fn an_answer_joins_the_query_that_is_there() {
        let pairs = || [("code", "a b"), ("iss", "https://x")];
        let joined = "code=a%20b&iss=https%3A%2F%2Fx";
        assert_eq!(with_answer("https://a/cb", pairs()), format!("https://a/cb?{joined}"));
        assert_eq!(with_answer("https://a/cb?y=1", pairs()), format!("https://a/cb?y=1&{joined}"));
        assert_eq!(with_answer("https://a/cb?", pairs()), format!("https://a/cb?{joined}"));
    }
}
