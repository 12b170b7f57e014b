//! The model routes.

use std::time::Duration;

use bytes::Bytes;
use doorward_testkit::provider::{Answer, Provider};
use doorward_testkit::say::Say;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site, upstream};

const KEY: &[(&str, &str)] = &[("UPSTREAM_KEY", "sk-upstream-secret")];

fn ask(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hello" }],
    })
}

/// A gateway over one provider under both dialects, `chat` and `messages`.
fn both(provider: &Provider) -> (Site, Gateway, String) {
    let url = provider.url();
    let site = Site::new(
        &[upstream("chat", "openai-compatible", &url), upstream("messages", "anthropic", &url)]
            .concat(),
    );
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start_with(KEY);
    (site, gateway, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn same_dialect_bytes_go_through_both_ways() {
    let frames = [
        "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"odd\" : 1}\n\n",
        ": a comment\n\n",
        "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\\u00e9\"}}]}\r\n\r\n",
        "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n",
        "data: [DONE]\n\n",
    ];
    let provider = Provider::start(move |_| Answer::events(frames)).await.unwrap();
    let (_site, gateway, key) = both(&provider);

    let sent = r#"{ "stream":true,  "model" : "chat/scripted-1", "messages":[{"content":"hi","role":"user"}], "x_new":{"b":1,"a":[ ]} }"#;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = gateway.send(Method::POST, "/v1/chat/completions", &headers, sent).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-doorward-route"], "chat/scripted-1");
    let received = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(received, Bytes::from(frames.concat()));

    let recorded = provider.recorded();
    let call = recorded.iter().find(|r| r.target.starts_with("POST")).unwrap();
    assert_eq!(call.body, sent.replace("chat/scripted-1", "scripted-1"));
    assert_eq!(call.headers["authorization"], "Bearer sk-upstream-secret");
    let all = format!("{:?}", call.headers);
    assert!(!all.contains(&key), "the caller's key stays here");
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_answers_go_through_unchanged_and_are_translated() {
    let provider = Provider::start(|r| Say::text("Hello there.").to(r)).await.unwrap();
    let (_site, gateway, key) = both(&provider);

    let (status, chat) =
        gateway.post("/v1/chat/completions", &key, &ask("chat/scripted-1", false)).await;
    assert_eq!((status, &chat["system_fingerprint"]), (200, &json!("fp_test")));

    let (status, chat) =
        gateway.post("/chat/completions", &key, &ask("messages/scripted-1", false)).await;
    assert_eq!(status, 200, "{chat}");
    assert_eq!(chat["choices"][0]["message"]["content"], "Hello there.");
    assert_eq!(chat["usage"]["total_tokens"], 27);

    let (status, message) =
        gateway.post("/v1/messages", &key, &ask("chat/scripted-1", false)).await;
    assert_eq!(status, 200, "{message}");
    assert_eq!(message["content"][0]["text"], "Hello there.");
    assert_eq!(message["usage"]["input_tokens"], 20);
    assert_eq!(message["usage"]["output_tokens"], 7);

    let (status, message) =
        gateway.post("/v1/messages", &key, &ask("messages/scripted-1", false)).await;
    assert_eq!((status, &message["id"]), (200, &json!("msg_1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_speak_the_clients_dialect() {
    let provider = Provider::start(|_| {
        Answer::json(
            429,
            r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limited"}}"#,
        )
        .header("retry-after", "7")
    })
    .await
    .unwrap();
    let (_site, gateway, key) = both(&provider);

    let answer = gateway.post_raw("/v1/messages", &key, &ask("chat/scripted-1", true)).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
    let body: Value =
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&json!("error"), &json!("rate_limit_error"))
    );
    assert_eq!(body["request_id"], json!(id));

    for (path, token, body, status) in [
        ("/v1/chat/completions", key.as_str(), json!({ "model": "chat/scripted-1" }), 400),
        ("/v1/chat/completions", "wrong", ask("chat/scripted-1", false), 401),
        ("/v1/messages", "wrong", ask("chat/scripted-1", false), 401),
        ("/v1/chat/completions", key.as_str(), ask("nobody/scripted-1", false), 404),
        ("/v1/nothing", key.as_str(), json!({}), 404),
    ] {
        let (found, answer) = gateway.post(path, token, &body).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{path}: {answer}");
    }
    let (status, _) = gateway.get("/v1/chat/completions", &[("x-api-key", &key)]).await;
    assert_eq!(status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_an_error_and_no_clean_end() {
    let provider = Provider::start(|_| {
        Answer::events([
            "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"par\"}}]}\n\n",
        ])
        .cut()
    })
    .await
    .unwrap();
    let (site, gateway, key) = both(&provider);
    for (path, end, mark) in [
        ("/v1/chat/completions", "[DONE]", "\"error\""),
        ("/v1/messages", "message_stop", "event: error"),
    ] {
        let answer = gateway.post_raw(path, &key, &ask("chat/scripted-1", true)).await;
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("par") && text.contains(mark) && !text.contains(end), "{text}");
    }
    gateway.stop();
    let shown = site.run(&["audit", "show"]).unwrap();
    assert!(shown.contains("failed (upstream)"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_cancelled_when_the_client_leaves() {
    let provider = Provider::start(|r| {
        if r.json()["stream"] == json!(true) {
            Answer::events(["data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"]).hang()
        } else {
            Answer::events(Vec::<Bytes>::new()).hang()
        }
    })
    .await
    .unwrap();
    let (site, gateway, key) = both(&provider);

    let mut answer =
        gateway.post_raw("/v1/chat/completions", &key, &ask("chat/scripted-1", true)).await;
    assert!(answer.body_mut().frame().await.unwrap().is_ok());
    drop(answer);
    let body = ask("chat/scripted-1", false);
    let whole = gateway.post_raw("/v1/chat/completions", &key, &body);
    assert!(tokio::time::timeout(Duration::from_millis(300), whole).await.is_err());

    for _ in 0..50 {
        if provider.abandoned() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(provider.abandoned(), 2);
    gateway.stop();
    let shown = site.run(&["audit", "show"]).unwrap();
    assert_eq!(shown.matches("cancelled").count(), 2 * 2, "one record each: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_falls_back_until_one_answers() {
    let bad = Provider::start(|_| Answer::json(503, "{}")).await.unwrap();
    let good = Provider::start(|r| Say::text("from the second").to(r)).await.unwrap();
    let site = Site::new(&format!(
        "{}{}[[alias]]\nname = \"fast\"\ntargets = [\"first/a\", \"second/b\"]\n",
        upstream("first", "openai-compatible", &bad.url()),
        upstream("second", "anthropic", &good.url()),
    ));
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start_with(KEY);
    let answer = gateway.post_raw("/v1/chat/completions", &key, &ask("fast", false)).await;
    assert_eq!(answer.headers()["x-doorward-route"], "second/b");
    let (_, list) = gateway.get("/v1/models", &[("x-api-key", &key)]).await;
    assert!(list.contains("\"fast\"") && list.contains("first/scripted-1"), "{list}");
    let headers = [("x-api-key", key.as_str()), ("anthropic-version", "2023-06-01")];
    let (_, list) = gateway.get("/v1/models", &headers).await;
    assert!(list.contains("has_more"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_only_its_models() {
    let provider = Provider::start(|r| Say::text("yes").to(r)).await.unwrap();
    let (site, gateway, _) = both(&provider);
    let narrow = site.key(&["--name", "narrow", "--models", "chat/*"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (status, _) =
        gateway.post("/v1/chat/completions", &narrow, &ask("chat/scripted-1", false)).await;
    assert_eq!(status, 200);
    let (status, body) =
        gateway.post("/v1/messages", &narrow, &ask("messages/scripted-1", false)).await;
    assert_eq!((status, &body["error"]["type"]), (403, &json!("permission_error")));
    let (_, list) = gateway.get("/v1/models", &[("x-api-key", &narrow)]).await;
    assert!(list.contains("chat/") && !list.contains("messages/"), "{list}");

    site.run(&["keys", "revoke", "narrow"]).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (status, _) =
        gateway.post("/v1/chat/completions", &narrow, &ask("chat/scripted-1", false)).await;
    assert_eq!(status, 401);
}
