//! What a scripted model says, in the wire of each vendor: written by hand after the vendors'
//! documentation, independent of Doorward's own codecs.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::provider::{Answer, Recorded};

/// One answer of a model.
#[derive(Debug, Clone, Default)]
pub struct Say {
    text: String,
    calls: Vec<(String, Value)>,
}

impl Say {
    /// Says a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), calls: vec![] }
    }

    /// Calls a tool; several calls are parallel ones.
    #[must_use]
    pub fn call(mut self, tool: impl Into<String>, arguments: Value) -> Self {
        self.calls.push((tool.into(), arguments));
        self
    }

    /// The answer in the dialect that the request's path asks for, streamed if it asks so.
    pub fn to(&self, request: &Recorded) -> Answer {
        let streamed = request.json()["stream"] == json!(true);
        let messages = request.target.contains("/messages");
        match (messages, streamed) {
            (false, false) => Answer::json(200, self.chat().to_string()),
            (false, true) => Answer::events(self.chat_events(request)),
            (true, false) => Answer::json(200, self.message().to_string()),
            (true, true) => Answer::events(self.message_events()),
        }
    }

    fn finish(&self, text: &'static str, calls: &'static str) -> &'static str {
        if self.calls.is_empty() { text } else { calls }
    }

    fn chat(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .enumerate()
            .map(|(n, (name, arguments))| {
                json!({
                    "id": format!("call_{n}"), "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() },
                })
            })
            .collect();
        let mut message = json!({ "role": "assistant", "content": self.text, "refusal": null });
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
            if self.text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000,
            "model": "scripted-1",
            "choices": [{
                "index": 0, "message": message, "logprobs": null,
                "finish_reason": self.finish("stop", "tool_calls"),
            }],
            "usage": { "prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27 },
            "system_fingerprint": "fp_test",
        })
    }

    fn chat_events(&self, request: &Recorded) -> Vec<Bytes> {
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000,
                "model": "scripted-1", "system_fingerprint": "fp_test", "choices": choices,
            });
            if !usage.is_null() {
                chunk["usage"] = usage;
            }
            data(&chunk)
        };
        let delta = |delta: Value| {
            let choice = json!([{
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": null,
            }]);
            chunk(choice, Value::Null)
        };
        let mut events = vec![delta(json!({ "role": "assistant", "content": "" }))];
        for word in words(&self.text) {
            events.push(delta(json!({ "content": word })));
        }
        for (n, (name, arguments)) in self.calls.iter().enumerate() {
            let start = json!({
                "index": n, "id": format!("call_{n}"), "type": "function",
                "function": { "name": name, "arguments": "" },
            });
            events.push(delta(json!({ "tool_calls": [start] })));
            for half in halves(&arguments.to_string()) {
                let more = json!({ "index": n, "function": { "arguments": half } });
                events.push(delta(json!({ "tool_calls": [more] })));
            }
        }
        let finish = json!([{
            "index": 0, "delta": {}, "logprobs": null,
            "finish_reason": self.finish("stop", "tool_calls"),
        }]);
        events.push(chunk(finish, Value::Null));
        if request.json()["stream_options"]["include_usage"] == json!(true) {
            let usage = json!({ "prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27 });
            events.push(chunk(json!([]), usage));
        }
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }

    fn message(&self) -> Value {
        let mut content = vec![];
        if !self.text.is_empty() {
            content.push(json!({ "type": "text", "text": self.text }));
        }
        for (n, (name, input)) in self.calls.iter().enumerate() {
            content.push(json!({
                "type": "tool_use", "id": format!("toolu_{n}"), "name": name, "input": input,
            }));
        }
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted-1",
            "content": content, "stop_reason": self.finish("end_turn", "tool_use"),
            "stop_sequence": null, "usage": { "input_tokens": 20, "output_tokens": 7 },
        })
    }

    fn message_events(&self) -> Vec<Bytes> {
        let mut events = vec![
            event(
                "message_start",
                &json!({
                    "type": "message_start",
                    "message": {
                        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted-1",
                        "content": [], "stop_reason": null, "stop_sequence": null,
                        "usage": { "input_tokens": 20, "output_tokens": 1 },
                    },
                }),
            ),
            event("ping", &json!({ "type": "ping" })),
        ];
        let mut index = 0;
        if !self.text.is_empty() {
            let deltas = words(&self.text)
                .map(|word| json!({ "type": "text_delta", "text": word }))
                .collect();
            block(&mut events, index, &json!({ "type": "text", "text": "" }), deltas);
            index += 1;
        }
        for (n, (name, input)) in self.calls.iter().enumerate() {
            let start = json!({
                "type": "tool_use", "id": format!("toolu_{n}"), "name": name, "input": {},
            });
            let deltas = halves(&input.to_string())
                .map(|half| json!({ "type": "input_json_delta", "partial_json": half }))
                .collect();
            block(&mut events, index, &start, deltas);
            index += 1;
        }
        events.push(event("message_delta", &json!({
            "type": "message_delta",
            "delta": { "stop_reason": self.finish("end_turn", "tool_use"), "stop_sequence": null },
            "usage": { "output_tokens": 7 },
        })));
        events.push(event("message_stop", &json!({ "type": "message_stop" })));
        events
    }
}

fn block(events: &mut Vec<Bytes>, index: usize, start: &Value, deltas: Vec<Value>) {
    let kind = "content_block_start";
    events.push(event(kind, &json!({ "type": kind, "index": index, "content_block": start })));
    for delta in deltas {
        let kind = "content_block_delta";
        events.push(event(kind, &json!({ "type": kind, "index": index, "delta": delta })));
    }
    let kind = "content_block_stop";
    events.push(event(kind, &json!({ "type": kind, "index": index })));
}

fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

fn event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

fn halves(text: &str) -> impl Iterator<Item = &str> {
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle += 1;
    }
    let (first, second) = text.split_at(middle);
    [first, second].into_iter()
}
