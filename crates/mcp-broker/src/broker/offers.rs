//! What a scope offers: the capabilities and instructions of its servers as those of one.

use std::sync::Arc;

use doorward_core::{CallError, Cx, Offers, Scope};
use futures_util::future::join_all;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::lists::missing;
use super::{Inner, nowhere};
use crate::upstream::Hello;

/// How much of one server's instructions is told, in bytes.
const MOST_OF_ONE: usize = 4 << 10;
/// How much is told in all. Instructions stand in every request of a model.
const MOST: usize = 32 << 10;

impl Inner {
    pub(super) async fn offers(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
    ) -> Result<Offers, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let asked = view.servers.iter().map(|&at| self.hello(cx, &self.members[at]));
        let answers = join_all(asked).await;
        let mut hellos = Vec::new();
        for (&at, hello) in view.servers.iter().zip(answers) {
            let member = &self.members[at];
            match hello {
                Ok(hello) => hellos.push((&*member.name, Some(hello))),
                Err(error) if member.server.required => {
                    return Err(missing(member, error.code, &error.public));
                }
                // Its tools may come later, so they are offered.
                Err(_) => hellos.push((&*member.name, None)),
            }
        }
        match (view.bare, hellos.as_slice()) {
            (Some(_), [(_, Some(hello))]) => Ok(Offers {
                capabilities: Some(hello.capabilities.clone()),
                instructions: hello.instructions.clone(),
                server_info: hello.server_info.clone(),
            }),
            _ => Ok(Offers {
                capabilities: to_raw_value(&capabilities(&hellos)).ok(),
                instructions: instructions(&hellos),
                server_info: None,
            }),
        }
    }
}

type Told<'a> = (&'a str, Option<Arc<Hello>>);

/// What at least one server can do. Lists change as servers come and go, whatever each says.
fn capabilities(hellos: &[Told<'_>]) -> Value {
    let mut merged = Map::new();
    for (_, hello) in hellos {
        let Some(hello) = hello else {
            merged.insert("tools".into(), listing());
            continue;
        };
        let capabilities: Value =
            serde_json::from_str(hello.capabilities.get()).unwrap_or_default();
        let Value::Object(capabilities) = capabilities else { continue };
        for (name, capability) in capabilities {
            if capability.is_null() {
                continue;
            }
            match name.as_str() {
                "tools" | "prompts" => {
                    merged.insert(name, listing());
                }
                "resources" => {
                    let subscribe = capability["subscribe"] == Value::Bool(true);
                    let known = merged.entry(name).or_insert_with(listing);
                    if subscribe && let Value::Object(known) = known {
                        known.insert("subscribe".into(), Value::Bool(true));
                    }
                }
                "completions" | "logging" | "tasks" | "extensions" | "experimental" => {
                    let known = merged.entry(name).or_insert_with(|| Value::Object(Map::new()));
                    join(known, capability);
                }
                // What nobody here knows how to route is not promised.
                _ => {}
            }
        }
    }
    Value::Object(merged)
}

fn listing() -> Value {
    serde_json::json!({ "listChanged": true })
}

/// Adds to a capability what another server has of it. The first word counts.
fn join(known: &mut Value, more: Value) {
    let (Value::Object(known), Value::Object(more)) = (known, more) else { return };
    for (name, value) in more {
        match known.get_mut(&name) {
            Some(inner) => join(inner, value),
            None => {
                known.insert(name, value);
            }
        }
    }
}

/// The instructions, each under its server's name.
fn instructions(hellos: &[Told<'_>]) -> Option<String> {
    let mut text = String::new();
    for (server, hello) in hellos {
        let own = hello.as_ref().and_then(|hello| hello.instructions.as_deref());
        let own = own.map(str::trim).filter(|own| !own.is_empty());
        let Some(own) = own else { continue };
        let head = format!("## {server}\n\n");
        let room = MOST.saturating_sub(text.len() + head.len() + 2).min(MOST_OF_ONE);
        if room == 0 {
            break;
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&head);
        text.push_str(&cut(own, room));
    }
    (!text.is_empty()).then_some(text)
}

fn cut(text: &str, most: usize) -> String {
    const REST: &str = " […]";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(REST.len()));
    [&text[..end], REST].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::Era;

    fn told<'a>(server: &'a str, capabilities: &str, instructions: Option<&str>) -> Told<'a> {
        let hello = Hello {
            era: Era::Legacy,
            version: "2025-11-25",
            capabilities: RawValue::from_string(capabilities.into()).unwrap(),
            server_info: None,
            instructions: instructions.map(Into::into),
        };
        (server, Some(Arc::new(hello)))
    }

    #[test]
    fn what_one_can_do_the_catalogue_can() {
        let hellos = [
            told("a", r#"{"tools":{},"resources":{"subscribe":true},"x":{}}"#, None),
            told("b", r#"{"resources":{},"completions":{},"prompts":null}"#, None),
            told("c", r#"{"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#, None),
            told(
                "d",
                r#"{"tasks":{"cancel":{},"requests":{"y":{}}},"extensions":{"e/f":{"g":1}}}"#,
                None,
            ),
        ];
        assert_eq!(
            capabilities(&hellos),
            serde_json::json!({
                "tools": {"listChanged": true},
                "resources": {"listChanged": true, "subscribe": true},
                "completions": {},
                "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}, "y": {}}},
                "extensions": {"e/f": {"g": 1}},
            })
        );
        assert_eq!(capabilities(&[]), serde_json::json!({}));
        assert_eq!(
            capabilities(&[("gone", None)]),
            serde_json::json!({"tools": {"listChanged": true}})
        );
    }

    #[test]
    fn instructions_stand_under_their_server_and_are_bounded() {
        let hellos = [
            told("a", "{}", Some(" Be brief.\n")),
            told("b", "{}", None),
            told("c", "{}", Some("  ")),
            told("d", "{}", Some("Ask first.")),
        ];
        let text = instructions(&hellos).unwrap();
        assert_eq!(text, "## a\n\nBe brief.\n\n## d\n\nAsk first.");
        assert_eq!(instructions(&hellos[1..3]), None);

        let long = "ä".repeat(10_000);
        let many: Vec<_> = (0..50).map(|_| told("s", "{}", Some(&long))).collect();
        let text = instructions(&many).unwrap();
        assert!(text.len() <= MOST && text.len() > MOST - 2 * MOST_OF_ONE, "{}", text.len());
        let one = instructions(&many[..1]).unwrap();
        assert!(one.len() <= MOST_OF_ONE + 10 && one.ends_with(" […]"));
    }
}
