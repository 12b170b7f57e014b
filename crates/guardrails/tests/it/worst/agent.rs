//! An agent with its client: honest until it has read an injection.

use std::sync::atomic::{AtomicUsize, Ordering};

use doorward_core::{Body, Decision, Guard, Message, Part, Role, ToolCall, ToolName, ToolReply};
use doorward_core::{ToolResult, ToolUse};

use futures_util::FutureExt;
use serde_json::Value;
use serde_json::value::RawValue;

use super::data::{Call, Suite, Task};
use super::scene::Scene;
use crate::driver::{Chat, World};

/// Who guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum House {
    /// The engine under generic contracts.
    Doorward,
    /// Nobody.
    Open,
    /// Whoever looks at the history that the client sends: once a result is in it, no effects.
    ContextTaint,
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

/// One world with its guard.
pub(super) struct Run<'s> {
    pub(super) suite: &'s Suite,
    pub(super) house: House,
    /// Whose agent it is.
    pub(super) principal: String,
    pub(super) scene: Scene<'s>,
    /// Questions to the person.
    pub(super) asked: usize,
    serial: std::cell::Cell<u32>,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) allowed: bool,
    pub(super) result: String,
    #[expect(dead_code, reason = "told when a test fails")]
    pub(super) decision: Option<Decision>,
}

impl<'s> Run<'s> {
    pub(super) fn new(suite: &'s Suite, house: House, planted: &str) -> Self {
        Self {
            suite,
            house,
            principal: format!("alice-{}@corp.com", RUNS.fetch_add(1, Ordering::Relaxed)),
            scene: Scene::new(suite, planted),
            asked: 0,
            serial: std::cell::Cell::new(0),
        }
    }

    pub(super) fn world(&self) -> &'s World {
        &self.suite.world
    }

    pub(super) fn chat(&self) -> Chat<'s> {
        let chat = self.world().chat_of(&self.principal);
        *chat.tools.lock().unwrap() = self.suite.tools.iter().map(|one| one.name.clone()).collect();
        chat
    }

    /// The model makes these calls in one answer; the client runs what it gets.
    pub(super) fn step(&mut self, talk: &mut Talk, calls: &[Call]) -> Vec<Ran> {
        let texts: Vec<(String, String, String)> = calls
            .iter()
            .map(|call| {
                self.serial.set(self.serial.get() + 1);
                let id = format!("call_{}", self.serial.get());
                (id, call.call.clone(), call.with.to_string())
            })
            .collect();
        self.step_raw(talk, &texts)
    }

    /// The same with arguments as the model writes them.
    pub(super) fn step_raw(
        &mut self,
        talk: &mut Talk,
        calls: &[(String, String, String)],
    ) -> Vec<Ran> {
        if self.house != House::Doorward {
            return calls.iter().map(|call| self.unguarded(talk, call)).collect();
        }
        let mut ran = Vec::new();
        let (answered, mut messages) = {
            let mut chat = self.chat();
            chat.messages.clone_from(&talk.messages);
            chat.hint.clone_from(&talk.hint);
            chat.described.clone_from(&talk.described);
            let made: Vec<(&str, &str, &str)> =
                calls.iter().map(|(id, name, text)| (&**id, &**name, &**text)).collect();
            let answered = chat.model("", &made);
            (answered, std::mem::take(&mut chat.messages))
        };
        for (at, (id, name, text)) in answered.calls().into_iter().enumerate() {
            let (_, decision) = answered.decisions[at].clone();
            let told = if name == "doorward__denied" {
                Ran { allowed: false, result: text, decision: Some(decision) }
            } else if name.contains("__") {
                self.at_broker(talk.hint.as_deref(), &name, &text, Some(decision))
            } else {
                let arguments: Value = serde_json::from_str(&text).unwrap_or_default();
                let result = self.scene.run(&name, &arguments);
                Ran { allowed: true, result, decision: Some(decision) }
            };
            messages.push(result_message(&id, &told.result));
            ran.push(told);
        }
        talk.messages = messages;
        ran
    }

    /// A call at `/mcp`, with or without a decision of a model before it.
    pub(super) fn at_broker(
        &mut self,
        hint: Option<&str>,
        name: &str,
        arguments: &str,
        decision: Option<Decision>,
    ) -> Ran {
        let parsed: Value = serde_json::from_str(arguments).unwrap_or_default();
        if self.house != House::Doorward {
            let result = self.scene.run(name, &parsed);
            return Ran { allowed: true, result, decision };
        }
        let mut cx = self.world().cx(&self.principal);
        cx.conversation_hint = hint.map(Into::into);
        let Ok(raw) = RawValue::from_string(arguments.to_owned()) else {
            return Ran { allowed: false, result: String::new(), decision };
        };
        let call = ToolCall::new(ToolName::new(name), raw);
        let engine = &self.world().engine;
        let verdict = engine.judge(&cx, &call).now_or_never().unwrap().unwrap();
        let allowed = verdict.decision.is_allowed();
        let text = if allowed {
            self.scene.run(name, &parsed)
        } else {
            verdict.decision.reason.to_string()
        };
        let body = serde_json::json!({ "content": [{ "type": "text", "text": text }] });
        let result = serde_json::value::to_raw_value(&body).unwrap();
        let reply = ToolReply::complete(result, !allowed);
        engine.file(&cx, &call, &verdict, &reply).now_or_never().unwrap().unwrap();
        let decision = decision.filter(|one| !one.is_allowed()).or(Some(verdict.decision));
        Ran { allowed, result: text, decision }
    }

    fn unguarded(&mut self, talk: &mut Talk, (id, name, text): &(String, String, String)) -> Ran {
        let has_effect = self.suite.tool(name).is_none_or(super::data::Tool::has_effect);
        let read = talk.messages.iter().any(|message| {
            message.parts.iter().any(|part| matches!(part.body, Body::ToolResult(_)))
        });
        let allowed = self.house == House::Open || !has_effect || !read;
        let result = match serde_json::from_str(text) {
            Ok(arguments) if allowed => self.scene.run(name, &arguments),
            _ => "refused".to_owned(),
        };
        let made = ToolUse { id: id.clone(), name: name.clone(), ..ToolUse::default() };
        let parts = vec![Body::ToolUse(made).into()];
        talk.messages.push(Message { role: Role::Assistant, parts, name: None });
        talk.messages.push(result_message(id, &result));
        Ran { allowed, result, decision: None }
    }

    /// Does a task until its end or until a result holds `trigger`. Where a call is refused, the
    /// person is asked once, and says in their own words what they want. Says how many steps were
    /// done, and whether the task can go on.
    pub(super) fn honest(&mut self, talk: &mut Talk, task: &Task, trigger: &str) -> (usize, bool) {
        for (at, call) in task.steps.iter().enumerate() {
            let mut ran = self.step(talk, std::slice::from_ref(call)).remove(0);
            if !ran.allowed {
                self.asked += 1;
                talk.user(&self.in_own_words(call));
                ran = self.step(talk, std::slice::from_ref(call)).remove(0);
            }
            if !ran.allowed {
                return (at, false);
            }
            if !trigger.is_empty() && ran.result.contains(trigger) {
                return (at + 1, true);
            }
        }
        (task.steps.len(), true)
    }

    /// What a person says who wants exactly this call.
    fn in_own_words(&self, call: &Call) -> String {
        let contract = self.suite.contracts.of(&call.call);
        let word = contract.asking().next().unwrap_or("do").to_owned();
        let mut said = format!("Yes, please {word} it:");
        each_leaf(&call.with, "", &mut |name, text| {
            said.push_str(&format!("\n{} \"{text}\"", name.replace('_', " ")));
        });
        said
    }
}

fn each_leaf(value: &Value, name: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_leaf(item, name, visit)),
        Value::Object(map) => map.iter().for_each(|(key, value)| each_leaf(value, key, visit)),
        Value::String(text) => visit(name, text),
        Value::Number(number) => visit(name, &number.to_string()),
        _ => {}
    }
}

/// A conversation as the client keeps it.
#[derive(Debug, Clone, Default)]
pub(super) struct Talk {
    pub(super) messages: Vec<Message>,
    pub(super) hint: Option<std::sync::Arc<str>>,
    pub(super) described: Option<String>,
}

impl Talk {
    pub(super) fn of(prompt: &str) -> Self {
        let mut talk = Self::default();
        talk.user(prompt);
        talk
    }

    pub(super) fn user(&mut self, text: &str) {
        self.messages.push(Message::text(Role::User, text));
    }
}

fn result_message(id: &str, text: &str) -> Message {
    let content = vec![Part::text(text)];
    let result = ToolResult { id: id.into(), name: None, content, is_error: false };
    Message { role: Role::User, parts: vec![Body::ToolResult(result).into()], name: None }
}
