//! Criterion benches of what Doorward adds to a call, and what they work on.
//!
//! `cargo bench -p doorward-benches` runs all, `--bench guard` one, `-- admit` those so named.
//! They are figures to look at: none of them passes or fails.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{Cx, Principal, RequestId, TurnId};
use serde_json::{Value, json};

/// A call's circumstances on behalf of this person.
pub fn cx(person: &str) -> Cx {
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(Principal::person(person)),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

/// Prose of about so many bytes, the same for the same number and unlike that of another.
pub fn prose(number: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "issue",
        "login",
        "after",
        "the",
        "customer",
        "answered",
        "page",
        "and",
        "with",
        "broken",
        "report",
        "of",
        "yesterday",
        "please",
        "check",
        "again",
    ];
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut text = format!("{number}");
    while text.len() < bytes {
        // SplitMix64, as it is short.
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(27) ^ 0x94d0_49bb_1331_11eb;
        let at = usize::try_from(state >> 60).unwrap_or(0);
        text.push(' ');
        text.push_str(WORDS[at]);
    }
    text
}

/// A Chat Completions body of about so many bytes: one long question.
pub fn chat_body(bytes: usize) -> Bytes {
    let content = prose(1, bytes.saturating_sub(120));
    let body = json!({
        "model": "fast", "stream": true, "max_tokens": 400,
        "messages": [{ "role": "user", "content": content }],
    });
    body.to_string().into()
}

/// The Chat Completions body of a coding agent in full swing, some 72 KB: a long instruction, 20
/// tools, 50 messages with calls and their results.
pub fn agent_body() -> Bytes {
    let tool = |number: u64| {
        json!({ "type": "function", "function": {
            "name": format!("server__tool_{number}"), "description": prose(number, 400),
            "parameters": { "type": "object", "required": ["path"], "properties": {
                "path": { "type": "string", "description": prose(number, 80) },
                "limit": { "type": "integer", "minimum": 1, "maximum": 2000 },
            } },
        } })
    };
    let mut messages = vec![json!({ "role": "system", "content": prose(0, 14_800) })];
    for round in 0..12_u64 {
        messages.push(json!({ "role": "user", "content": prose(round, 300) }));
        let id = format!("call_{round}");
        let arguments = json!({ "path": "/src/main.rs", "limit": round + 1 }).to_string();
        let function = json!({ "name": "server__tool_3", "arguments": arguments });
        let call = json!([{ "id": id, "type": "function", "function": function }]);
        messages.push(json!({ "role": "assistant", "content": null, "tool_calls": call }));
        let result = prose(round, 2_600);
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": result }));
        messages.push(json!({ "role": "assistant", "content": prose(round, 350) }));
    }
    messages.push(json!({ "role": "user", "content": "go on" }));
    let tools: Vec<Value> = (0..20).map(tool).collect();
    let body = json!({
        "model": "fast", "stream": true, "max_tokens": 4000, "tools": tools, "messages": messages,
    });
    body.to_string().into()
}
