//! Arguments that come in pieces, each with a path to where it belongs
//! (Vertex AI, `streamFunctionCallArguments`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::escape;
use crate::json::Text;

/// How deep arguments nest, and how long a list in them grows.
const MOST_STEPS: usize = 64;
const MOST_ITEMS: usize = 4096;

/// One piece of arguments.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartialArg<'a> {
    #[serde(borrow)]
    json_path: Option<Text<'a>>,
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    #[serde(borrow)]
    number_value: Option<&'a RawValue>,
    bool_value: Option<bool>,
    /// Present for `null`, whatever it holds.
    #[serde(borrow)]
    null_value: Option<&'a RawValue>,
    pub(super) will_continue: Option<bool>,
}

/// Arguments being gathered.
#[derive(Debug, Default)]
pub(super) struct Arguments(Node);

#[derive(Debug, Default)]
enum Node {
    #[default]
    Nothing,
    /// JSON text of a value that is whole.
    Value(String),
    Text(String),
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
}

enum Step {
    Member(String),
    Item(usize),
}

impl Arguments {
    /// Takes a piece. An error says what is wrong with it.
    pub(super) fn take(&mut self, piece: PartialArg<'_>) -> Result<(), &'static str> {
        let path = piece.json_path.unwrap_or_default();
        let steps = steps(path.as_str()).ok_or("a path that leads nowhere")?;
        let mut node = &mut self.0;
        for step in steps {
            node = node.step(step).ok_or("a path through a value")?;
        }
        match (piece.string_value, piece.number_value, piece.bool_value) {
            (Some(more), ..) => match node {
                Node::Text(text) => text.push_str(more.as_str()),
                Node::Nothing => *node = Node::Text(more.into_string()),
                _ => return Err("text for a value that is whole"),
            },
            (None, Some(number), _) => *node = Node::Value(number.get().to_owned()),
            (None, None, Some(value)) => *node = Node::Value(value.to_string()),
            (None, None, None) if piece.null_value.is_some() => {
                *node = Node::Value("null".to_owned());
            }
            // Only a place is named: an empty text may follow.
            (None, None, None) => {}
        }
        Ok(())
    }

    /// All of it, as JSON text.
    pub(super) fn json(&self) -> String {
        match &self.0 {
            Node::Nothing => "{}".to_owned(),
            node => node.json(),
        }
    }
}

impl Node {
    fn step(&mut self, step: Step) -> Option<&mut Self> {
        if matches!(self, Self::Nothing) {
            *self = match step {
                Step::Member(_) => Self::Object(Vec::new()),
                Step::Item(_) => Self::List(Vec::new()),
            };
        }
        match (self, step) {
            (Self::Object(members), Step::Member(name)) => {
                let at = members.iter().position(|(known, _)| *known == name);
                let at = at.unwrap_or_else(|| {
                    members.push((name, Self::Nothing));
                    members.len() - 1
                });
                members.get_mut(at).map(|(_, node)| node)
            }
            (Self::List(items), Step::Item(at)) => {
                if at >= items.len() {
                    items.resize_with(at + 1, Self::default);
                }
                items.get_mut(at)
            }
            _ => None,
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Value(text) => text.clone(),
            Self::Text(text) => format!("\"{}\"", escape(text)),
            Self::Object(members) => {
                let member =
                    |(name, node): &(String, Self)| format!("\"{}\":{}", escape(name), node.json());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::json).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// The steps of a JSON path (RFC 9535): `$.a`, `$['a b']`, `$.a[0].b`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MOST_STEPS {
            return None;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            steps.push(Step::Member(after[..end].to_owned()));
            rest = &after[end..];
        } else if let Some((quoted, after)) = quoted(rest) {
            steps.push(Step::Member(quoted));
            rest = after;
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            let index: usize = index.parse().ok().filter(|index| *index < MOST_ITEMS)?;
            steps.push(Step::Item(index));
            rest = after;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// A member in brackets and quotes, and what follows it.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let inner = rest.strip_prefix('[')?;
    let quote = inner.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in inner.char_indices().skip(1) {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Some((name, inner[at + 1..].strip_prefix(']')?)),
            c => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(pieces: &[&str]) -> Result<String, &'static str> {
        let mut arguments = Arguments::default();
        for piece in pieces {
            arguments.take(serde_json::from_str(piece).unwrap())?;
        }
        Ok(arguments.json())
    }

    #[test]
    fn pieces_become_an_object_in_the_order_they_came() {
        let json = gathered(&[
            r#"{"jsonPath":"$.z","stringValue":"Bos","willContinue":true}"#,
            r#"{"jsonPath":"$.z","stringValue":"ton\""}"#,
            r#"{"jsonPath":"$.list[0].n","numberValue":1.50}"#,
            r#"{"jsonPath":"$.list[1].b","boolValue":true}"#,
            r#"{"jsonPath":"$['a b'].c","nullValue":"NULL_VALUE"}"#,
        ]);
        let expected = r#"{"z":"Boston\"","list":[{"n":1.50},{"b":true}],"a b":{"c":null}}"#;
        assert_eq!(json.as_deref(), Ok(expected));
        assert_eq!(gathered(&[]).as_deref(), Ok("{}"));
    }

    #[test]
    fn hostile_paths_are_refused() {
        for path in ["", "$", "a", "$[", "$['a", "$[999999999]", "$[-1]", &"$.a".repeat(70)] {
            let piece = format!(r#"{{"jsonPath":"{path}","stringValue":"x"}}"#);
            assert!(gathered(&[&piece]).is_err(), "{path}");
        }
        let through =
            [r#"{"jsonPath":"$.a","numberValue":1}"#, r#"{"jsonPath":"$.a.b","stringValue":"x"}"#];
        assert!(gathered(&through).is_err());
    }
}
