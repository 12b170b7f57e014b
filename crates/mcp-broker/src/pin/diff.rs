//! What changed between two definitions, for a person to read.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::Canonical;

/// One leaf that came, went or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where: a JSON Pointer into the definition.
    pub pointer: String,
    /// What stood there; `None` where nothing did.
    pub old: Option<Value>,
    /// What stands there now; `None` where nothing does.
    pub new: Option<Value>,
}

/// The changes from one definition to another, leaf by leaf.
///
/// It prints like a unified diff. Whatever could hide from the reader or act on a terminal is
/// printed as `\u{…}`.
///
/// ```
/// use doorward_mcp_broker::pin::{Canonical, Diff};
/// let old = Canonical::read(r#"{"name":"t","description":"Reads."}"#)?;
/// let new = Canonical::read(r#"{"name":"t","description":"Reads.\u200b"}"#)?;
/// let shown = Diff::between(Some(&old), &new).to_string();
/// assert_eq!(shown, "@ /description\n- Reads.\n+ Reads.\\u{200b}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// The changes, in the order of their pointers.
    pub changes: Vec<Change>,
}

impl Diff {
    /// From one definition, or from nothing, to another.
    pub fn between(old: Option<&Canonical>, new: &Canonical) -> Self {
        let old = old.map(Canonical::value);
        let mut diff = Self { changes: Vec::new() };
        diff.walk(&mut String::new(), old.as_ref(), Some(&new.value()));
        diff
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn walk(&mut self, pointer: &mut String, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let before = self.changes.len();
        let length = pointer.len();
        // One side may be missing: then each leaf of the other came or went.
        if both(old, new, Value::is_object) {
            let mut all = [names(old), names(new)].concat();
            all.sort_unstable();
            all.dedup();
            for name in all {
                push(pointer, name);
                self.walk(pointer, old.and_then(|v| v.get(name)), new.and_then(|v| v.get(name)));
                pointer.truncate(length);
            }
        } else if both(old, new, Value::is_array) {
            for at in 0..count(old).max(count(new)) {
                push(pointer, &at.to_string());
                self.walk(pointer, old.and_then(|v| v.get(at)), new.and_then(|v| v.get(at)));
                pointer.truncate(length);
            }
        }
        // A leaf, a change of kind, or something empty that came or went.
        if self.changes.len() == before {
            let (old, new) = (old.cloned(), new.cloned());
            self.changes.push(Change { pointer: pointer.clone(), old, new });
        }
    }
}

/// Whether each is missing or of this kind.
fn both(old: Option<&Value>, new: Option<&Value>, kind: impl Fn(&Value) -> bool) -> bool {
    old.is_none_or(&kind) && new.is_none_or(&kind)
}

fn names(value: Option<&Value>) -> Vec<&str> {
    let members = value.and_then(Value::as_object);
    members.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn count(value: Option<&Value>) -> usize {
    value.and_then(Value::as_array).map_or(0, Vec::len)
}

/// Adds a step to a JSON Pointer (RFC 6901 §3).
pub(super) fn push(pointer: &mut String, step: &str) {
    pointer.push('/');
    pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { pointer, old, new } in &self.changes {
            writeln!(f, "@ {}", visible(pointer))?;
            match (old, new) {
                (Some(Value::String(old)), Some(Value::String(new))) => lines(f, old, new)?,
                (old, new) => {
                    for (mark, value) in [('-', old), ('+', new)] {
                        let Some(value) = value else { continue };
                        for line in shown(value).split('\n') {
                            writeln!(f, "{mark} {}", visible(line))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A value for reading: a text as it is, all else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Two texts line by line: what both begin and end with is told once, without repeating it all.
fn lines(f: &mut fmt::Formatter<'_>, old: &str, new: &str) -> fmt::Result {
    let (old, new): (Vec<_>, Vec<_>) = (old.split('\n').collect(), new.split('\n').collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (rest_old, rest_new) = (&old[head..], &new[head..]);
    let tail = rest_old.iter().rev().zip(rest_new.iter().rev()).take_while(|(a, b)| a == b).count();
    let context = |f: &mut fmt::Formatter<'_>, at: Option<&&str>| match at {
        Some(line) => writeln!(f, "  {}", visible(line)),
        None => Ok(()),
    };
    context(f, head.checked_sub(1).and_then(|at| old.get(at)))?;
    for line in &rest_old[..rest_old.len() - tail] {
        writeln!(f, "- {}", visible(line))?;
    }
    for line in &rest_new[..rest_new.len() - tail] {
        writeln!(f, "+ {}", visible(line))?;
    }
    context(f, old.get(old.len() - tail).filter(|_| tail > 0))
}

/// The text with everything written out that a reader would not see or a terminal would obey.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if super::inspect::is_hidden(c) || c.is_control() || (c.is_whitespace() && c != ' ') {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else if c == '\\' {
            // Or a text could spell such a sign itself.
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> String {
        let old = Canonical::read(old).unwrap();
        Diff::between(Some(&old), &Canonical::read(new).unwrap()).to_string()
    }

    #[test]
    fn leaves_are_told_with_their_place() {
        let old = r#"{"name":"t","inputSchema":{"properties":{"a/b":{"type":"string"}},"required":["x"]}}"#;
        let new = r#"{"name":"t","inputSchema":{"properties":{"a/b":{"type":"integer"},"c":{"enum":[1]}},"required":["x","c"]}}"#;
        assert_eq!(
            diff(old, new),
            "@ /inputSchema/properties/a~1b/type\n- string\n+ integer\n\
             @ /inputSchema/properties/c/enum/0\n+ 1\n\
             @ /inputSchema/required/1\n+ c\n"
        );
    }

    #[test]
    fn long_texts_show_only_what_changed() {
        let old = r#"{"name":"t","description":"one\ntwo\nthree\nfour"}"#;
        let new = r#"{"name":"t","description":"one\ntwo\nTHREE\nfour"}"#;
        assert_eq!(diff(old, new), "@ /description\n  two\n- three\n+ THREE\n  four\n");
    }

    #[test]
    fn nothing_hides_and_nothing_acts_on_a_terminal() {
        let old = r#"{"name":"t","description":"a"}"#;
        let new = r#"{"name":"t","description":"a\u001b[2K\u202e\udb40\udc41\r\\u{1b}"}"#;
        let shown = diff(old, new);
        assert!(shown.contains(r"+ a\u{1b}[2K\u{202e}\u{e0041}\u{d}\\u{1b}"), "{shown}");
    }

    #[test]
    fn kinds_and_empty_things_count() {
        for (old, new, shown) in [
            ("{}", "[]", "@ /inputSchema\n- {}\n+ []\n"),
            (r#"{"a":1}"#, "7", "@ /inputSchema\n- {\"a\":1}\n+ 7\n"),
            ("{}", r#"{"a":{}}"#, "@ /inputSchema/a\n+ {}\n"),
            (r#"{"a":[]}"#, r#"{"a":[null]}"#, "@ /inputSchema/a/0\n+ null\n"),
            ("{}", "{}", ""),
        ] {
            let wrap = |schema: &str| format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
            assert_eq!(diff(&wrap(old), &wrap(new)), shown, "{old} {new}");
        }
    }

    #[test]
    fn a_new_tool_shows_all_of_itself() {
        let new = Canonical::read(r#"{"name":"t","description":"d"}"#).unwrap();
        let shown = Diff::between(None, &new).to_string();
        assert_eq!(shown, "@ /description\n+ d\n@ /name\n+ t\n");
    }
}
