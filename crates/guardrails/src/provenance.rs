//! Which values stand in the person's own words.

use std::collections::HashSet;

use memchr::memmem;

use crate::literal;

/// Marks that people set around a word and that are not part of it.
const OPENING: &[char] = &['"', '\'', '`', '(', '[', '{', '<', '«', '„', '“', '‘', '*', '#'];
const CLOSING: &[char] = &[
    '"', '\'', '`', ')', ']', '}', '>', '»', '”', '’', '“', '*', '.', ',', ';', ':', '!', '?', '…',
];
/// Pairs of quotation marks.
const QUOTES: &[(char, char)] =
    &[('"', '"'), ('`', '`'), ('“', '”'), ('„', '“'), ('«', '»'), ('‘', '’'), ('\'', '\'')];
/// The longest text between quotation marks that counts as one value.
const LONGEST_QUOTE: usize = 200;

/// The values that stand in texts of the user and of the operator. A value that does is the
/// user's: whoever steers the model cannot have brought it in.
///
/// Chance does not count: short numbers and common words are never found.
///
/// ```
/// use doorward_guardrails::Provenance;
/// let said = Provenance::of(["Please mail the Q3 summary to Bob <bob@corp.com>, and pay 1,250.00."]);
/// assert!(said.holds("bob@CORP.com"));
/// assert!(said.holds("1250"));
/// assert!(!said.holds("eve@evil.com"));
/// // Part of a value is another value.
/// assert!(!said.holds("bob@corp.co"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    forms: HashSet<String>,
    /// The texts with single spaces, for phrases.
    texts: Vec<String>,
}

impl Provenance {
    /// Indexes texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut provenance = Self::default();
        for text in texts {
            provenance.add(text);
        }
        provenance
    }

    /// Whether a text value stands in them: as the same e-mail address, web address, IBAN, phone
    /// number, date, number, path, identifier or quoted text, as a phrase of two words or more,
    /// or as a list of such addresses.
    pub fn holds(&self, value: &str) -> bool {
        if literal::forms(value).iter().any(|form| self.forms.contains(form)) {
            return true;
        }
        self.holds_phrase(value) || self.holds_list(value)
    }

    /// Whether a JSON number, as written, stands in them.
    pub fn holds_number(&self, raw: &str) -> bool {
        literal::json_number(raw).is_some_and(|form| self.forms.contains(&form))
    }

    /// A list of addresses in one text, each of which must stand there.
    fn holds_list(&self, value: &str) -> bool {
        let mut pieces = value.split([',', ';']).map(str::trim).peekable();
        value.contains([',', ';'])
            && pieces.all(|piece| {
                piece.contains('@')
                    && literal::forms(piece)
                        .iter()
                        .any(|form| form.starts_with("e:") && self.forms.contains(form))
            })
    }

    fn holds_phrase(&self, value: &str) -> bool {
        let telling = |word: &&str| {
            word.chars().filter(|char| char.is_alphanumeric()).count() >= 2
                && !literal::is_common(word.trim_matches(|char: char| !char.is_alphanumeric()))
        };
        let phrase = single_spaced(value);
        let rare = phrase.split(' ').filter(telling).count() >= 2 && literal::stands_out(&phrase);
        if !rare || value.chars().any(char::is_control) {
            return false;
        }
        let finder = memmem::Finder::new(&phrase);
        self.texts.iter().any(|text| {
            finder.find_iter(text.as_bytes()).any(|at| stands_alone(text, at, at + phrase.len()))
        })
    }

    fn add(&mut self, text: &str) {
        let text = single_spaced(text);
        let words: Vec<&str> = text.split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            // Most words are words: nothing that is looked for is without any of these.
            if word.bytes().any(|byte| byte.is_ascii_digit() || b"@./_:\\~".contains(&byte)) {
                self.add_word(word);
            }
            let near = &words[at..words.len().min(at + 3)];
            if near.iter().any(|word| word.bytes().any(|byte| byte.is_ascii_digit())) {
                self.add_run(&words[at..]);
            }
        }
        self.add_phones(&text);
        self.add_quotes(&text);
        self.texts.push(text);
    }

    fn add_word(&mut self, word: &str) {
        let mut pieces = vec![bare(word)];
        if let Some((text, target)) = word.split_once("](") {
            pieces.extend([bare(text), bare(target)]);
        }
        if word.contains([',', ';']) && word.contains('@') {
            pieces.extend(word.split([',', ';']).map(bare));
        }
        for piece in pieces {
            let piece = piece.strip_prefix("mailto:").unwrap_or(piece);
            let piece =
                ["'s", "’s"].iter().find_map(|end| piece.strip_suffix(end)).unwrap_or(piece);
            let named = is_identifier(piece);
            let forms = literal::forms(piece);
            self.forms.extend(forms.into_iter().filter(|form| named || !form.starts_with("x:")));
        }
    }

    /// Values of several words: dates, IBANs.
    fn add_run(&mut self, words: &[&str]) {
        for length in 2..=3 {
            let Some(run) = words.get(..length) else { break };
            self.forms.extend(literal::date(bare(&run.join(" "))));
        }
        let first = bare(words[0]).as_bytes();
        let iban = first.len() >= 4
            && first[..2].iter().all(u8::is_ascii_alphabetic)
            && first[2..4].iter().all(u8::is_ascii_digit);
        if iban {
            for length in 2..=9 {
                let Some(run) = words.get(..length) else { break };
                self.forms.extend(literal::iban(bare(&run.join(" "))));
            }
        }
    }

    fn add_phones(&mut self, text: &str) {
        let part = |char: char| char.is_ascii_digit() || " -()".contains(char);
        for run in text.split(|char: char| !part(char) && char != '+') {
            if run.len() < 7 {
                continue;
            }
            for (at, piece) in run.split('+').enumerate() {
                let piece = piece.trim_matches([' ', '-']);
                let number = if at > 0 { format!("+{piece}") } else { piece.to_owned() };
                self.forms.extend(literal::phone(&number));
            }
        }
    }

    fn add_quotes(&mut self, text: &str) {
        for (open, close) in QUOTES {
            let mut rest = text;
            while let Some(start) = rest.find(*open) {
                let begins = rest[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
                let inner = &rest[start + open.len_utf8()..];
                let Some(end) = inner.find(*close) else { break };
                let after = &inner[end + close.len_utf8()..];
                let ends = after.chars().next().is_none_or(|c| !c.is_alphanumeric());
                if !begins || !ends {
                    rest = inner;
                    continue;
                }
                let quoted = inner[..end].trim();
                if quoted.len() <= LONGEST_QUOTE && literal::stands_out(quoted) {
                    self.forms.insert(literal::verbatim(quoted));
                }
                rest = after;
            }
        }
    }
}

fn single_spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced
}

/// A word without the marks around it.
fn bare(word: &str) -> &str {
    word.trim_start_matches(OPENING).trim_end_matches(CLOSING)
}

/// Whether a word is a name that somebody made up, not a word of a language: a path, or with
/// digits, dots or underscores in it.
fn is_identifier(word: &str) -> bool {
    let path = word.starts_with(['/', '~']) || word.starts_with("./") || word.contains(":\\");
    let inner = word.get(1..word.len().saturating_sub(1)).unwrap_or_default();
    path || word.chars().any(|char| char.is_ascii_digit()) || inner.contains(['_', '.', '/', '@'])
}

/// Whether the words from `start` to `end` are whole words, with nothing but marks around them.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return false };
    let before = before.rsplit(' ').next().unwrap_or_default();
    let after = after.split(' ').next().unwrap_or_default();
    before.trim_start_matches(OPENING).is_empty() && after.trim_end_matches(CLOSING).is_empty()
}

#[cfg(test)]
mod tests;
