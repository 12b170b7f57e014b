//! All values that stand in a text.

use std::collections::HashSet;

use crate::literal;

/// Marks that people set around a word and that are not part of it.
pub(super) const OPENING: &[char] =
    &['"', '\'', '`', '(', '[', '{', '<', '«', '„', '“', '‘', '*', '#'];
pub(super) const CLOSING: &[char] = &[
    '"', '\'', '`', ')', ']', '}', '>', '»', '”', '’', '“', '*', '.', ',', ';', ':', '!', '?', '…',
];
/// Pairs of quotation marks.
const QUOTES: &[(char, char)] =
    &[('"', '"'), ('`', '`'), ('“', '”'), ('„', '“'), ('«', '»'), ('‘', '’'), ('\'', '\'')];
/// Words before an amount.
const PAYING: &[&str] = &["pay", "send", "transfer", "wire", "amount", "refund", "donate", "remit"];
/// The longest text between quotation marks that counts as one value.
const LONGEST_QUOTE: usize = 200;

/// The canonical forms of the values in some texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    forms: HashSet<String>,
}

impl Index {
    pub(super) fn holds(&self, form: &str) -> bool {
        self.forms.contains(form)
    }

    /// Takes apart a text with single spaces.
    pub(super) fn add(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            // Most words are words: nothing that is looked for is without any of these.
            if word.bytes().any(|byte| byte.is_ascii_digit() || b"@./_:\\~".contains(&byte)) {
                self.add_word(word);
            }
            self.add_money(&words, at);
            let near = &words[at..words.len().min(at + 3)];
            if near.iter().any(|word| word.bytes().any(|byte| byte.is_ascii_digit())) {
                self.add_run(&words[at..]);
            }
        }
        self.add_phones(text);
        self.add_quotes(text);
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
            if named {
                self.forms.extend(literal::path(piece));
            }
            if piece.contains("://") || piece.starts_with("www.") {
                self.forms.extend(literal::host(piece));
            }
        }
    }

    /// A number with its currency beside it, or behind a word that moves money.
    fn add_money(&mut self, words: &[&str], at: usize) {
        let word = words[at];
        if !word.bytes().any(|byte| byte.is_ascii_digit()) {
            return;
        }
        let near = |place: Option<usize>| place.and_then(|at| words.get(at)).copied();
        let (before, after) = (near(at.checked_sub(1)), near(Some(at + 1)));
        let marked = word.contains(['$', '€', '£', '¥'])
            || literal::is_currency(word.trim_matches(|char: char| !char.is_ascii_alphabetic()))
            || after.is_some_and(|word| literal::is_currency(bare(word)))
            || before.is_some_and(|word| {
                let word = bare(word);
                literal::is_currency(word) || PAYING.contains(&word.to_ascii_lowercase().as_str())
            });
        if marked {
            self.forms.extend(literal::money(bare(word)));
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
