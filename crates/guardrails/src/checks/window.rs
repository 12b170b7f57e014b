//! A text that arrives in pieces, looked at as if it were whole.
//!
//! What is handed on is what a look at the whole text would hand on, whatever the pieces: a piece
//! is kept back from the first place on where something may begin that more text would decide.
//! That is at most [`LONGEST`] bytes and a character.

use std::ops::Range;

use super::matcher::{LONGEST, Lost, Match, Matcher, Rule, Sight, Tail, Walker};

/// The most of a key's body that is taken out without its end being seen, in bytes.
const LONGEST_PEM: usize = 64 << 10;

/// What becomes of a finding: the text to put there.
pub(super) trait Edit {
    /// The text to put in the place of `found`; `None` to go no further.
    fn edit(&mut self, rule: &Rule, found: &str, instead: Option<String>) -> Option<String>;
}

/// Why a window went no further.
#[derive(Debug, Clone, Copy)]
pub(super) enum Halt {
    /// The editor would not.
    Refused,
    /// It cannot be said what the text holds.
    Lost,
}

impl From<Lost> for Halt {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// What is known of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may.
    Open,
    /// Nothing.
    Whole,
    /// Something else; more may follow that.
    Cut,
}

/// The window over one text.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// What is kept back, after what was handed on last: the character that it stands behind.
    text: String,
    /// Where what is not decided on yet begins.
    at: usize,
    /// Up to where it was handed on: beyond `at` where something else came between.
    shown: usize,
    /// What is being taken out.
    taking: Option<Taking>,
}

/// More of a match than was looked at.
#[derive(Debug)]
struct Taking {
    tail: Tail,
    left: usize,
    /// The last bytes that were taken out.
    last: Vec<u8>,
}

impl Window {
    /// Whether anything is kept back.
    pub(super) fn is_empty(&self) -> bool {
        self.at.max(self.shown) == self.text.len()
    }

    /// Takes a piece; appends what can be handed on.
    pub(super) fn push(
        &mut self,
        matcher: &Matcher,
        piece: &str,
        edit: &mut dyn Edit,
        out: &mut String,
    ) -> Result<(), Halt> {
        self.text.push_str(piece);
        self.run(&mut matcher.walker(), matcher, End::Open, edit, out)
    }

    /// Nothing follows: appends the rest.
    pub(super) fn finish(
        &mut self,
        matcher: &Matcher,
        edit: &mut dyn Edit,
        out: &mut String,
    ) -> Result<(), Halt> {
        let done = self.run(&mut matcher.walker(), matcher, End::Whole, edit, out);
        *self = Self::default();
        done
    }

    /// Something else comes between: the rest must go on now. Where it may be the beginning of a
    /// match, and shows more than is safe, it is taken for one; where it shows less, it goes on and
    /// is remembered, so that what follows is known for the rest of one.
    pub(super) fn interrupt(
        &mut self,
        matcher: &Matcher,
        edit: &mut dyn Edit,
        out: &mut String,
    ) -> Result<(), Halt> {
        self.run(&mut matcher.walker(), matcher, End::Cut, edit, out)
    }

    /// Hands on what is kept back, as it is.
    pub(super) fn release(&mut self, out: &mut String) {
        self.show(self.at..self.text.len(), out);
        *self = Self::default();
    }

    /// Hands a part of the text on, as far as it was not yet.
    fn show(&self, part: Range<usize>, out: &mut String) {
        out.push_str(self.text.get(part.start.max(self.shown)..part.end).unwrap_or_default());
    }

    fn run(
        &mut self,
        walker: &mut Walker<'_>,
        matcher: &Matcher,
        end: End,
        edit: &mut dyn Edit,
        out: &mut String,
    ) -> Result<(), Halt> {
        // From here to `at` the text goes on as it is.
        let mut from = self.at;
        // The first place where something may begin, at a cut.
        let mut open = None;
        loop {
            if self.take() {
                break;
            }
            let Some(next) = walker.next(&self.text, self.at) else {
                self.show(from..self.text.len(), out);
                self.at = self.text.len();
                break;
            };
            self.at = next;
            let sight = match walker.look(&self.text, next, end != End::Open) {
                Ok(sight) => sight,
                Err(lost) => {
                    self.at = from;
                    return Err(lost.into());
                }
            };
            match sight {
                Sight::Nothing => {
                    if end == End::Cut && open.is_none() {
                        open = self.open(walker, next)?;
                    }
                    if let Some(rule) = self.exposed(walker, matcher, end)? {
                        self.show(from..next, out);
                        let rest = self.text.get(next..).unwrap_or_default();
                        out.push_str(&edit.edit(rule, rest, None).ok_or(Halt::Refused)?);
                        self.taking = Some(Taking::of(Tail::Token));
                        self.at = self.text.len();
                        open = None;
                        break;
                    }
                    self.at = self.text.ceil_char_boundary(next + 1);
                }
                Sight::Allowed(end) => (self.at, open) = (end, None),
                Sight::Open => {
                    self.show(from..next, out);
                    break;
                }
                Sight::Match(found) => {
                    let Some(rule) = matcher.rule(found.rule) else { return Err(Halt::Lost) };
                    self.show(from..found.part.start, out);
                    self.replace(rule, found, edit, out)?;
                    (from, open) = (self.at, None);
                }
            }
        }
        self.shown = match end {
            End::Cut => self.text.len(),
            End::Open | End::Whole => self.shown.max(self.at),
        };
        self.at = open.unwrap_or(self.at);
        self.trim();
        Ok(())
    }

    /// Takes out more of the last match. Whether that is all there is.
    fn take(&mut self) -> bool {
        let Some(taking) = &mut self.taking else { return false };
        let bytes = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let taken = taking.take(bytes);
        if taken == bytes.len() {
            self.at = self.text.len();
            return true;
        }
        self.at = self.text.ceil_char_boundary(self.at + taken);
        self.shown = self.shown.max(self.at);
        self.taking = None;
        false
    }

    /// The place, where more text would tell whether something begins there.
    fn open(&self, walker: &mut Walker<'_>, at: usize) -> Result<Option<usize>, Halt> {
        Ok(matches!(walker.look(&self.text, at, false)?, Sight::Open).then_some(at))
    }

    /// The rule that what is cut off here would show too much of.
    fn exposed<'m>(
        &self,
        walker: &mut Walker<'_>,
        matcher: &'m Matcher,
        end: End,
    ) -> Result<Option<&'m Rule>, Halt> {
        if end != End::Cut {
            return Ok(None);
        }
        Ok(walker.shown(&self.text, self.at)?.and_then(|number| matcher.rule(number)))
    }

    fn replace(
        &mut self,
        rule: &Rule,
        found: Match,
        edit: &mut dyn Edit,
        out: &mut String,
    ) -> Result<(), Halt> {
        let Match { end, part, instead, .. } = found;
        let sought = self.text.get(part.clone()).unwrap_or_default();
        out.push_str(&edit.edit(rule, sought, instead).ok_or(Halt::Refused)?);
        self.show(part.end..end, out);
        let longest = end - self.at >= LONGEST;
        if rule.tail == Tail::Pem || (rule.tail == Tail::Token && longest) {
            self.taking = Some(Taking::of(rule.tail));
        }
        self.at = end;
        Ok(())
    }

    /// Forgets what was handed on, but for the last character.
    fn trim(&mut self) {
        let before = self.at.saturating_sub(1);
        let keep = self.text.floor_char_boundary(before);
        self.text.drain(..keep);
        self.at -= keep;
        self.shown = self.shown.saturating_sub(keep);
    }
}

impl Taking {
    fn of(tail: Tail) -> Self {
        let left = if tail == Tail::Pem { LONGEST_PEM } else { usize::MAX };
        Self { tail, left, last: Vec::new() }
    }

    /// How many of these bytes belong to it: all of them, unless it ends among them.
    fn take(&mut self, bytes: &[u8]) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            if !self.takes(byte) {
                return at;
            }
        }
        bytes.len()
    }

    fn takes(&mut self, byte: u8) -> bool {
        if self.tail == Tail::Token {
            return byte.is_ascii_alphanumeric() || b"_-+/=.~%".contains(&byte);
        }
        let body = byte.is_ascii_alphanumeric() || b"+/=\\:,.- \r\n\t".contains(&byte);
        if !body || self.left == 0 || is_end_line(&self.last) {
            return false;
        }
        self.left -= 1;
        if self.last.len() == 160 {
            self.last.drain(..80);
        }
        self.last.push(byte);
        true
    }
}

/// Whether a PEM block's end line has just ended.
fn is_end_line(last: &[u8]) -> bool {
    const END: &[u8] = b"-----END ";
    let Some(before) = last.strip_suffix(b"-----") else { return false };
    let from = before.len().saturating_sub(80);
    before[from..].windows(END.len()).any(|part| part == END)
}
