//! Which addresses may be asked. Everything here was named by a stranger: a server's challenge, its
//! metadata, its authorization server. None of it may lead into the gateway's own network.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::Uri;

/// The longest URL that is looked at.
const LONGEST: usize = 2048;

/// How far requests may reach.
///
/// Public addresses over `https`, unless more is declared. Link-local addresses, where clouds keep
/// their metadata services, are out of reach whatever is declared.
///
/// ```
/// use doorward_identity::oauth_client::Reach;
/// let reach = Reach::default().with_host("sso.corp.internal");
/// assert!(reach.admits("sso.corp.internal", "10.1.2.3".parse()?));
/// assert!(!reach.admits("evil.example", "10.1.2.3".parse()?));
/// assert!(!reach.admits("sso.corp.internal", "169.254.169.254".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reach {
    private: bool,
    hosts: BTreeSet<String>,
}

impl Reach {
    /// Admits every loopback and private address, over plain `http` too. For tests and for
    /// networks without the public internet: whoever names a URL then reaches what the gateway
    /// reaches.
    #[must_use]
    pub fn with_private_networks(mut self) -> Self {
        self.private = true;
        self
    }

    /// Admits a host, by its exact name, at a loopback or private address.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.insert(host.into().to_ascii_lowercase());
        self
    }

    /// Whether a connection to this host at this address may be made.
    pub fn admits(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let declared = || self.private || self.hosts.contains(&host.to_ascii_lowercase());
        is_public(address) || (is_private(address) && declared())
    }

    /// Whether requests may go out unencrypted: to private addresses only, where all are admitted.
    pub(crate) fn admits_plain(&self, address: IpAddr) -> bool {
        self.private && is_private(address.to_canonical())
    }

    /// The URL, if its form is one that may be asked.
    pub(crate) fn endpoint(&self, url: &str) -> Result<Endpoint, AddressError> {
        let wrong = |why| AddressError { url: brief(url), why };
        if url.len() > LONGEST {
            return Err(wrong("too long"));
        }
        if url.contains('#') {
            return Err(wrong("with a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("no URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.private => {}
            _ => return Err(wrong("not https")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("without a host"))?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong("with user information or without a host"));
        }
        if let Some(address) = literal(authority.host()) {
            let plain = uri.scheme_str() == Some("http");
            if !self.admits(authority.host(), address) || (plain && !self.admits_plain(address)) {
                return Err(wrong("at an address that is out of reach"));
            }
        }
        Ok(Endpoint { text: url.into(), uri })
    }
}

/// A URL that may not be asked.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is {why}")]
pub struct AddressError {
    /// Its beginning.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A URL of an allowed form, with its text as it was written: issuers and resources are compared
/// and sent byte for byte.
#[derive(Clone)]
pub(crate) struct Endpoint {
    text: Arc<str>,
    uri: Uri,
}

impl Endpoint {
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Scheme, host and port, without a path.
    pub(crate) fn origin(&self) -> String {
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}", self.uri.scheme_str().unwrap_or("https"))
    }

    /// The path without a slash at its end: empty for the root.
    pub(crate) fn path(&self) -> &str {
        self.uri.path().trim_end_matches('/')
    }

    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        let place = |uri: &Uri| {
            let port = uri.port_u16().or(match uri.scheme_str() {
                Some("https") => Some(443),
                _ => Some(80),
            });
            (
                uri.scheme_str().map(str::to_owned),
                uri.host().unwrap_or_default().to_ascii_lowercase(),
                port,
            )
        };
        place(&self.uri) == place(&other.uri)
    }

    /// Whether this resource is the other one or contains it: the same origin, and a path that is
    /// the other's or a whole number of its first segments.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let rest = other.path().strip_prefix(self.path());
        self.same_origin(other)
            && self.uri.query().is_none_or(|query| other.uri.query() == Some(query))
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// The beginning of a stranger's text, fit for a log line.
pub(crate) fn brief(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

/// The address that a host is, where it is not a name.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// Global unicast, by the IANA special-purpose registries (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // 2000::/3 without the protocol assignments (Teredo among them), documentation and 6to4,
    // which carry IPv4 addresses or lead nowhere.
    (0x2000..=0x3fff).contains(&a)
        && !matches!((a, b), (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff))
}

/// Loopback and private use: what a declared host may have.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_loopback() || address.is_private() || (a == 100 && (64..=127).contains(&b))
        }
        IpAddr::V6(address) => address.is_loopback() || address.segments()[0] & 0xfe00 == 0xfc00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_in_reach() {
        let reach = Reach::default();
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!reach.admits("any.example", inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(reach.admits("any.example", outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn link_local_is_out_of_reach_whatever_is_declared() {
        let reach = Reach::default().with_private_networks().with_host("metadata");
        for address in ["169.254.169.254", "fe80::1", "0.0.0.0"] {
            assert!(!reach.admits("metadata", address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_is_https_and_plain() {
        let reach = Reach::default();
        for url in [
            "http://as.example/",
            "ftp://as.example/",
            "//as.example/",
            "https://",
            "as.example",
            "https://user:pass@as.example/",
            "https://as.example/#x",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            assert!(reach.endpoint(url).is_err(), "{url}");
        }
        assert!(reach.endpoint("https://as.example/x?y=z").is_ok());
        let private = Reach::default().with_private_networks();
        assert!(private.endpoint("http://localhost:9/").is_ok());
        assert!(private.endpoint("http://127.0.0.1:9/").is_ok());
        assert!(private.endpoint("http://8.8.8.8/").is_err());
    }

    #[test]
    fn a_resource_covers_itself_and_what_is_under_it() {
        let reach = Reach::default();
        let covers = |one: &str, other: &str| {
            reach.endpoint(one).unwrap().covers(&reach.endpoint(other).unwrap())
        };
        assert!(covers("https://a.example/mcp", "https://a.example/mcp"));
        assert!(covers("https://a.example", "https://a.example/mcp"));
        assert!(covers("https://A.example:443/", "https://a.example/mcp"));
        assert!(covers("https://a.example/mcp/", "https://a.example/mcp"));
        assert!(!covers("https://a.example/mc", "https://a.example/mcp"));
        assert!(!covers("https://a.example/mcp", "https://a.example/"));
        assert!(!covers("https://evil.example/mcp", "https://a.example/mcp"));
        assert!(!covers("https://a.example:8443/mcp", "https://a.example/mcp"));
        assert!(!covers("https://a.example/mcp?tenant=1", "https://a.example/mcp?tenant=2"));
    }
}
