//! Secrets taken out of results before a model or a client sees them.
//!
//! A result is JSON text and stays it: only what stands inside string values changes, each secret
//! for `[redacted:kind]`; all other bytes stay as the server wrote them. The table knows the
//! formats that vendors print; it cannot know a secret that looks like nothing in particular.
//!
//! ```
//! use doorward_mcp_broker::redact::Redaction;
//! let redaction = Redaction::new([])?;
//! let result = r#"{"content":[{"type":"text","text":"key: AKIAIOSFODNN7EXAMPLE"}]}"#;
//! let redacted = redaction.redact(result);
//! assert_eq!(redacted.json, result.replace("AKIAIOSFODNN7EXAMPLE", "[redacted:aws_access_key]"));
//! assert_eq!(redacted.counts["aws_access_key"], 1);
//! # Ok::<(), doorward_mcp_broker::redact::RedactError>(())
//! ```

mod strings;
mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use doorward_core::ToolReply;
use regex::{Regex, RegexBuilder};
use serde_json::value::RawValue;

use strings::{Decoded, Strings};

/// The most memory one compiled pattern may take, in bytes.
const LARGEST_PATTERN: usize = 4 << 20;

/// Why an own rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// Its kind is not 1 to 40 of `a-z 0-9 _ -`.
    #[error("{0:?} is no name of a kind of secret: use a-z, 0-9, _ and -")]
    Kind(String),
    /// Its pattern is no regular expression, or too large.
    #[error("the pattern of {kind} cannot be used: {reason}")]
    Pattern {
        /// The rule's kind.
        kind: String,
        /// What is wrong.
        reason: String,
    },
}

/// The rules, compiled.
pub struct Redaction {
    rules: Vec<Rule>,
}

struct Rule {
    kind: Arc<str>,
    /// One of these stands in every match; empty where nothing is known.
    needles: &'static [&'static str],
    regex: Regex,
    /// Whether a match must look like a value and not like a word.
    is_generic: bool,
}

/// A result without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The JSON; the same text where nothing was found.
    pub json: Cow<'a, str>,
    /// How many secrets of each kind were taken out.
    pub counts: BTreeMap<Arc<str>, usize>,
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.rules.iter().map(|rule| &rule.kind).collect();
        f.debug_struct("Redaction").field("kinds", &kinds).finish()
    }
}

impl Redaction {
    /// The table of well-known formats, and rules of one's own: a kind and a regular expression
    /// each. Where the expression has a group called `s`, that is the secret, else all it matches.
    ///
    /// # Errors
    ///
    /// Where an own rule has no proper kind or pattern.
    pub fn new<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, RedactError> {
        let known =
            table::RULES.iter().map(|row| (row.kind, row.pattern, row.needles, row.is_generic));
        let own = own.into_iter().map(|(kind, pattern)| (kind, pattern, &[] as &[_], false));
        let rules = known.chain(own).map(|(kind, pattern, needles, is_generic)| {
            let is_legal = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
            };
            if !(1..=40).contains(&kind.len()) || !kind.bytes().all(is_legal) {
                return Err(RedactError::Kind(kind.to_owned()));
            }
            let regex = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build();
            let wrong = |error: regex::Error| RedactError::Pattern {
                kind: kind.to_owned(),
                reason: error.to_string(),
            };
            Ok(Rule { kind: kind.into(), needles, regex: regex.map_err(wrong)?, is_generic })
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Takes the secrets out of some JSON. A member whose name says that it is a secret
    /// (`password`, `client_secret`, …) loses its whole text.
    pub fn redact<'a>(&self, json: &'a str) -> Redacted<'a> {
        let rules = self.at_hand(json);
        let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut out = String::new();
        let mut copied = 0;
        for string in Strings::of(json) {
            let raw = &json[string.span.clone()];
            let decoded = Decoded::of(raw);
            let found = match string.member {
                Some(name) if !decoded.text.is_empty() && table::is_secret_name(&name) => {
                    vec![(0..decoded.text.len(), table::NAMED)]
                }
                _ => secrets(&rules, &decoded.text),
            };
            for (range, kind) in found {
                let raw = decoded.raw(&range);
                out.push_str(&json[copied..string.span.start + raw.start]);
                out.push_str("[redacted:");
                out.push_str(kind);
                out.push(']');
                copied = string.span.start + raw.end;
                *counts.entry(kind.into()).or_default() += 1;
            }
        }
        if counts.is_empty() {
            return Redacted { json: Cow::Borrowed(json), counts };
        }
        out.push_str(&json[copied..]);
        Redacted { json: Cow::Owned(out), counts }
    }

    /// Takes the secrets out of a tool's reply; how many of each kind there were.
    pub fn redact_reply(&self, reply: ToolReply) -> (ToolReply, BTreeMap<Arc<str>, usize>) {
        let Redacted { json, counts } = self.redact(reply.result.get());
        let Cow::Owned(json) = json else { return (reply, counts) };
        match RawValue::from_string(json) {
            Ok(result) => (ToolReply { result, ..reply }, counts),
            // Cannot be: what is put in holds nothing that JSON escapes. Rather nothing than all.
            Err(_) => {
                (ToolReply::error("the result held secrets that could not be taken out"), counts)
            }
        }
    }

    /// The rules that can match anywhere in the text. Escapes may hide a letter, so then all can.
    fn at_hand(&self, json: &str) -> Vec<&Rule> {
        let is_hiding = crate::edit::mentions(json, r"\u00") || crate::edit::mentions(json, r"\/");
        let can = |rule: &&Rule| {
            is_hiding
                || rule.needles.is_empty()
                || rule.needles.iter().any(|needle| crate::edit::mentions(json, needle))
        };
        self.rules.iter().filter(can).collect()
    }
}

/// The secrets in a text, in order, none over another: the earlier wins, then the longer, then
/// the rule that stands first.
fn secrets<'r>(rules: &[&'r Rule], text: &str) -> Vec<(Range<usize>, &'r str)> {
    let mut found: Vec<(Range<usize>, &str)> = Vec::new();
    for rule in rules {
        for captures in rule.regex.captures_iter(text) {
            let named = ["s", "s1", "s2", "s3"].iter().find_map(|group| captures.name(group));
            let Some(secret) = named.or_else(|| captures.get(0)) else { continue };
            let is_secret = !rule.is_generic || table::looks_secret(text, &secret.range());
            if is_secret && !secret.is_empty() {
                found.push((secret.range(), &rule.kind));
            }
        }
    }
    found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut kept: Vec<(Range<usize>, &str)> = Vec::new();
    for (range, kind) in found {
        match kept.last_mut() {
            // Over the last one: it grows, lest the end of the other stays.
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => kept.push((range, kind)),
        }
    }
    kept
}

#[cfg(test)]
mod tests;
