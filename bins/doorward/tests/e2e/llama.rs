//! A real llama.cpp server behind the gateway, through three dialects.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site};
use crate::upstreams::Fake;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "sure": { "type": "boolean" },
            "side": { "type": "string", "enum": ["left", "right"] },
        },
        "required": ["sure", "side"],
        "additionalProperties": false,
    })
}

/// The same question on each wire, with a schema if asked for.
fn asks(model: &str, form: bool) -> [(&'static str, Value); 3] {
    let user = json!([{ "role": "user", "content": "Left or right?" }]);
    let mut chat = json!({ "model": model, "max_tokens": 120, "messages": user });
    let mut responses = json!({ "model": model, "max_output_tokens": 120, "input": user });
    let mut messages = json!({ "model": model, "max_tokens": 120, "messages": user });
    if form {
        chat["response_format"] = json!({
            "type": "json_schema",
            "json_schema": { "name": "side", "schema": schema(), "strict": true },
        });
        responses["text"] = json!({
            "format": { "type": "json_schema", "name": "side", "schema": schema(), "strict": true },
        });
        messages["output_config"] =
            json!({ "format": { "type": "json_schema", "schema": schema() } });
    }
    [("/v1/chat/completions", chat), ("/v1/responses", responses), ("/v1/messages", messages)]
}

/// The text of an answer on its wire, and its tokens.
fn read(path: &str, answer: &Value) -> (String, u64) {
    let (text, counts): (_, &[&str]) = match path {
        "/v1/chat/completions" => {
            (&answer["choices"][0]["message"]["content"], &["prompt_tokens", "completion_tokens"])
        }
        "/v1/responses" => {
            (&answer["output"][0]["content"][0]["text"], &["input_tokens", "output_tokens"])
        }
        // Messages does not count with the rest what was read from the cache.
        _ => (
            &answer["content"][0]["text"],
            &["input_tokens", "cache_read_input_tokens", "output_tokens"],
        ),
    };
    let text = text.as_str().unwrap_or_default().to_owned();
    (text, counts.iter().map(|name| answer["usage"][name].as_u64().unwrap_or(0)).sum())
}

/// The deltas of a stream on its wire.
async fn streamed(gateway: &Gateway, key: &str, path: &str, mut ask: Value) -> (usize, String) {
    ask["stream"] = json!(true);
    let answer = gateway.post_raw(path, key, &ask).await;
    assert_eq!(answer.status(), 200, "{path}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let deltas = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter(|event| {
            event["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty())
                || event["type"] == "response.output_text.delta"
                || event["delta"]["type"] == "text_delta"
        })
        .count();
    (deltas, text)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_real_server_speaks_through_three_dialects() {
    let folder = tempfile::tempdir().unwrap();
    let llama = Fake::llama(folder.path());
    let site = Site::new(&sections(&llama.url));
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    let bearer = format!("Bearer {key}");
    let (_, models) = gateway.get("/v1/models", &[("authorization", &bearer)]).await;
    assert!(models.contains("llama/tiny"), "it is asked for its models: {models}");
    for model in ["llama/tiny", "native/tiny"] {
        for (path, ask) in asks(model, false) {
            speaks(&gateway, &key, path, &ask).await;
        }
        for (path, ask) in asks(model, true) {
            let (status, answer) = gateway.post(path, &key, &ask).await;
            let (text, _) = read(path, &answer);
            let form: Value = serde_json::from_str(&text)
                .unwrap_or_else(|_| panic!("{model} {path} {status}: {answer}"));
            assert!(form["sure"].is_boolean() && form["side"].is_string(), "{path}: {form}");
        }
    }
}

/// One upstream that is spoken to in Chat Completions alone, and one in each of its dialects.
fn sections(url: &str) -> String {
    format!(
        "[[upstream]]\nname = \"llama\"\nprovider = \"openai-compatible\"\nbase_url = \"{url}/v1\"\n\n\
         [[upstream]]\nname = \"native\"\nprovider = \"llamacpp\"\nbase_url = \"{url}\"\n\
         dialects = [\"openai-chat\", \"openai-responses\", \"anthropic-messages\"]\n"
    )
}

async fn speaks(gateway: &Gateway, key: &str, path: &str, ask: &Value) {
    // What random weights say may be empty once, but not always.
    let mut said = String::new();
    for _ in 0..5 {
        let (status, answer) = gateway.post(path, key, ask).await;
        let (text, tokens) = read(path, &answer);
        assert!(status == 200 && tokens > 10, "{path}: {answer}");
        said += &text;
    }
    assert!(!said.is_empty(), "{path}");
    let (deltas, text) = streamed(gateway, key, path, ask.clone()).await;
    // Random weights seldom stop before the limit, and Responses has an event of its own for that.
    let ends: &[&str] = match path {
        "/v1/chat/completions" => &["data: [DONE]"],
        "/v1/responses" => &["event: response.completed", "event: response.incomplete"],
        _ => &["event: message_stop"],
    };
    assert!(ends.iter().any(|end| text.contains(end)), "{path}: {text}");
    assert!(deltas > 0 || text.contains("end_turn"), "{path}: {text}");
}
