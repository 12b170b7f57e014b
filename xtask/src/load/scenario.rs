//! What is asked: the scenarios and their requests.

use std::time::Duration;

use serde_json::{Value, json};

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    prompt: Prompt,
    pub(super) streamed: bool,
    /// Asked in one dialect, answered by a provider of another.
    pub(super) translated: bool,
    /// Requests in the closed loop of one round.
    pub(super) requests: usize,
    /// Requests a second in the open loop.
    pub(super) rate: u32,
}

#[derive(Debug, Clone, Copy)]
enum Prompt {
    /// A conversation of so many messages and bytes.
    Plain { messages: usize, bytes: usize },
    /// 20 tools, a history of 20 messages with calls and results, and a question of 1 KiB.
    Tools,
}

/// Chunks of a streamed answer.
pub(super) const CHUNKS: usize = 32;
/// Between chunks: long enough that a proxy sees each alone, as with a real provider.
pub(super) const GAP: Duration = Duration::from_millis(1);

const CHAT: Scenario = Scenario {
    name: "chat 1 KiB",
    prompt: Prompt::Plain { messages: 2, bytes: 1 << 10 },
    streamed: false,
    translated: false,
    requests: 20_000,
    rate: 500,
};

/// All scenarios, in the order they are run.
pub(super) const ALL: [Scenario; 14] = [
    CHAT,
    Scenario {
        name: "chat 16 KiB",
        prompt: Prompt::Plain { messages: 8, bytes: 16 << 10 },
        requests: 10_000,
        ..CHAT
    },
    Scenario {
        name: "chat 64 KiB",
        prompt: Prompt::Plain { messages: 16, bytes: 64 << 10 },
        requests: 5_000,
        ..CHAT
    },
    Scenario { name: "chat 256 KiB", prompt: LARGE, requests: 1_000, rate: 50, ..CHAT },
    Scenario { name: "tools", prompt: Prompt::Tools, requests: 10_000, ..CHAT },
    STREAM,
    Scenario { name: "stream 16 KiB", prompt: MIDDLE, ..STREAM },
    Scenario { name: "stream 256 KiB", prompt: LARGE, rate: 50, ..STREAM },
    Scenario { name: "translated", translated: true, requests: 10_000, ..CHAT },
    Scenario {
        name: "translated 16 KiB",
        prompt: MIDDLE,
        translated: true,
        requests: 5_000,
        ..CHAT
    },
    Scenario {
        name: "translated 256 KiB",
        prompt: LARGE,
        translated: true,
        requests: 1_000,
        rate: 50,
        ..CHAT
    },
    Scenario { name: "translated stream", translated: true, ..STREAM },
    Scenario { name: "translated stream 16 KiB", prompt: MIDDLE, translated: true, ..STREAM },
    Scenario {
        name: "translated stream 256 KiB",
        prompt: LARGE,
        translated: true,
        rate: 50,
        ..STREAM
    },
];

const MIDDLE: Prompt = Prompt::Plain { messages: 8, bytes: 16 << 10 };
const LARGE: Prompt = Prompt::Plain { messages: 32, bytes: 256 << 10 };

const STREAM: Scenario =
    Scenario { name: "stream", streamed: true, requests: 1_000, rate: 100, ..CHAT };

/// Slow streams, many at once.
pub(super) const HELD_STREAM: Scenario = Scenario { name: "held stream", streamed: true, ..CHAT };

impl Scenario {
    /// The request of this scenario for a model, by a key.
    pub(super) fn request(&self, model: &str, key: &str, more: &str) -> Request {
        let mut body = match self.prompt {
            Prompt::Plain { messages, bytes } => plain(messages, bytes),
            Prompt::Tools => with_tools(),
        };
        body["model"] = json!(model);
        if self.streamed {
            body["stream"] = json!(true);
        }
        Request::new(&body.to_string(), key, more)
    }
}

/// A number in the last message, so that no two requests are the same.
const NUMBER: &str = "#00000000";

/// A request's bytes. Each use bears another number.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    /// `more` are header lines that a proxy wants beside the usual ones.
    fn new(body: &str, key: &str, more: &str) -> Self {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\
             user-agent: load/1\r\naccept: */*\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        let text = head + body;
        let number_at = text.rfind(NUMBER).map_or(0, |at| at + 1);
        Self { bytes: text.into_bytes(), number_at }
    }

    /// The bytes with this number.
    pub(super) fn numbered(&mut self, number: usize) -> &[u8] {
        let digits = NUMBER.len() - 1;
        let number = format!("{:0digits$}", number % 100_000_000);
        if let Some(place) = self.bytes.get_mut(self.number_at..self.number_at + digits) {
            place.copy_from_slice(number.as_bytes());
        }
        &self.bytes
    }
}

const VOCABULARY: [&str; 32] = [
    "account", "answer", "before", "bridge", "change", "customer", "detail", "every", "figure",
    "from", "garden", "history", "invoice", "journey", "keeps", "letter", "market", "never",
    "office", "people", "question", "river", "season", "table", "under", "village", "water",
    "without", "yellow", "and", "the", "of",
];

/// Text that does not repeat itself, the same each time, and never the mock's own word.
fn prose(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut state = bytes as u64;
    while text.len() < bytes {
        // Knuth's MMIX; the upper bits are the good ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = usize::try_from(state >> 59).unwrap_or_default();
        text.push_str(VOCABULARY[word]);
        text.push_str(if state >> 55 & 0xf == 7 { ". " } else { " " });
    }
    text.truncate(bytes);
    text
}

/// System, then user and assistant in turn, the user last.
fn plain(messages: usize, bytes: usize) -> Value {
    // What JSON and the other keys take of the whole, about.
    let share = (bytes / messages).saturating_sub(42);
    let role = |at: usize| match at {
        0 => "system",
        at if at % 2 == (messages - 1) % 2 => "user",
        _ => "assistant",
    };
    let told = (0..messages).map(|at| {
        let number = if at + 1 == messages { NUMBER } else { "" };
        json!({ "role": role(at), "content": prose(share.saturating_sub(number.len())) + number })
    });
    json!({ "messages": told.collect::<Vec<_>>() })
}

fn with_tools() -> Value {
    let tool = |at: usize| {
        json!({ "type": "function", "function": {
            "name": format!("desk__tool_{at}"),
            "description": prose(120),
            "parameters": { "type": "object", "required": ["query"], "properties": {
                "query": { "type": "string", "description": "What to look for." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
            }},
        }})
    };
    let turn = |at: usize| {
        let id = format!("call_{at}");
        let result = json!({ "id": at, "title": prose(40), "body": prose(160) }).to_string();
        [
            json!({ "role": "user", "content": format!("Question {at}: {}", prose(80)) }),
            json!({ "role": "assistant", "content": null, "tool_calls": [{
                "id": id, "type": "function", "function": {
                    "name": format!("desk__tool_{at}"),
                    "arguments": json!({ "query": format!("fox {at}") }).to_string(),
                },
            }]}),
            json!({ "role": "tool", "tool_call_id": id, "content": result }),
            json!({ "role": "assistant", "content": format!("Answer {at}: {}", prose(80)) }),
        ]
    };
    let mut messages: Vec<Value> = (0..5).flat_map(turn).collect();
    messages.push(json!({ "role": "user", "content": prose(1 << 10) + NUMBER }));
    json!({ "messages": messages, "tools": (0..20).map(tool).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &mut Request, number: usize) -> String {
        let text = String::from_utf8(request.numbered(number).to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        body.to_owned()
    }

    #[test]
    fn prompts_are_as_large_as_their_names_say() {
        for (scenario, kib) in ALL.iter().zip([1, 16, 64, 256]) {
            let length = body(&mut scenario.request("m", "k", ""), 1).len();
            assert!(length.abs_diff(kib << 10) < kib * 60, "{}: {length}", scenario.name);
        }
    }

    #[test]
    fn a_conversation_ends_with_the_user() {
        for scenario in ALL {
            let body: Value =
                serde_json::from_str(&body(&mut scenario.request("m", "k", ""), 1)).unwrap();
            let messages = body["messages"].as_array().unwrap();
            assert_eq!(messages.last().unwrap()["role"], "user");
            assert_eq!(body["stream"] == json!(true), scenario.streamed);
        }
    }

    #[test]
    fn no_two_requests_are_the_same() {
        let mut request = ALL[0].request("m", "k", "");
        assert!(body(&mut request, 7).contains("#00000007"));
        assert!(body(&mut request, 12_345_678).contains("#12345678"));
    }

    #[test]
    fn tools_come_with_a_history_of_twenty_messages() {
        let body: Value =
            serde_json::from_str(&body(&mut ALL[4].request("m", "k", ""), 1)).unwrap();
        assert_eq!(body["messages"].as_array().unwrap().len(), 21);
        assert_eq!(body["tools"].as_array().unwrap().len(), 20);
    }
}
