//! Where a program may go: hosts by name, and addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Range, canonical, is_nobodys, special};
use crate::{Egress, SpawnError};

/// The ports of a rule that names none.
const USUAL_PORTS: [u16; 2] = [443, 80];

/// The longest name there is (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;

/// A host, in the one spelling by which it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    /// Never an IPv4 address in IPv6 clothes.
    Address(IpAddr),
}

impl Host {
    /// Reads `host` or `host:port`. What one program takes for a name and another for a number
    /// (`127.1`, `0x7f.1`, `2130706433`, `017700000001`) is refused rather than guessed at.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<(Self, Option<u16>), &'static str> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
            // Scopes (`fe80::1%eth0`) are not read by this.
            let address: Ipv6Addr =
                inner.parse().map_err(|_| "what stands in brackets is no IPv6 address")?;
            let port = match rest {
                "" => None,
                rest => Some(port(rest.strip_prefix(':').ok_or("text after the bracket")?)?),
            };
            return Ok((Self::Address(canonical(address.into())), port));
        }
        let (host, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address stands in brackets");
            }
            Some((host, digits)) => (host, Some(port(digits)?)),
            None => (text, None),
        };
        Ok((Self::named(host)?, port))
    }

    fn named(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        name(text).map(Self::Name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn port(digits: &str) -> Result<u16, &'static str> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| plain && *port != 0);
    port.ok_or("the port is no number from 1 to 65535")
}

/// A host name in lower case: letters, digits, hyphens, and the underscore that some have.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err("it is empty or too long for a host name");
    }
    if !text.is_ascii() {
        return Err("a name beyond ASCII is written in its `xn--` form");
    }
    for label in text.split('.') {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if label.is_empty() || label.len() > 63 || !label.bytes().all(plain) {
            return Err("it is no host name");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("no part of a host name begins or ends with a hyphen");
        }
    }
    // The URL standard reads a name whose last part is a number as an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.len() >= 2 && last.as_bytes()[..2].eq_ignore_ascii_case(b"0x");
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("an IPv4 address is four decimal numbers without leading zeros");
    }
    Ok(text.to_ascii_lowercase())
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    One(Host),
    /// Every name that ends so; begins with a dot.
    Below(String),
}

impl Rule {
    fn read(text: &str) -> Result<Self, &'static str> {
        let (text, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err("a star stands at the beginning and before a dot: `*.example.com`");
        }
        if text.contains(['/', '@']) {
            return Err("it is a host with or without a port, not a URL");
        }
        let (host, port) = Host::read(text)?;
        let host = match (host, below) {
            (Host::Name(name), true) => Pattern::Below(format!(".{name}")),
            (Host::Address(_), true) => return Err("an address has nothing below it"),
            (host, false) => Pattern::One(host),
        };
        Ok(Self { host, port })
    }

    fn admits(&self, host: &Host, port: u16) -> bool {
        let named = match (&self.host, host) {
            (Pattern::One(one), host) => one == host,
            (Pattern::Below(end), Host::Name(name)) => {
                name.len() > end.len() && name.ends_with(end.as_str())
            }
            (Pattern::Below(_), Host::Address(_)) => false,
        };
        named && self.port.map_or_else(|| USUAL_PORTS.contains(&port), |own| own == port)
    }
}

/// Where one program may go.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    rules: Vec<Rule>,
    private: Vec<Range>,
}

impl Policy {
    /// Reads a spec's lists.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Egress`] names the entry that cannot be used.
    pub(crate) fn read(egress: &Egress) -> Result<Self, SpawnError> {
        let refuse =
            |rule: &String, reason: String| SpawnError::Egress { rule: rule.clone(), reason };
        let private: Vec<Range> = egress
            .private
            .iter()
            .map(|text| Range::read(text).map_err(|reason| refuse(text, reason)))
            .collect::<Result<_, _>>()?;
        let rules = egress
            .hosts
            .iter()
            .map(|text| Rule::read(text).map_err(|reason| refuse(text, reason.to_owned())))
            .collect::<Result<_, _>>()?;
        let policy = Self { rules, private };
        // A rule that could never let anything through is a mistake.
        for (text, rule) in egress.hosts.iter().zip(&policy.rules) {
            if let Pattern::One(Host::Address(address)) = rule.host
                && let Err(what) = policy.judge(address)
            {
                let reason = format!("it is a {what} address, which `private` does not hold");
                return Err(refuse(text, reason));
            }
        }
        Ok(policy)
    }

    /// Whether a rule names this host with this port.
    pub(super) fn admits(&self, host: &Host, port: u16) -> bool {
        self.rules.iter().any(|rule| rule.admits(host, port))
    }

    /// Whether this address may be connected to, wherever it came from; or what it is.
    pub(super) fn judge(&self, address: IpAddr) -> Result<(), &'static str> {
        let address = canonical(address);
        match special(address) {
            None => Ok(()),
            Some(what) if is_nobodys(address) => Err(what),
            Some(_) if self.private.iter().any(|range| range.holds(address)) => Ok(()),
            Some(what) => Err(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str], private: &[&str]) -> Result<Policy, SpawnError> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Policy::read(&Egress { hosts: owned(hosts), private: owned(private) })
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        for rule in [
            "",
            "*",
            "*.",
            "**.example.com",
            "a.*.com",
            "*example.com",
            "https://example.com",
            "example.com/path",
            "user@example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:+80",
            "example.com:http",
            "example..com",
            ".",
            ".example.com",
            "-a.example.com",
            "ex ample.com",
            "bücher.example",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.01",
            "1.2.3.4.5",
            "*.1.2.3.4",
            "::1",
            "[::1",
            "[::1]80",
            "[fe80::1%eth0]",
            "[1.2.3.4]",
            "127.0.0.1",
            "[::1]:80",
            "169.254.169.254",
            "[::ffff:127.0.0.1]:80",
            "example.com:80:80",
            "a.0x10",
        ] {
            match policy(&["ok.example", rule], &[]) {
                Err(SpawnError::Egress { rule: named, .. }) => assert_eq!(named, rule),
                other => panic!("{rule}: {other:?}"),
            }
        }
        assert!(matches!(policy(&[], &["10.0.0.1/8"]), Err(SpawnError::Egress { .. })));
        assert!(policy(&["127.0.0.1:8080"], &["127.0.0.0/8"]).is_ok());
        // Nothing makes the unspecified address a place to go.
        assert!(policy(&["0.0.0.0"], &["0.0.0.0/0"]).is_err());
    }

    #[test]
    fn a_rule_admits_its_host_and_ports_and_no_other() {
        let hosts = ["Api.Example.com.", "*.pages.example", "one.example:8443", "93.184.216.34"];
        let policy = policy(&hosts, &[]).unwrap();
        let cases = [
            ("api.example.com:443", true),
            ("API.EXAMPLE.COM.:80", true),
            ("api.example.com:8080", false),
            ("api.example.com:22", false),
            ("example.com:443", false),
            ("x.api.example.com:443", false),
            ("api.example.com.evil.example:443", false),
            ("evilapi.example.com:443", false),
            ("pages.example:443", false),
            ("a.pages.example:443", true),
            ("a.b.pages.example:443", true),
            ("evilpages.example:443", false),
            ("one.example:8443", true),
            ("one.example:443", false),
            ("93.184.216.34:443", true),
            ("[::ffff:93.184.216.34]:443", true),
            ("93.184.216.35:443", false),
        ];
        for (target, admitted) in cases {
            let (host, port) = Host::read(target).unwrap();
            assert_eq!(policy.admits(&host, port.unwrap()), admitted, "{target}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_understood_or_refused() {
        let loopback = Host::Address(Ipv4Addr::LOCALHOST.into());
        for text in ["127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]"] {
            assert_eq!(Host::read(text).unwrap().0, loopback, "{text}");
        }
        for text in [
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.0x1",
            "127.0.0.1..",
            "１２７.0.0.1",
            "127。0。0。1",
            "[::1%lo]",
            "[::1%25lo]",
            "[127.0.0.1]",
            "127.0.0.1%00",
            "%31%32%37.0.0.1",
            "0X7F000001",
        ] {
            assert!(Host::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_judged_whatever_led_to_it() {
        let open = policy(&["*.example"], &["10.1.0.0/16", "127.0.0.1", "fd00::/8"]).unwrap();
        let cases = [
            ("8.8.8.8", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("169.254.169.254", false),
            ("fd00:ec2::254", true),
            ("fc00::1", false),
            ("64:ff9b::10.1.2.3", false),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
        ];
        for (address, admitted) in cases {
            assert_eq!(open.judge(address.parse().unwrap()).is_ok(), admitted, "{address}");
        }
    }
}
