//! Characters that a person does not see and a model reads, or that make the two see different
//! things: tags, zero widths, direction overrides, runs of variation selectors.
//!
//! What scripts and emoji need stays: a joiner between letters that join or within an emoji, one
//! variation selector behind a character that has variants, the flags of regions, marks of
//! direction in text that has a direction to mark.

/// What kind of invisible character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// The tags block, U+E0000 to U+E007F: a whole alphabet that no screen shows.
    Tags,
    /// Direction overrides, embeddings, isolates and marks (UAX #9).
    Bidi,
    /// Zero widths, joiners, fillers and format controls.
    ZeroWidth,
    /// Variation selectors (UTS #37, Unicode 23.4).
    Variation,
}

impl Unseen {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Bidi => "bidi",
            Self::ZeroWidth => "zero_width",
            Self::Variation => "variation",
        }
    }
}

/// The flags of regions that are in use: England, Scotland, Wales, each behind a black flag.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
const BLACK_FLAG: char = '\u{1f3f4}';
const END_OF_TAGS: char = '\u{e007f}';

/// Takes invisible characters out of a text that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// The last character that was handed on.
    last: Option<char>,
    /// The last one that no selector chose a variant of.
    base: Option<char>,
    /// A character that what follows decides on.
    joiner: Option<char>,
    /// Tags behind a flag.
    flag: Option<String>,
    /// Whether the text has letters that run from right to left.
    leftward: bool,
}

impl Sieve {
    /// Whether nothing is kept back.
    pub(super) fn is_empty(&self) -> bool {
        self.joiner.is_none() && self.flag.is_none()
    }

    /// Takes a piece; appends what is visible of it and tells of the rest.
    pub(super) fn push(&mut self, piece: &str, out: &mut String, tell: &mut dyn FnMut(Unseen)) {
        if piece.is_ascii() && self.is_empty() {
            out.push_str(piece);
            if let Some(last) = piece.chars().next_back() {
                (self.last, self.base) = (Some(last), Some(last));
            }
            return;
        }
        for char in piece.chars() {
            self.take(char, out, tell);
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, out: &mut String, tell: &mut dyn FnMut(Unseen)) {
        self.end_flag(false, out, tell);
        if self.joiner.take().is_some() {
            tell(Unseen::ZeroWidth);
        }
        let _ = out;
        *self = Self { leftward: self.leftward, ..Self::default() };
    }

    fn take(&mut self, char: char, out: &mut String, tell: &mut dyn FnMut(Unseen)) {
        if let Some(flag) = &mut self.flag {
            match char {
                END_OF_TAGS => return self.end_flag(true, out, tell),
                '\u{e0020}'..='\u{e007e}' if flag.len() < 8 => {
                    let letter = u32::from(char) - 0xe0000;
                    flag.extend(char::from_u32(letter));
                    return;
                }
                _ => self.end_flag(false, out, tell),
            }
        }
        if let Some(joiner) = self.joiner.take() {
            if self.base.is_some_and(|base| joins(base, joiner, char)) {
                out.push(joiner);
                self.last = Some(joiner);
            } else {
                tell(Unseen::ZeroWidth);
            }
        }
        match unseen(char) {
            None => self.hand_on(char, out),
            Some(_) if char == '\u{200c}' || char == '\u{200d}' => self.joiner = Some(char),
            Some(Unseen::Variation) if self.varies(char) => {
                out.push(char);
                self.last = Some(char);
            }
            Some(Unseen::Bidi) if is_mark(char) && self.leftward => self.hand_on(char, out),
            Some(Unseen::ZeroWidth) if self.breaks(char) => self.hand_on(char, out),
            Some(Unseen::Tags) if self.last == Some(BLACK_FLAG) && char != END_OF_TAGS => {
                self.flag = Some(String::new());
                self.take(char, out, tell);
            }
            Some(kind) => tell(kind),
        }
    }

    fn hand_on(&mut self, char: char, out: &mut String) {
        self.leftward |= is_leftward(char);
        (self.last, self.base) = (Some(char), Some(char));
        out.push(char);
    }

    /// The tags behind a flag end: they stay if they are a flag.
    fn end_flag(&mut self, ended: bool, out: &mut String, tell: &mut dyn FnMut(Unseen)) {
        let Some(flag) = self.flag.take() else { return };
        if !ended || !FLAGS.contains(&flag.as_str()) {
            return tell(Unseen::Tags);
        }
        out.extend(flag.chars().filter_map(|char| char::from_u32(u32::from(char) + 0xe0000)));
        out.push(END_OF_TAGS);
        self.last = Some(END_OF_TAGS);
    }

    /// Whether a selector chooses a variant of the character before it, as the first one to do so.
    fn varies(&self, selector: char) -> bool {
        let Some(base) = self.last.filter(|last| Some(*last) == self.base) else { return false };
        match selector {
            '\u{fe0e}' | '\u{fe0f}' => is_pictorial(base) || matches!(base, '0'..='9' | '#' | '*'),
            '\u{fe00}'..='\u{fe0d}' => {
                is_ideograph(base)
                    || matches!(base, '\u{2200}'..='\u{22ff}' | '\u{1000}'..='\u{109f}')
            }
            '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(base, '\u{1800}'..='\u{18af}'),
            _ => is_ideograph(base),
        }
    }

    /// Whether it is a place to break a line, in a script without spaces.
    fn breaks(&self, char: char) -> bool {
        let scripts = |base| matches!(base, '\u{e00}'..='\u{fff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}');
        matches!(char, '\u{200b}' | '\u{2060}')
            && self.last == self.base
            && self.base.is_some_and(scripts)
    }
}

/// Whether a joiner has something to do between two characters.
fn joins(before: char, joiner: char, after: char) -> bool {
    let letters = is_joining(before) && is_joining(after);
    let emoji = joiner == '\u{200d}'
        && (is_pictorial(before) || is_modifier(before))
        && is_pictorial(after);
    letters || emoji
}

fn is_modifier(char: char) -> bool {
    matches!(char, '\u{1f3fb}'..='\u{1f3ff}')
}

/// What an emoji is made of.
fn is_pictorial(char: char) -> bool {
    matches!(
        char,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
            | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{24c2}'
            | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}'
            | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}'
    )
}

/// Scripts whose letters change with their neighbours: Arabic and its like, the scripts of India
/// and of South East Asia, Mongolian.
fn is_joining(char: char) -> bool {
    matches!(
        char,
        '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{fff}'
            | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{1b00}'..='\u{1bff}'
            | '\u{1cd0}'..='\u{1cff}' | '\u{a8e0}'..='\u{a8ff}' | '\u{a980}'..='\u{a9df}'
            | '\u{aa60}'..='\u{aa7f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{11000}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}'
    )
}

fn is_ideograph(char: char) -> bool {
    matches!(
        char,
        '\u{2e80}'..='\u{2fdf}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

fn is_leftward(char: char) -> bool {
    matches!(
        char,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    ) && char != '\u{61c}'
}

/// A mark of direction: it changes no more than where a dot stands.
fn is_mark(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Which kind of unseen character it is, if it is one.
fn unseen(char: char) -> Option<Unseen> {
    Some(match char {
        '\u{e0000}'..='\u{e007f}' => Unseen::Tags,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Unseen::Bidi
        }
        '\u{fe00}'..='\u{fe0f}'
        | '\u{e0100}'..='\u{e01ef}'
        | '\u{180b}'..='\u{180d}'
        | '\u{180f}' => Unseen::Variation,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => Unseen::ZeroWidth,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sieved(text: &str) -> (String, Vec<&'static str>) {
        let (mut sieve, mut out, mut told) = (Sieve::default(), String::new(), Vec::new());
        sieve.push(text, &mut out, &mut |kind| told.push(kind.id()));
        sieve.finish(&mut out, &mut |kind| told.push(kind.id()));
        told.dedup();
        (out, told)
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "plain",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}\u{200d}🔥 🏳\u{fe0f}\u{200d}🌈 👩🏽\u{200d}💻 1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "葛\u{e0100}",
            "שלום\u{200f}!",
            "ภาษา\u{200b}ไทย",
        ] {
            assert_eq!(sieved(text), (text.to_owned(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn what_nobody_sees_goes() {
        let hidden: String =
            "ignore".chars().filter_map(|c| char::from_u32(0xe0000 + c as u32)).collect();
        let selectors = "\u{fe0f}\u{e0100}\u{e0121}\u{e01ef}";
        for (text, seen, kinds) in [
            (format!("a{hidden}b"), "ab", vec!["tags"]),
            (format!("🏴{hidden}\u{e007f}b"), "🏴b", vec!["tags"]),
            (format!("🙂{selectors}b"), "🙂\u{fe0f}b", vec!["variation"]),
            ("pay\u{200b}pal \u{200d}x\u{feff}".to_owned(), "paypal x", vec!["zero_width"]),
            ("a\u{202e}cba\u{202c}\u{2066}".to_owned(), "acba", vec!["bidi"]),
            ("a\u{200f}b".to_owned(), "ab", vec!["bidi"]),
            ("AK\u{ad}IA".to_owned(), "AKIA", vec!["zero_width"]),
            ("x\u{200d}".to_owned(), "x", vec!["zero_width"]),
        ] {
            assert_eq!(sieved(&text), (seen.to_owned(), kinds), "{text:?}");
        }
    }
}
