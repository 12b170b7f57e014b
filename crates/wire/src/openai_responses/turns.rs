//! Messages as input items.

use std::collections::HashSet;

use doorward_core::{
    Body, DialectId, Message, ModelCall, Part, Reasoning, Role, ToolResult, ToolUse,
};

use super::sift::{FOREIGN, UNSEALED};
use super::{ID, pieces};
use crate::bound::{FOREIGN_FILE, is_foreign_file};
use crate::calls::fitting_id;
use crate::emit::{Array, Object};
use crate::{Dropped, custom};

/// Whose files have ids that mean something here.
const FILES: [DialectId; 2] = [ID, DialectId::OPENAI_CHAT];

/// The longest id of a tool call.
const MOST_ID: usize = 64;

/// A conversation and what is known of its calls.
#[derive(Debug)]
pub(super) struct Conversation<'c> {
    /// Said before everything: the operator's first text.
    instructions: Option<&'c str>,
    messages: &'c [Message],
    call: &'c ModelCall,
    /// How many messages the instructions took.
    lead: usize,
    /// The ids of calls of free-form tools, where these are known.
    free: HashSet<&'c str>,
}

impl<'c> Conversation<'c> {
    pub(super) fn of(call: &'c ModelCall, free_form: bool) -> Self {
        let instructions = match call.messages.as_slice() {
            [Message { role: Role::System, parts, name: None }, ..] => match parts.as_slice() {
                [Part { body: Body::Text(text), cache_control: None }] => Some(text.as_str()),
                _ => None,
            },
            _ => None,
        };
        // Someone must ask: instructions alone are no input.
        let instructions = instructions.filter(|_| call.messages.len() > 1);
        let lead = usize::from(instructions.is_some());
        let mut free = HashSet::new();
        for part in call.messages.iter().flat_map(|message| &message.parts) {
            if let Body::ToolUse(used) = &part.body
                && used.custom
                && free_form
            {
                free.insert(used.id.as_str());
            }
        }
        Self { instructions, messages: &call.messages[lead..], call, lead, free }
    }

    pub(super) fn write(&self, body: &mut Object<'_>, dropped: &mut Vec<Dropped>) {
        body.opt_str("instructions", self.instructions);
        body.array("input", |list| {
            let mut items = Items { list, call: self.call, free: &self.free, dropped };
            for (at, message) in self.messages.iter().enumerate() {
                items.message(at + self.lead, message);
            }
        });
    }
}

/// Items being written.
struct Items<'o, 'l, 'c> {
    list: &'o mut Array<'l>,
    call: &'o ModelCall,
    free: &'o HashSet<&'c str>,
    dropped: &'o mut Vec<Dropped>,
}

/// A part and its place in its message.
type Numbered<'p> = (usize, &'p Part);

impl Items<'_, '_, '_> {
    fn drop(&mut self, path: String, reason: &'static str) {
        self.dropped.push(Dropped { path, reason });
    }

    fn message(&mut self, at: usize, message: &Message) {
        if message.name.is_some() {
            self.drop(format!("messages[{at}].name"), "participants have no names");
        }
        if message.parts.iter().any(|part| part.cache_control.is_some())
            && !self.dropped.iter().any(|dropped| dropped.path == "cache_control")
        {
            self.drop("cache_control".into(), "OpenAI Responses caches without being told");
        }
        let role = match message.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let mut said: Vec<Numbered<'_>> = Vec::new();
        for (nth, part) in message.parts.iter().enumerate() {
            if is_foreign_file(self.call, &part.body, &FILES) {
                self.drop(format!("messages[{at}].parts[{nth}]"), FOREIGN_FILE);
                continue;
            }
            let of_message = match &part.body {
                Body::Text(_) | Body::Refusal(_) | Body::Media(_) => true,
                Body::Opaque { dialect, raw } => *dialect == ID && pieces::is_content(raw),
                _ => false,
            };
            if of_message {
                said.push((nth, part));
            } else {
                self.said(at, role, &std::mem::take(&mut said));
                self.item(at, nth, part, message.role == Role::Assistant);
            }
        }
        self.said(at, role, &said);
        if message.parts.is_empty() && message.role == Role::User {
            self.said(at, role, &[(0, &Part::text(""))]);
        }
    }

    /// A message of these parts.
    fn said(&mut self, at: usize, role: &str, parts: &[Numbered<'_>]) {
        let dropped = &mut *self.dropped;
        let assistant = role == "assistant";
        if parts.is_empty() {
            return;
        }
        self.list.object(|item| {
            item.str("type", "message");
            item.str("role", role);
            if let [(_, Part { body: Body::Text(text), .. })] = parts
                && !assistant
            {
                return item.str("content", text);
            }
            item.array("content", |list| {
                for (nth, part) in parts {
                    let written = if assistant {
                        write_output(list, part)
                    } else {
                        pieces::write_input(list, part)
                    };
                    if let Err(reason) = written {
                        let path = format!("messages[{at}].parts[{nth}]");
                        dropped.push(Dropped { path, reason });
                    }
                }
            });
        });
    }

    fn item(&mut self, at: usize, nth: usize, part: &Part, assistant: bool) {
        let path = format!("messages[{at}].parts[{nth}]");
        match &part.body {
            Body::ToolUse(call) if assistant => self.call(&path, call),
            Body::ToolUse(_) => self.drop(path, "only the model calls tools"),
            Body::ToolResult(result) if !assistant => self.result(&path, result),
            Body::ToolResult(_) => self.drop(path, "the model gives no tool results"),
            Body::Reasoning(thought) if assistant => self.thought(path, thought),
            Body::Reasoning(_) => self.drop(path, "only the model thinks"),
            Body::Opaque { dialect, raw } if *dialect == ID => self.list.raw(raw.get()),
            Body::Opaque { .. } => self.drop(path, "only its own dialect knows this part"),
            Body::Text(_) | Body::Refusal(_) | Body::Media(_) => {}
        }
    }

    fn call(&mut self, path: &str, call: &ToolUse) {
        if call.state.is_some() {
            self.drop(format!("{path}.state"), FOREIGN);
        }
        let free = self.free.contains(call.id.as_str());
        self.list.object(|item| {
            item.str("type", if free { "custom_tool_call" } else { "function_call" });
            item.str("call_id", &fitting_id(&call.id, MOST_ID));
            item.str("name", &call.name);
            if free {
                item.str("input", &custom::unwrapped(&call.arguments));
            } else if call.arguments.trim().is_empty() {
                item.str("arguments", "{}");
            } else {
                item.str("arguments", &call.arguments);
            }
        });
    }

    fn result(&mut self, path: &str, result: &ToolResult) {
        if result.is_error {
            let reason = "OpenAI Responses has no mark for failed tools";
            self.drop(format!("{path}.is_error"), reason);
        }
        let (dropped, whole) = (&mut *self.dropped, self.call);
        let free = self.free.contains(result.id.as_str());
        self.list.object(|item| {
            let kind = if free { "custom_tool_call_output" } else { "function_call_output" };
            item.str("type", kind);
            item.str("call_id", &fitting_id(&result.id, MOST_ID));
            match result.content.as_slice() {
                [] => item.str("output", ""),
                [Part { body: Body::Text(text), .. }] => item.str("output", text),
                parts => item.array("output", |list| {
                    for (nth, part) in parts.iter().enumerate() {
                        let foreign = is_foreign_file(whole, &part.body, &FILES);
                        let written = if foreign {
                            Err(FOREIGN_FILE)
                        } else {
                            pieces::write_input(list, part)
                        };
                        if let Err(reason) = written {
                            let path = format!("{path}.content[{nth}]");
                            dropped.push(Dropped { path, reason });
                        }
                    }
                }),
            }
        });
    }

    /// Thought goes back to its issuer only, and only with its state.
    fn thought(&mut self, path: String, thought: &Reasoning) {
        let state = thought.signature.as_ref().or(thought.redacted.as_ref());
        match (thought.issuer, state) {
            (Some(issuer), _) if issuer != ID => self.drop(path, FOREIGN),
            (_, None) => self.drop(path, UNSEALED),
            (None, Some(_)) => self.drop(path, FOREIGN),
            (Some(_), Some(data)) => self.list.object(|item| {
                item.str("type", "reasoning");
                item.array("summary", |list| {
                    if !thought.text.is_empty() {
                        list.object(|part| {
                            part.str("type", "summary_text");
                            part.str("text", &thought.text);
                        });
                    }
                });
                item.str("encrypted_content", data);
            }),
        }
    }
}

/// Writes a piece of what the model said. `Err` is why it cannot be.
fn write_output(list: &mut Array<'_>, part: &Part) -> Result<(), &'static str> {
    match &part.body {
        Body::Text(text) => list.object(|item| {
            item.str("type", "output_text");
            item.str("text", text);
        }),
        Body::Refusal(text) => list.object(|item| {
            item.str("type", "refusal");
            item.str("refusal", text);
        }),
        Body::Media(_) => return Err("the model shows no media"),
        Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
        _ => return Err("not possible in this role"),
    }
    Ok(())
}
