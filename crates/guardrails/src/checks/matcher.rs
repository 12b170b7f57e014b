//! Finds what rules describe, at one place of a text after the other.
//!
//! All rules of a check are one lazy automaton, walked from each place where a match could begin
//! until it is clear that none goes on. So it is known at any time whether what came so far can
//! still become a match, and nothing is decided that more text could change.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{RefUnwindSafe, UnwindSafe};

use doorward_core::Pattern;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input, MatchKind, PatternID};

use super::links;

/// The longest match that is looked for, in bytes. What a rule allows to be longer is taken out
/// from there on by its [`Tail`].
pub(super) const LONGEST: usize = 2048;

/// The most memory for the states of one automaton, in bytes.
const MOST_STATES: usize = 8 << 20;

/// One thing to look for.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Its name within the check.
    pub(super) id: Cow<'static, str>,
    /// What it looks like. Bytes, not Unicode: classes are those of ASCII.
    pub(super) regex: Cow<'static, str>,
    /// How many bytes of it tell nothing: a match that is cut off by something else than text may
    /// have shown so many.
    pub(super) safe: usize,
    /// What else must hold of it.
    pub(super) proof: Proof,
    /// Its checksum, where it has one that not all of its kind have.
    pub(super) sum: Option<fn(&str) -> bool>,
    /// Which part of the match is to be taken out.
    pub(super) part: fn(&str) -> Range<usize>,
    /// What goes on behind the longest match.
    pub(super) tail: Tail,
}

impl Rule {
    pub(super) const fn new(id: &'static str, regex: &'static str, safe: usize) -> Self {
        Self {
            id: Cow::Borrowed(id),
            regex: Cow::Borrowed(regex),
            safe,
            proof: Proof::None,
            sum: None,
            part: whole,
            tail: Tail::None,
        }
    }

    pub(super) const fn proved(mut self, proof: fn(&str) -> bool) -> Self {
        self.proof = Proof::Test(proof);
        self
    }

    pub(super) const fn summed(mut self, sum: fn(&str) -> bool) -> Self {
        self.sum = Some(sum);
        self
    }

    pub(super) const fn part(mut self, part: fn(&str) -> Range<usize>) -> Self {
        self.part = part;
        self
    }

    pub(super) const fn tail(mut self, tail: Tail) -> Self {
        self.tail = tail;
        self
    }
}

fn whole(text: &str) -> Range<usize> {
    0..text.len()
}

/// What must hold of a match beyond its looks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// A test of its own.
    Test(fn(&str) -> bool),
    /// It is an address that is not on the list.
    Link(links::Place),
}

/// What may go on behind a match, to be taken out with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    None,
    /// Where the longest match was reached: more of a token.
    Token,
    /// The body of a PEM block, to its end line (RFC 7468 §2).
    Pem,
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Sight {
    /// Nothing begins here.
    Nothing,
    /// Something may begin here: more text would tell.
    Open,
    /// Something on the list of what is allowed; it ends there.
    Allowed(usize),
    /// This.
    Match(Match),
}

/// A match.
#[derive(Debug)]
pub(super) struct Match {
    /// Which rule.
    pub(super) rule: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// What of it is to be taken out.
    pub(super) part: Range<usize>,
    /// What to put there, where the rule says so.
    pub(super) instead: Option<String>,
}

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// The rules of one check.
pub(super) struct Matcher {
    dfa: DFA,
    caches: Pool<Cache, MakeCache>,
    rules: Box<[Rule]>,
    /// Whether a match may begin with this byte: after no part of a word, and after one.
    first: Box<[[bool; 256]; 2]>,
    /// What is no finding.
    allow: Box<[Pattern]>,
    verify: bool,
}

/// Rules cannot be looked for.
#[derive(Debug)]
pub(super) struct Unfit {
    /// Which one, where it is one.
    pub(super) rule: Option<usize>,
    /// Why.
    pub(super) why: String,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

fn build(patterns: &[&str]) -> Result<DFA, String> {
    DFA::builder()
        .configure(
            DFA::config()
                .match_kind(MatchKind::All)
                .starts_for_each_pattern(true)
                .cache_capacity(MOST_STATES)
                .skip_cache_capacity_check(true),
        )
        .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
        .thompson(
            regex_automata::nfa::thompson::Config::new().utf8(false).nfa_size_limit(Some(4 << 20)),
        )
        .build_many(patterns)
        .map_err(|error| deepest(&error))
}

/// The innermost words of an error: the outer ones only say that there is one.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl Matcher {
    pub(super) fn new(rules: Vec<Rule>, allow: Vec<Pattern>, verify: bool) -> Result<Self, Unfit> {
        let patterns: Vec<&str> = rules.iter().map(|rule| &*rule.regex).collect();
        let dfa = build(&patterns).map_err(|why| {
            // Which of them is it?
            let alone = |pattern: &&str| build(&[pattern]).err();
            let mut numbered = patterns.iter().enumerate();
            match numbered.find_map(|(at, pattern)| Some((at, alone(pattern)?))) {
                Some((at, why)) => Unfit { rule: Some(at), why },
                None => Unfit { rule: None, why },
            }
        })?;
        if let Some(rule) = empty(&dfa).map_err(|why| Unfit { rule: None, why })? {
            let why = "it matches nothing at all".to_owned();
            return Err(Unfit { rule: Some(rule), why });
        }
        let first = firsts(&dfa).map_err(|why| Unfit { rule: None, why })?;
        let maker = dfa.clone();
        let make: MakeCache = Box::new(move || maker.create_cache());
        Ok(Self {
            dfa,
            caches: Pool::new(make),
            rules: rules.into(),
            first,
            allow: allow.into(),
            verify,
        })
    }

    pub(super) fn rule(&self, at: usize) -> Option<&Rule> {
        self.rules.get(at)
    }

    /// A walker, for as long as a text is looked at.
    pub(super) fn walker(&self) -> Walker<'_> {
        Walker { matcher: self, cache: self.caches.get(), ends: Vec::new() }
    }

    fn judge(&self, rule: &Rule, text: &str) -> Option<Ruling> {
        match rule.proof {
            Proof::None => {}
            Proof::Test(proof) if proof(text) => {}
            Proof::Test(_) => return None,
            Proof::Link(place) => return links::judge(place, text, &self.allow),
        }
        if let (true, Some(sum)) = (self.verify, rule.sum)
            && !sum(text)
        {
            return None;
        }
        let part = (rule.part)(text);
        let sought = text.get(part.clone())?;
        let allowed = self.allow.iter().any(|allowed| allowed.matches(sought));
        Some(if allowed { Ruling::Allowed } else { Ruling::Found { part, instead: None } })
    }
}

/// What a match is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It may stand there.
    Allowed,
    /// It is a finding.
    Found {
        /// What of it is to be taken out.
        part: Range<usize>,
        /// What to put there, where the rule says so.
        instead: Option<String>,
    },
}

/// The pattern that fits the empty text, if one does.
fn empty(dfa: &DFA) -> Result<Option<usize>, String> {
    let mut cache = dfa.create_cache();
    let input = Input::new("").anchored(Anchored::Yes);
    let start = dfa.start_state_forward(&mut cache, &input).map_err(|error| error.to_string())?;
    let end = dfa.next_eoi_state(&mut cache, start).map_err(|error| error.to_string())?;
    Ok(end.is_match().then(|| dfa.match_pattern(&cache, end, 0).as_usize()))
}

fn firsts(dfa: &DFA) -> Result<Box<[[bool; 256]; 2]>, String> {
    let mut cache = dfa.create_cache();
    let mut first = Box::new([[true; 256]; 2]);
    for (after, marks) in first.iter_mut().enumerate() {
        for (byte, mark) in (0..=u8::MAX).zip(marks.iter_mut()) {
            let text = [b'a', byte];
            let hay = if after == 1 { &text[..] } else { &text[1..] };
            let input = Input::new(hay).range(after..).anchored(Anchored::Yes);
            let start = dfa.start_state_forward(&mut cache, &input);
            let start = start.map_err(|error| error.to_string())?;
            let next = dfa.next_state(&mut cache, start, byte).map_err(|e| e.to_string())?;
            *mark = !next.is_dead();
        }
    }
    Ok(first)
}

/// Looks at places of texts with a matcher's rules.
pub(super) struct Walker<'m> {
    matcher: &'m Matcher,
    cache: regex_automata::util::pool::PoolGuard<'m, Cache, MakeCache>,
    /// The matches at one place: the rule, and where it ends.
    ends: Vec<(usize, usize)>,
}

impl Walker<'_> {
    /// The first place from `from` on where something may begin.
    pub(super) fn next(&self, text: &str, from: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut word =
            from.checked_sub(1).and_then(|at| bytes.get(at)).copied().is_some_and(is_word);
        for (at, &byte) in bytes.iter().enumerate().skip(from) {
            if self.matcher.first[usize::from(word)][usize::from(byte)] {
                // The middle of a character is no beginning.
                if text.is_char_boundary(at) {
                    return Some(at);
                }
            }
            word = is_word(byte);
        }
        None
    }

    /// What stands at a place; `whole` where nothing follows the text. An error: it cannot be
    /// said.
    pub(super) fn look(&mut self, text: &str, at: usize, whole: bool) -> Result<Sight, Lost> {
        self.ends.clear();
        if self.walk(text, at, Anchored::Yes, whole)? {
            return Ok(Sight::Open);
        }
        // The longest first; of equals, that of the first rule.
        self.ends.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        for &(number, end) in &self.ends {
            let end = text.ceil_char_boundary(end);
            let (Some(rule), Some(found)) = (self.matcher.rules.get(number), text.get(at..end))
            else {
                continue;
            };
            match self.matcher.judge(rule, found) {
                None => {}
                Some(Ruling::Allowed) => return Ok(Sight::Allowed(end)),
                Some(Ruling::Found { part, instead }) => {
                    let part = at + part.start..at + part.end;
                    return Ok(Sight::Match(Match { rule: number, end, part, instead }));
                }
            }
        }
        Ok(Sight::Nothing)
    }

    /// The rule that what stands there, and is cut off, has shown too much of.
    pub(super) fn shown(&mut self, text: &str, at: usize) -> Result<Option<usize>, Lost> {
        let length = text.len() - at;
        for number in 0..self.matcher.rules.len() {
            let id = PatternID::new(number).map_err(|_| Lost)?;
            self.ends.clear();
            let safe = self.matcher.rules.get(number).map_or(0, |rule| rule.safe);
            if length > safe && self.walk(text, at, Anchored::Pattern(id), false)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Walks from a place until no match goes on, noting where matches end. Whether it came to the
    /// end of the text first.
    fn walk(&mut self, text: &str, at: usize, from: Anchored, whole: bool) -> Result<bool, Lost> {
        let (dfa, bytes) = (&self.matcher.dfa, text.as_bytes());
        let cache = &mut *self.cache;
        let input = Input::new(bytes).range(at..).anchored(from);
        let mut state = dfa.start_state_forward(cache, &input).map_err(|_| Lost)?;
        let limit = at.saturating_add(LONGEST);
        for (end, &byte) in bytes.iter().enumerate().skip(at) {
            state = dfa.next_state(cache, state, byte).map_err(|_| Lost)?;
            if state.is_tagged() {
                if state.is_match() {
                    // Matches are told one byte late.
                    note(dfa, cache, state, end, &self.matcher.rules, &mut self.ends);
                } else if state.is_dead() {
                    return Ok(false);
                } else if state.is_quit() {
                    return Err(Lost);
                }
            }
            if end >= limit {
                return Ok(false);
            }
        }
        if !whole {
            return Ok(true);
        }
        state = dfa.next_eoi_state(cache, state).map_err(|_| Lost)?;
        if state.is_match() {
            note(dfa, cache, state, bytes.len(), &self.matcher.rules, &mut self.ends);
        }
        Ok(false)
    }
}

fn note(
    dfa: &DFA,
    cache: &Cache,
    state: regex_automata::hybrid::LazyStateID,
    end: usize,
    rules: &[Rule],
    ends: &mut Vec<(usize, usize)>,
) {
    for nth in 0..dfa.match_len(cache, state) {
        let number = dfa.match_pattern(cache, state, nth).as_usize();
        let tested = rules.get(number).is_some_and(|rule| matches!(rule.proof, Proof::Test(_)));
        // Where the longest match fails the test, a shorter one may pass it.
        let known = if tested { None } else { ends.iter_mut().find(|(known, _)| *known == number) };
        match known {
            Some((_, longest)) => *longest = end,
            None => ends.push((number, end)),
        }
    }
}

/// The automaton gave up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
