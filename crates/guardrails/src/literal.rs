//! Values in a form in which equal ones are equal: e-mail addresses, web addresses, IBANs, phone
//! numbers, dates, numbers, identifiers.
//!
//! Letters are compared as they are. Look-alikes of another script, full-width forms and
//! percent-escapes never equal what the person wrote: nothing here decodes them.

use crate::contract::SinkKind;
use crate::json::canonical_number;

/// Below this many bits a value could be in a text by chance.
const LEAST_BITS: f32 = 20.0;

/// The longest value that is compared; a longer one is a text.
const LONGEST: usize = 512;

/// The canonical forms of one value; empty where it is too common to be compared.
pub(crate) fn forms(value: &str) -> Vec<String> {
    let value = value.trim_matches(' ');
    let mut forms = Vec::new();
    if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
        return forms;
    }
    forms.extend(email(value));
    forms.extend(url(value));
    forms.extend(site(value));
    forms.extend(iban(value));
    forms.extend(phone(value));
    forms.extend(date(value));
    forms.extend(number(value));
    if stands_out(value) {
        forms.push(verbatim(value));
    }
    forms
}

/// The canonical forms of a value of one kind; empty where it does not read as one.
pub(crate) fn forms_as(kind: SinkKind, value: &str) -> Vec<String> {
    let value = value.trim_matches(' ');
    if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
        return Vec::new();
    }
    let distinct = || stands_out(value).then(|| verbatim(value));
    match kind {
        SinkKind::Email => email(mailbox(value)).into_iter().collect(),
        SinkKind::Phone => phone(value).into_iter().collect(),
        SinkKind::Iban => iban(value).into_iter().collect(),
        SinkKind::Url => url(value).into_iter().chain(site(value)).collect(),
        SinkKind::Host => host(value).into_iter().collect(),
        SinkKind::Path => path(value).into_iter().collect(),
        SinkKind::Money => money(value).into_iter().chain(number(value)).collect(),
        SinkKind::Date => date(value).into_iter().collect(),
        SinkKind::Id | SinkKind::Name if is_address_or_day(value) => Vec::new(),
        SinkKind::Id => number(value).into_iter().chain(distinct()).collect(),
        SinkKind::Name | SinkKind::Text => distinct().into_iter().collect(),
    }
}

/// Whether it is no identifier and no name, though it could be one.
pub(crate) fn is_address_or_day(value: &str) -> bool {
    email(value).is_some()
        || value.contains("://")
        || date(value).is_some()
        || iban(value).is_some()
}

/// Whether a value of a result is one of this kind and can carry no message.
pub(crate) fn reads_as(kind: SinkKind, value: &str) -> bool {
    let value = value.trim();
    let of = |marks: &str| {
        value.chars().all(|char| char.is_ascii_alphanumeric() || marks.contains(char))
    };
    match kind {
        SinkKind::Id => (1..=64).contains(&value.len()) && of("-_:.@#+=/"),
        SinkKind::Date => {
            let digits = value.bytes().filter(u8::is_ascii_digit).count();
            let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
            date(value).is_some()
                || value.len() <= 40 && digits >= 2 && letters <= 5 && of(" -:.+/,")
        }
        SinkKind::Money => money(value).is_some() || json_number(value).is_some(),
        SinkKind::Name | SinkKind::Text => false,
        _ => !forms_as(kind, value).is_empty(),
    }
}

/// The address of `Name <address>` (RFC 5322 §3.4): a name in front says nothing.
fn mailbox(value: &str) -> &str {
    match value.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or(value).trim(),
        None => value,
    }
}

/// A host, bare or of a web address.
pub(crate) fn host(value: &str) -> Option<String> {
    let bare = match value.split_once("://") {
        Some((_, rest)) => authority(rest)?.0,
        None => value.trim_end_matches('.'),
    };
    (is_host(bare) && !bare.contains('@')).then(|| format!("h:{}", bare.to_ascii_lowercase()))
}

/// A path without `.` and doubled separators; none with `..`, for it may lead anywhere.
pub(crate) fn path(value: &str) -> Option<String> {
    if value.contains(char::is_whitespace) && !value.contains(['/', '\\']) {
        return None;
    }
    let rooted = if value.starts_with('/') { "/" } else { "" };
    let steps: Vec<&str> =
        value.split('/').filter(|step| !step.is_empty() && *step != ".").collect();
    let plain = !steps.is_empty() && !steps.contains(&"..") && !value.contains('\0');
    let path = format!("{rooted}{}", steps.join("/"));
    (plain && stands_out(&path)).then(|| format!("f:{path}"))
}

/// An amount of any size; what it is worth is for the currency beside it to say.
pub(crate) fn money(value: &str) -> Option<String> {
    let (sign, digits) = amount(value)?;
    let plain = plain_decimal(digits)?;
    Some(format!("m:{sign}{}", canonical_number(&plain)))
}

/// The form in which only the very same text is equal.
pub(crate) fn verbatim(value: &str) -> String {
    format!("x:{value}")
}

/// Whether a value is rare enough that its standing in a text is no chance.
pub(crate) fn stands_out(value: &str) -> bool {
    if is_common(value) || value.chars().all(|char| !char.is_alphanumeric()) {
        return false;
    }
    if value.chars().all(|char| char.is_ascii_digit()) {
        return value.len() >= 4;
    }
    let digits = value.chars().any(|char| char.is_ascii_digit());
    let words = value.split_whitespace().count() > 1;
    let bits: f32 = value.chars().map(|char| weight(char, digits, words)).sum();
    bits >= LEAST_BITS
}

/// How many bits a character adds: letters of sentences tell less than those of identifiers.
fn weight(char: char, among_digits: bool, among_words: bool) -> f32 {
    match char {
        '0'..='9' => 3.3,
        _ if char.is_alphabetic() && among_words => 2.0,
        _ if char.is_alphabetic() && among_digits => 4.7,
        _ if char.is_alphabetic() => 4.0,
        _ if char.is_whitespace() => 0.0,
        _ => 1.0,
    }
}

/// Words that stand in any text, and words that name everybody or everything.
pub(crate) fn is_common(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    COMMON.binary_search(&word.as_str()).is_ok()
}

/// Sorted.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "about", "above", "account", "action", "admin", "administrator", "after", "again", "all",
    "also", "always", "and", "anonymous", "any", "anybody", "anyone", "anything", "archive", "are",
    "attach", "because", "been", "before", "between", "body", "both", "but", "calendar", "can",
    "cancel", "channel", "confirm", "contact", "content", "could", "create", "date", "default",
    "delete", "deleted", "destroy", "disable", "does", "done", "draft", "each", "editor", "email",
    "enable", "enabled", "event", "every", "everybody", "everyone", "everything", "false", "file",
    "files", "first", "folder", "for", "from", "full", "general", "get", "give", "group", "guest",
    "guests", "has", "have", "hello", "help", "her", "here", "him", "his", "home", "how", "inbox",
    "internal", "into", "its", "just", "last", "like", "list", "mail", "main", "make", "master",
    "member", "members", "message", "messages", "more", "most", "move", "much", "must", "name",
    "need", "never", "new", "next", "none", "not", "nothing", "now", "null", "only", "open",
    "other", "our", "out", "over", "owner", "page", "password", "payment", "permanent", "please",
    "private", "project", "public", "publish", "random", "read", "reader", "recipient",
    "recipients", "remove", "report", "root", "same", "save", "search", "secret", "send", "sent",
    "shall", "share", "shared", "she", "should", "show", "some", "someone", "something", "spam",
    "status", "subject", "system", "team", "than", "thank", "thanks", "that", "the", "their",
    "them", "then", "there", "these", "they", "thing", "this", "those", "time", "title", "today",
    "token", "tomorrow", "transfer", "trash", "true", "two", "undefined", "under", "until",
    "update", "upload", "user", "username", "users", "very", "view", "viewer", "want", "was",
    "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "world",
    "would", "write", "writer", "yes", "yesterday", "you", "your",
];

fn email(value: &str) -> Option<String> {
    let (local, domain) = value.split_once('@')?;
    let local_fits = !local.is_empty()
        && local
            .chars()
            .all(|char| char.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(char));
    (local_fits && is_host(domain)).then(|| format!("e:{local}@{}", domain.to_ascii_lowercase()))
}

/// Labels of letters, digits and hyphens with at least one dot between.
fn is_host(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|char| char.is_alphanumeric() || char == '-')
        })
}

/// Scheme and host in lower case, without the scheme's own port, with a path.
fn url(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    let scheme_fits = scheme.starts_with(|char: char| char.is_ascii_alphabetic())
        && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
    let (host, port, tail) = authority(rest)?;
    let scheme = scheme.to_ascii_lowercase();
    let own = match scheme.as_str() {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    let port = if port == own { "" } else { port };
    scheme_fits.then(|| format!("u:{scheme}://{}{port}{tail}", host.to_ascii_lowercase()))
}

/// A web address as people write it: `www.` and no scheme. A full one has this form too if it is
/// on the web's own port; a bare `name.ending` has not, for that may be a file.
fn site(value: &str) -> Option<String> {
    let rest = match value.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => value,
    };
    let www = rest.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    let (host, port, tail) = authority(rest)?;
    (www && port.is_empty()).then(|| format!("w:{}{tail}", host.to_ascii_lowercase()))
}

/// Host, port with its colon, and the rest with a path. Nothing with credentials in it, and
/// nothing that readers of addresses are known to disagree on.
fn authority(rest: &str) -> Option<(&str, &str, String)> {
    if rest.chars().any(|char| char.is_whitespace() || char == '\\') {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    let port_fits = port.is_empty() || port[1..].parse::<u16>().is_ok();
    let plain = host == "localhost" || is_host(host);
    let tail = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
    (port_fits && plain).then_some((host, port, tail))
}

/// ISO 13616: country, check digits that hold, account; spaces do not count.
pub(crate) fn iban(value: &str) -> Option<String> {
    let text: String = value.chars().filter(|char| *char != ' ').collect();
    let text = text.to_ascii_uppercase();
    let bytes = text.as_bytes();
    let shaped = (15..=34).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit);
    if !shaped {
        return None;
    }
    let remainder = bytes[4..].iter().chain(&bytes[..4]).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (remainder == 1).then(|| format!("i:{text}"))
}

/// Seven to fifteen digits, a plus before them or not, with what people put between.
pub(crate) fn phone(value: &str) -> Option<String> {
    let (plus, rest) = match value.strip_prefix('+') {
        Some(rest) => ("+", rest),
        None => ("", value),
    };
    if !rest.chars().all(|char| char.is_ascii_digit() || " -()".contains(char)) {
        return None;
    }
    if date(value).is_some() {
        return None;
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    (7..=15).contains(&digits.len()).then(|| format!("p:{plus}{digits}"))
}

/// A number of at least four digits, in plain notation and without a fraction's last zeros.
/// Thousands may be set off by commas, or by dots where a comma begins the fraction.
pub(crate) fn number(value: &str) -> Option<String> {
    let (sign, digits) = amount(value)?;
    let plain = plain_decimal(digits)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = whole.trim_start_matches('0');
    let long = whole.len() + fraction.trim_end_matches('0').len() >= 4;
    long.then(|| format!("n:{sign}{}", canonical_number(&plain)))
}

/// Sign and digits, without a currency around them.
fn amount(value: &str) -> Option<(&'static str, &str)> {
    let bare = value.trim_matches(|char: char| "$€£¥ ".contains(char));
    let bare = CURRENCIES.iter().fold(bare, |rest, code| {
        rest.strip_prefix(code).or_else(|| rest.strip_suffix(code)).unwrap_or(rest).trim()
    });
    match bare.strip_prefix('-') {
        Some(digits) => Some(("-", digits)),
        None if bare.is_empty() => None,
        None => Some(("", bare)),
    }
}

/// Digits in plain notation: without the marks between thousands, with a dot before the fraction.
fn plain_decimal(digits: &str) -> Option<String> {
    if is_decimal(digits) {
        Some(digits.to_owned())
    } else if is_grouped(digits, ',', '.') {
        Some(digits.replace(',', ""))
    } else if digits.contains(',') && is_grouped(digits, '.', ',') {
        Some(digits.replace('.', "").replace(',', "."))
    } else {
        None
    }
}

/// Whether a word is a currency's code, sign or name.
pub(crate) fn is_currency(word: &str) -> bool {
    CURRENCIES.contains(&word)
        || matches!(word, "$" | "€" | "£" | "¥")
        || matches!(
            word.to_ascii_lowercase().as_str(),
            "dollar"
                | "dollars"
                | "bucks"
                | "euro"
                | "euros"
                | "pound"
                | "pounds"
                | "franc"
                | "francs"
                | "yen"
                | "cents"
        )
}

/// A JSON number, whatever its notation.
pub(crate) fn json_number(raw: &str) -> Option<String> {
    let Some((mantissa, exponent)) = raw.split_once(['e', 'E']) else { return number(raw) };
    let exponent: u32 = exponent.parse().ok().filter(|exponent| *exponent <= 30)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = usize::try_from(exponent).ok()?;
    let zeros = places.checked_sub(fraction.len())?;
    number(&format!("{whole}{fraction}{}", "0".repeat(zeros)))
}

/// The canonical forms of a JSON number for an argument of this kind.
pub(crate) fn number_forms(kind: Option<SinkKind>, raw: &str) -> Vec<String> {
    let plain = !raw.contains(['e', 'E']);
    let amount = matches!(kind, Some(SinkKind::Money)) && plain;
    let amount = amount.then(|| money(raw)).flatten();
    let number = matches!(kind, None | Some(SinkKind::Money | SinkKind::Id | SinkKind::Phone));
    let number = number.then(|| json_number(raw)).flatten();
    amount.into_iter().chain(number).collect()
}

const CURRENCIES: &[&str] =
    &["USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "INR", "CNY"];

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

fn is_grouped(text: &str, group: char, point: char) -> bool {
    let (whole, fraction) = text.split_once(point).unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(group);
    let first = groups.next().is_some_and(|first| first.len() <= 3 && digits(first));
    first && groups.all(|part| part.len() == 3 && digits(part)) && digits(fraction)
}

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A calendar day with its year, with or without the time of day: `2026-05-26`, `26.05.2026`,
/// `May 26, 2026`, `26 May 2026`, `2026-05-26T10:00:00Z`. What reads two ways has no such form.
pub(crate) fn date(value: &str) -> Option<String> {
    let (day, time) = match value.split_once(['T', ' ']) {
        Some((day, time)) if day.len() == 10 => (day, Some(time)),
        _ => (value, None),
    };
    let (year, month, day) =
        iso_day(day).or_else(|| dotted_day(day)).or_else(|| named_day(value))?;
    let fits =
        (1000..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits {
        return None;
    }
    let day = format!("d:{year:04}-{month:02}-{day:02}");
    match time {
        None => Some(day),
        Some(time) => clock(time).map(|time| format!("{day}T{time}")),
    }
}

fn iso_day(text: &str) -> Option<(u32, u32, u32)> {
    split_day(text, '-').filter(|_| text.len() == 10)
}

fn dotted_day(text: &str) -> Option<(u32, u32, u32)> {
    let (day, month, year) = split_day(text, '.')?;
    Some((year, month, day))
}

fn split_day(text: &str, between: char) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(between).map(|part| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    });
    let day = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(day)
}

fn named_day(text: &str) -> Option<(u32, u32, u32)> {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let (first, second, year) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || year.len() != 4 {
        return None;
    }
    let (month, day) =
        month(first).map(|m| (m, second)).or_else(|| Some((month(second)?, first)))?;
    let day = ["st", "nd", "rd", "th"].iter().find_map(|end| day.strip_suffix(end)).unwrap_or(day);
    Some((year.parse().ok()?, month, day.trim_end_matches('.').parse().ok()?))
}

/// How people write a day (`2026-05-26`) without its year, in lower case.
pub(crate) fn day_words(day: &str) -> Vec<String> {
    let mut parts = day.split('-').skip(1).map(str::parse::<usize>);
    let (Some(Ok(month)), Some(Ok(day))) = (parts.next(), parts.next()) else { return Vec::new() };
    let Some(name) = month.checked_sub(1).and_then(|at| MONTHS.get(at)) else { return Vec::new() };
    let ending = match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    let mut said = Vec::new();
    for month in [name, &name[..3]] {
        for day in [format!("{day}"), format!("{day}{ending}")] {
            said.extend([
                format!("{month} {day}"),
                format!("{day} {month}"),
                format!("{day} of {month}"),
                format!("{month} the {day}"),
            ]);
        }
    }
    said
}

/// How people write a time of day (`19:00`), in lower case.
pub(crate) fn time_words(time: &str) -> Vec<String> {
    let Some((hour, minute)) = time.split_once(':') else { return Vec::new() };
    let Ok(hour) = hour.parse::<u32>() else { return Vec::new() };
    let half = if hour < 12 { "am" } else { "pm" };
    let short = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut said = vec![time.to_owned(), format!("{hour}:{minute}")];
    for space in ["", " "] {
        said.push(format!("{short}:{minute}{space}{half}"));
        if minute == "00" {
            said.push(format!("{short}{space}{half}"));
        }
    }
    if time == "12:00" {
        said.push("noon".to_owned());
    }
    said
}

fn month(word: &str) -> Option<u32> {
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    let at =
        MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month[..3] == *word));
    at.and_then(|at| u32::try_from(at + 1).ok())
}

/// `10:00`, `10:00:00`, with `Z` or not.
fn clock(text: &str) -> Option<String> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let mut parts = text.split(':');
    let two = |part: Option<&str>| {
        part.filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
    };
    let (hour, minute) = (two(parts.next())?, two(parts.next())?);
    let exact = parts.next().is_none_or(|seconds| seconds == "00") && parts.next().is_none();
    exact.then(|| format!("{hour}:{minute}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_common_words_is_sorted() {
        assert!(COMMON.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn equal_values_have_an_equal_form() {
        for (a, b, equal) in [
            ("bob@Corp.COM", "bob@corp.com", true),
            ("Bob@corp.com", "bob@corp.com", false),
            ("HTTPS://Corp.com:443", "https://corp.com/", true),
            ("https://corp.com/a", "https://corp.com/a/", false),
            ("https://corp.com", "http://corp.com", false),
            ("www.corp.com", "https://www.corp.com/", true),
            ("DE89 3704 0044 0532 0130 00", "de89370400440532013000", true),
            ("DE88370400440532013000", "DE89370400440532013000", false),
            ("+49 (151) 234-5678", "+491512345678", true),
            ("1,234.50", "1234.5", true),
            ("1.234,50", "1234.5", true),
            ("$1,234", "1234.00", true),
            ("May 26, 2026", "2026-05-26", true),
            ("26.05.2026", "26th May 2026", true),
            ("2026-05-26T10:00:00Z", "2026-05-26 10:00", true),
            ("2026-05-26T10:00", "2026-05-26", false),
            ("05/06/2026", "2026-05-06", false),
            ("PROJ-1234", "proj-1234", false),
        ] {
            let (mine, theirs) = (forms(a), forms(b));
            assert_eq!(mine.iter().any(|form| theirs.contains(form)), equal, "{a} {b}");
        }
    }

    #[test]
    fn common_and_short_values_have_none() {
        for value in ["26", "999", "", "yes", "delete", "everyone", "ab", "1.5", "true", "12:30"] {
            assert_eq!(forms(value), Vec::<String>::new(), "{value}");
        }
    }
}
