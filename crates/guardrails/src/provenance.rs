//! Which values stand in the person's own words.
//!
//! To take a text apart costs far more than to search it, and a call has few values. So a text is
//! only taken apart where a [`Needle`] of the value that is looked for was found in it.

use std::sync::OnceLock;

use memchr::memmem;

use crate::literal;

use index::{CLOSING, Index, OPENING};
use needle::Needle;

pub(crate) use asked::{Asked, plain_words};

mod asked;
mod index;
mod needle;

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
    /// The texts, with a line break after each.
    joined: String,
    texts: Vec<Text>,
    /// Where the person's own texts begin, behind those of the operator.
    spoken: usize,
    /// All of it in lower case, for words that are compared so.
    lower: OnceLock<String>,
    /// What stands in any of them, where more values are looked for than a search each is worth.
    all: OnceLock<Index>,
}

#[derive(Debug, Clone, Default)]
struct Text {
    start: usize,
    end: usize,
    /// With single spaces, for phrases.
    spaced: OnceLock<String>,
    index: OnceLock<Index>,
}

impl Text {
    fn spaced(&self, joined: &str) -> &str {
        self.spaced
            .get_or_init(|| single_spaced(joined.get(self.start..self.end).unwrap_or_default()))
    }

    fn index(&self, joined: &str) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            index.add(self.spaced(joined));
            index
        })
    }
}

impl Provenance {
    /// Takes in texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_both([], texts)
    }

    /// Takes in the operator's texts and the person's.
    pub(crate) fn of_both<'a>(
        system: impl IntoIterator<Item = &'a str>,
        user: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut provenance = Self::default();
        system.into_iter().for_each(|text| provenance.add(text));
        provenance.spoken = provenance.joined.len();
        user.into_iter().for_each(|text| provenance.add(text));
        provenance
    }

    fn add(&mut self, text: &str) {
        let start = self.joined.len();
        self.joined.push_str(text);
        let end = self.joined.len();
        self.joined.push('\n');
        self.texts.push(Text { start, end, ..Text::default() });
    }

    /// The texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().filter_map(|text| self.joined.get(text.start..text.end))
    }

    /// Takes all texts apart: many values will be looked for.
    pub(crate) fn expect_many(&self) {
        self.all.get_or_init(|| {
            let mut all = Index::default();
            self.texts.iter().for_each(|text| all.add(text.spaced(&self.joined)));
            all
        });
    }

    /// Whether a text value stands in them: as the same e-mail address, web address, IBAN, phone
    /// number, date, number, path, identifier or quoted text, as a phrase of two words or more,
    /// or as a list of such addresses.
    pub fn holds(&self, value: &str) -> bool {
        self.holds_text(value, &literal::forms(value))
    }

    /// Whether a JSON number, as written, stands in them.
    pub fn holds_number(&self, raw: &str) -> bool {
        literal::json_number(raw).is_some_and(|form| self.holds_form(&form))
    }

    /// [`holds`](Self::holds) with the value's canonical forms at hand.
    pub(crate) fn holds_text(&self, value: &str, forms: &[String]) -> bool {
        self.holds_any(forms) || self.holds_phrase(value) || self.holds_list(value)
    }

    pub(crate) fn holds_any(&self, forms: &[String]) -> bool {
        forms.iter().any(|form| self.holds_form(form))
    }

    fn holds_form(&self, form: &str) -> bool {
        match self.all.get() {
            Some(all) => all.holds(form),
            None => self.any_text(&Needle::of(form), |text| text.index(&self.joined).holds(form)),
        }
    }

    /// Whether this holds for any text that the needle is in.
    fn any_text(&self, needle: &Needle<'_>, holds: impl Fn(&Text) -> bool) -> bool {
        if self.all.get().is_some() {
            return self.texts.iter().any(holds);
        }
        let mut from = 0;
        while let Some(at) = needle.find(&self.joined, from) {
            let nth = self.texts.partition_point(|text| text.end <= at);
            let Some(text) = self.texts.get(nth) else { return false };
            if holds(text) {
                return true;
            }
            from = text.end;
        }
        false
    }

    /// A list of addresses in one text, each of which must stand there.
    fn holds_list(&self, value: &str) -> bool {
        let mut pieces = value.split([',', ';']).map(str::trim);
        value.contains([',', ';'])
            && pieces.all(|piece| {
                piece.contains('@')
                    && literal::forms(piece)
                        .iter()
                        .any(|form| form.starts_with("e:") && self.holds_form(form))
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
        self.any_text(&Needle::of_words(&phrase), |text| {
            let text = text.spaced(&self.joined);
            finder.find_iter(text.as_bytes()).any(|at| stands_alone(text, at, at + phrase.len()))
        })
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

/// Whether the words from `start` to `end` are whole words, with nothing but marks around them.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return false };
    let before = before.rsplit(' ').next().unwrap_or_default();
    let after = after.split(' ').next().unwrap_or_default();
    before.trim_start_matches(OPENING).is_empty() && after.trim_end_matches(CLOSING).is_empty()
}

#[cfg(test)]
mod tests;
