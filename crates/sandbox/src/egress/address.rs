//! Which addresses are nobody's on the internet.
//!
//! The ranges are those of the IANA special-purpose address registries (RFC 6890 and its
//! successors), and what clouds have put their metadata on. For IPv6 the rule is turned around:
//! what is not in `2000::/3`, the only block given out so far, is special.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that share the first bits of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    start: IpAddr,
    bits: u8,
}

impl Range {
    /// Reads CIDR form, strictly: `10.1.0.0/16`, `fd00::/8`, or one address.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let start: IpAddr = address
            .parse()
            .map_err(|_| "it is no IP network in CIDR form, such as 10.0.0.0/8".to_owned())?;
        if canonical(start) != start {
            return Err("an IPv4 address is written as such".to_owned());
        }
        let most = if start.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= most && !digits.starts_with('+'))
                .ok_or_else(|| format!("the prefix length is a number up to {most}"))?,
        };
        let range = Self { start, bits };
        if range.first() != start {
            return Err(format!(
                "it has bits set beyond its prefix; {}/{bits} is meant?",
                range.first()
            ));
        }
        Ok(range)
    }

    /// Whether an address lies within.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        match (self.start, address) {
            (IpAddr::V4(start), IpAddr::V4(address)) => within4(address, start, self.bits),
            (IpAddr::V6(start), IpAddr::V6(address)) => within6(address, start, self.bits),
            _ => false,
        }
    }

    fn first(&self) -> IpAddr {
        match self.start {
            IpAddr::V4(start) => Ipv4Addr::from_bits(start.to_bits() & mask4(self.bits)).into(),
            IpAddr::V6(start) => Ipv6Addr::from_bits(start.to_bits() & mask6(self.bits)).into(),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.bits)
    }
}

fn mask4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

fn within4(address: Ipv4Addr, start: Ipv4Addr, bits: u8) -> bool {
    (address.to_bits() ^ start.to_bits()) & mask4(bits) == 0
}

fn within6(address: Ipv6Addr, start: Ipv6Addr, bits: u8) -> bool {
    (address.to_bits() ^ start.to_bits()) & mask6(bits) == 0
}

/// The address that is really meant: an IPv4 address in IPv6 clothes (`::ffff:1.2.3.4`) is the
/// IPv4 address, which is also what the kernel connects to.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What an address is, if it is not an ordinary one of the internet.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match canonical(address) {
        IpAddr::V4(address) => special4(address),
        IpAddr::V6(address) => special6(address),
    }
}

/// Whether an address is no single machine's, so that nothing can allow it: to connect to
/// `0.0.0.0` is to connect to loopback.
pub(super) fn is_nobodys(address: IpAddr) -> bool {
    let address = canonical(address);
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_unspecified() || address.is_multicast() || broadcast
}

/// Narrow ranges stand before the wide ones that hold them.
const SPECIAL4: [([u8; 4], u8, &str); 19] = [
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 100, 100, 200], 32, "metadata"),
    ([100, 64, 0, 0], 10, "carrier's private"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "metadata"),
    ([169, 254, 169, 254], 32, "metadata"),
    ([169, 254, 170, 2], 32, "metadata"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 192], 32, "metadata"),
    ([192, 0, 0, 0], 24, "reserved"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "reserved"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 3, "multicast or reserved"),
];

const SPECIAL6: [([u16; 8], u8, &str); 11] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128, "metadata"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
    // Teredo, benchmarking, ORCHID and others of the IETF.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved"),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    // 6to4: an IPv4 address lies within, and a relay would unpack it.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "translated"),
];

/// What a translator (NAT64, RFC 6052) turns into the IPv4 address at its end.
const TRANSLATED: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// All that is given out to anybody.
const GLOBAL6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

fn special4(address: Ipv4Addr) -> Option<&'static str> {
    let found = SPECIAL4.iter().find(|(start, bits, _)| within4(address, (*start).into(), *bits));
    found.map(|(.., what)| *what)
}

fn special6(address: Ipv6Addr) -> Option<&'static str> {
    if within6(address, TRANSLATED, 96) {
        let [.., a, b, c, d] = address.octets();
        return special4(Ipv4Addr::new(a, b, c, d));
    }
    let found = SPECIAL6.iter().find(|(start, bits, _)| within6(address, (*start).into(), *bits));
    match found {
        Some((.., what)) => Some(what),
        None if within6(address, GLOBAL6, 3) => None,
        None => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_ordinary_ones() {
        let cases = [
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("10.255.0.1", Some("private")),
            ("11.0.0.1", None),
            ("100.63.255.255", None),
            ("100.64.0.1", Some("carrier's private")),
            ("100.100.100.200", Some("metadata")),
            ("100.127.255.255", Some("carrier's private")),
            ("100.128.0.0", None),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.254", Some("loopback")),
            ("168.63.129.16", Some("metadata")),
            ("169.254.169.254", Some("metadata")),
            ("169.254.1.1", Some("link-local")),
            ("172.15.255.255", None),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.0.0.192", Some("metadata")),
            ("192.0.2.1", Some("documentation")),
            ("192.168.1.1", Some("private")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.20.0.0", None),
            ("203.0.113.9", Some("documentation")),
            ("224.0.0.1", Some("multicast or reserved")),
            ("240.0.0.1", Some("multicast or reserved")),
            ("255.255.255.255", Some("multicast or reserved")),
            ("8.8.8.8", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::127.0.0.1", Some("reserved")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:a9fe:a9fe", Some("metadata")),
            ("::ffff:8.8.8.8", None),
            ("::ffff:0:127.0.0.1", Some("reserved")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("64:ff9b::a9fe:a9fe", Some("metadata")),
            ("64:ff9b::8.8.8.8", None),
            ("64:ff9b:1::8.8.8.8", Some("translated")),
            ("100::1", Some("reserved")),
            ("2001::1", Some("reserved")),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some("reserved")),
            ("2001:db8::1", Some("documentation")),
            ("2002:7f00:1::1", Some("6to4")),
            ("2606:4700::1111", None),
            ("2a00:1450:4001:81b::200e", None),
            ("3fff::1", Some("documentation")),
            ("4000::1", Some("reserved")),
            ("5f00::1", Some("reserved")),
            ("fc00::1", Some("private")),
            ("fd00:ec2::254", Some("metadata")),
            ("fd12::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("reserved")),
            ("ff02::1", Some("multicast")),
        ];
        for (address, what) in cases {
            assert_eq!(special(address.parse().unwrap()), what, "{address}");
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        for text in ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "0.0.0.0/0", "::/0", "10.1.2.3/32"] {
            assert!(Range::read(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.1/8",
            "010.0.0.0/8",
            "0x0a.0.0.0/8",
            "fd00::/129",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0",
            "example.com",
            " 10.0.0.0/8",
        ] {
            assert!(Range::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fc00::1", false),
            ("::/0", "2606::1", true),
        ];
        for (range, address, holds) in cases {
            let range = Range::read(range).unwrap();
            assert_eq!(range.holds(address.parse().unwrap()), holds, "{range} {address}");
        }
    }
}
