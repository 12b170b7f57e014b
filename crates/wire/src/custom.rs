//! Free-form tools, whose argument is text and no JSON.
//!
//! In the common form their calls are `{"input":"…"}`, and elsewhere they are functions of one
//! string.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::escape;
use crate::json::{Text, raw};

/// The one argument's schema.
pub(crate) fn schema() -> Box<RawValue> {
    let text = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
    raw(text.to_owned())
}

/// A description that names the grammar too, for whoever cannot enforce it.
pub(crate) fn description(
    given: Option<&str>,
    syntax: Option<&str>,
    definition: Option<&str>,
) -> Option<String> {
    let Some(definition) = definition else { return given.map(str::to_owned) };
    let syntax = syntax.unwrap_or("given");
    let before = given.map(|text| format!("{text}\n\n")).unwrap_or_default();
    Some(format!("{before}`input` must follow this {syntax} grammar:\n{definition}"))
}

/// Free text as arguments in the common form.
pub(crate) fn wrapped(input: &str) -> String {
    format!(r#"{{"input":"{}"}}"#, escape(input))
}

/// The free text in arguments of the common form. What is no such object is text itself.
pub(crate) fn unwrapped(arguments: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        input: Text<'a>,
    }
    match serde_json::from_str::<Wrapped<'_>>(arguments) {
        Ok(Wrapped { input: Text(input) }) => input,
        Err(_) => Cow::Borrowed(arguments),
    }
}

/// Takes the free text out of arguments that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Unwrapping {
    state: State,
    /// What was read and not yet understood: the opening, or half an escape.
    held: String,
    /// The first half of a surrogate pair.
    high: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Before the text's opening quote.
    #[default]
    Opening,
    /// Within the text.
    Text,
    /// After it.
    Over,
    /// It is no object of one text: all of it is given as it is.
    Plain,
}

impl Unwrapping {
    /// The text in the next piece.
    pub(crate) fn push(&mut self, json: &str) -> String {
        match self.state {
            State::Over => String::new(),
            State::Plain => json.to_owned(),
            State::Text => self.text(json),
            State::Opening => {
                self.held.push_str(json);
                match opening(&self.held) {
                    Opening::Open(at) => {
                        self.state = State::Text;
                        let held = std::mem::take(&mut self.held);
                        self.text(&held[at..])
                    }
                    Opening::More => String::new(),
                    Opening::Other => {
                        self.state = State::Plain;
                        std::mem::take(&mut self.held)
                    }
                }
            }
        }
    }

    /// Nothing more comes: what is left of the text.
    pub(crate) fn finish(&mut self) -> String {
        let left = std::mem::take(&mut self.held);
        if self.state == State::Opening { unwrapped(&left).into_owned() } else { String::new() }
    }

    fn text(&mut self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let joined;
        let json = if self.held.is_empty() {
            json
        } else {
            joined = std::mem::take(&mut self.held) + json;
            &joined
        };
        let mut rest = json;
        while let Some(at) = rest.find(['"', '\\']) {
            self.lone_half(&mut out, at > 0);
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with('"') {
                self.lone_half(&mut out, true);
                self.state = State::Over;
                return out;
            }
            let length = if rest[1..].starts_with('u') { 6 } else { 2 };
            let Some(escape) = rest.get(..length).filter(|_| rest.len() >= length) else {
                rest.clone_into(&mut self.held);
                return out;
            };
            self.escape(escape, &mut out);
            rest = &rest[length..];
        }
        self.lone_half(&mut out, !rest.is_empty());
        out.push_str(rest);
        out
    }

    fn lone_half(&mut self, out: &mut String, passed: bool) {
        if passed && self.high.take().is_some() {
            out.push('\u{fffd}');
        }
    }

    fn escape(&mut self, escape: &str, out: &mut String) {
        let plain = match escape.as_bytes()[1] {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unit(u32::from_str_radix(&escape[2..], 16).unwrap_or(0xfffd), out),
            _ => char::from(escape.as_bytes()[1]),
        };
        self.lone_half(out, true);
        out.push(plain);
    }

    /// One UTF-16 unit.
    fn unit(&mut self, unit: u32, out: &mut String) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
            out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            return;
        }
        self.lone_half(out, true);
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => out.push(char::from_u32(unit).unwrap_or('\u{fffd}')),
        }
    }
}

enum Opening {
    /// The text begins here.
    Open(usize),
    /// It may still be one.
    More,
    /// It is none.
    Other,
}

/// Where `{"input":"` ends, blanks allowed.
fn opening(held: &str) -> Opening {
    let mut at = 0;
    for word in ["{", "\"input\"", ":", "\""] {
        let rest = held[at..].trim_start();
        at = held.len() - rest.len();
        if rest.len() < word.len() && word.starts_with(rest) {
            return Opening::More;
        }
        if !rest.starts_with(word) {
            return Opening::Other;
        }
        at += word.len();
    }
    Opening::Open(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_26_free_text_comes_out_alike_however_it_is_cut() {
        for text in ["", "*** Begin Patch\n+é \"q\" \\ \t😀\u{0}", "{\"input\":\"x\"}"] {
            let json = serde_json::json!({ "input": text }).to_string();
            let escaped = json.replace('é', "\\u00e9").replace('😀', "\\ud83d\\uDE00");
            for json in [json, escaped.clone(), escaped.replace("\":\"", "\" : \"")] {
                assert_eq!(unwrapped(&json), text);
                for size in 1..=json.chars().count() {
                    let chars: Vec<char> = json.chars().collect();
                    let mut unwrapping = Unwrapping::default();
                    let mut out = String::new();
                    for piece in chars.chunks(size) {
                        out.push_str(&unwrapping.push(&piece.iter().collect::<String>()));
                    }
                    out.push_str(&unwrapping.finish());
                    assert_eq!(out, text, "{json} by {size}");
                }
            }
            assert_eq!(unwrapped(&wrapped(text)), text);
        }
    }

    #[test]
    fn what_is_not_wrapped_is_text_itself() {
        for json in [r#"{"other":1}"#, "plain", "[1]", r#"{"input":5}"#] {
            assert_eq!(unwrapped(json), json);
            let mut unwrapping = Unwrapping::default();
            let out = unwrapping.push(&json[..3]) + &unwrapping.push(&json[3..]);
            assert_eq!(out + &unwrapping.finish(), json);
        }
        let mut broken = Unwrapping::default();
        assert_eq!(broken.push(r#"{"input":"a\ud800b\ud800"#), "a\u{fffd}b");
    }
}
