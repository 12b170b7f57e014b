//! Real SDKs through the gateway.

use doorward_testkit::provider::{Provider, Recorded};
use doorward_testkit::say::Say;
use serde_json::{Value, json};

use crate::gateway::{Site, upstream};
use crate::process::{everything, script};

const KEY: &[(&str, &str)] = &[("UPSTREAM_KEY", "sk-upstream-secret")];

/// Calls two tools of the MCP server at once, then answers.
fn two_tools(request: &Recorded) -> Say {
    let body = request.body.to_vec();
    let text = String::from_utf8(body).unwrap();
    if text.contains("\"tool_result\"") || text.contains("\"role\":\"tool\"") {
        return Say::text("The echo said hi, and the sum is 5.");
    }
    Say::text("Let me look. ")
        .call("everything__echo", json!({ "message": "hi" }))
        .call("everything__get-sum", json!({ "a": 2, "b": 3 }))
}

async fn ai_turn(package: &str, target: &str) {
    let provider = Provider::start(|r| two_tools(r).to(r)).await.unwrap();
    let url = provider.url();
    let site = Site::new(
        &[
            upstream("chat", "openai-compatible", &url),
            upstream("messages", "anthropic", &url),
            everything(),
        ]
        .concat(),
    );
    let key = site.key(&["--name", "app", "--owner", "alice@example.com"]);
    let gateway = site.start_with(KEY);
    assert!(!gateway.tools(&key).await.is_empty(), "{}", gateway.log());

    let model = format!("{target}/scripted-1");
    let environment = [("BASE", gateway.data.as_str()), ("KEY", &key), ("MODEL", &model)];
    let turn =
        script("ai.mjs", &[package, "What does the echo say, and what is 2+3?"], &environment);

    assert_eq!(turn["text"], "The echo said hi, and the sum is 5.", "{turn}");
    assert!(turn["deltas"].as_u64().unwrap() > 3, "it streamed: {turn}");
    assert_eq!(turn["finishReason"], "stop");
    let calls = json!([
        { "toolName": "everything__echo", "input": { "message": "hi" } },
        { "toolName": "everything__get-sum", "input": { "a": 2, "b": 3 } },
    ]);
    assert_eq!(turn["calls"], calls);
    let results = turn["results"].to_string();
    assert!(results.contains("Echo: hi") && results.contains('5'), "{results}");
    assert_eq!(turn["usage"]["inputTokens"], 40, "{turn}");
    assert_eq!(turn["usage"]["outputTokens"], 14, "{turn}");

    gateway.stop();
    assert!(site.run(&["audit", "verify"]).unwrap().starts_with("intact"));
    let story = site.run(&["audit", "show", "--last", "1"]).unwrap();
    for told in [
        "alice@example.com (key app)",
        "tool  everything__echo  completed",
        "decided on everything__get-sum  allowed",
        "asked for by step 1",
    ] {
        assert!(story.contains(told), "`{told}` in:\n{story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn ai_sdk_chat_over_chat() {
    ai_turn("openai-compatible", "chat").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn ai_sdk_chat_over_messages() {
    ai_turn("openai-compatible", "messages").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn ai_sdk_messages_over_messages() {
    ai_turn("anthropic", "messages").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn ai_sdk_messages_over_chat() {
    ai_turn("anthropic", "chat").await;
}

async fn sdk_turn(name: &str, target: &str) -> Value {
    let provider = Provider::start(|r| {
        Say::text("Calling. ")
            .call("first", json!({ "q": "a" }))
            .call("second", json!({ "q": "é" }))
            .to(r)
    })
    .await
    .unwrap();
    let url = provider.url();
    let site = Site::new(
        &[upstream("chat", "openai-compatible", &url), upstream("messages", "anthropic", &url)]
            .concat(),
    );
    let key = site.key(&["--name", "sdk"]);
    let gateway = site.start_with(KEY);
    let model = format!("{target}/scripted-1");
    script(name, &[], &[("BASE", gateway.data.as_str()), ("KEY", &key), ("MODEL", &model)])
}

fn check(turn: &Value, finish: &str) {
    let calls = json!([["first", { "q": "a" }], ["second", { "q": "é" }]]);
    for form in ["whole", "stream"] {
        assert_eq!(turn[form]["calls"], calls, "{turn}");
        assert_eq!(turn[form]["finish"], finish, "{turn}");
        assert_eq!(turn[form]["tokens"], 27, "{turn}");
    }
    assert_eq!(turn["stream"]["text"], "Calling. ", "{turn}");
    assert_eq!(turn["models"], json!(["chat/scripted-1", "messages/scripted-1"]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn python_openai_over_both() {
    for target in ["chat", "messages"] {
        check(&sdk_turn("openai_turn.py", target).await, "tool_calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn python_anthropic_over_both() {
    for target in ["chat", "messages"] {
        check(&sdk_turn("anthropic_turn.py", target).await, "tool_use");
    }
}
