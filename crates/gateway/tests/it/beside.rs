//! What is asked beside Chat Completions and Messages: Responses and what is kept of them,
//! embeddings, counts, and requests that are sent on as they are.

use std::sync::Arc;

use doorward_core::{Models, Outcome, Pattern, Scopes, SystemClock};
use doorward_model_router::{CacheLimits, Cached, ResponseCache};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::stack::{Setup, endings};
use crate::upstream::{Play, Upstream, greets};

async fn post(client: &mut Client, path: &str, body: &Value) -> Answer {
    let request = client.request(Method::POST, path, body.to_string());
    client.send(request).await
}

#[tokio::test]
async fn a_responses_client_goes_on_from_a_kept_answer() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    let first = json!({"model": "claude/m-1", "input": "Hi"});
    let answer = post(&mut client, "/v1/responses", &first).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!(body["output"][0]["content"][0]["text"], "Hello there");
    assert_eq!(body["output"][1]["name"], "lookup");

    let call = body["output"][1]["call_id"].clone();
    let result = json!({"type": "function_call_output", "call_id": call, "output": "2"});
    let second = json!({"model": "claude/m-1", "previous_response_id": id, "input": [result]});
    let answer = post(&mut client, "/v1/responses", &second).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["previous_response_id"], id.as_str());
    let asked = stack.upstream.asked();
    let sent: Value = serde_json::from_slice(asked[1].body()).unwrap();
    let roles: Vec<&str> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"], "the whole history goes: {sent}");
    assert!(!sent.to_string().contains(&id), "no provider is sent the id");

    let kept = client.request(Method::GET, &format!("/v1/responses/{id}"), "");
    assert_eq!(client.send(kept).await.json(), body);
    let items = client.request(Method::GET, &format!("/v1/responses/{id}/input_items"), "");
    assert_eq!(client.send(items).await.json()["data"][0]["role"], "user");
    let delete = client.request(Method::DELETE, &format!("/v1/responses/{id}"), "");
    assert_eq!(client.send(delete).await.json()["deleted"], true);
    let answer = post(&mut client, "/v1/responses", &second).await;
    assert_eq!((answer.status, stack.upstream.asked().len()), (404, 2), "gone: {answer:?}");
    drop(client);
    stack.close().await;
}

#[tokio::test]
async fn a_streamed_answer_is_kept_too_and_one_that_must_not_be_is_not() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    for (store, status) in [(true, 200), (false, 404)] {
        let ask = json!({"model": "chat/m-1", "input": "Hi", "stream": true, "store": store});
        let answer = post(&mut client, "/v1/responses", &ask).await;
        let done = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
        let done = done.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let done: Vec<Value> = done.filter(|it| it["type"] == "response.completed").collect();
        let [done] = &done[..] else { panic!("{answer:?}") };
        let id = done["response"]["id"].as_str().unwrap();
        let kept = client.request(Method::GET, &format!("/v1/responses/{id}"), "");
        assert_eq!(client.send(kept).await.status, status, "store: {store}");
    }
    drop(client);
    stack.close().await;
}

#[tokio::test]
async fn a_web_socket_is_declined_so_that_clients_go_on_over_http() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    let request = client.request(Method::GET, "/v1/responses", "");
    let answer = client.send(request).await;
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("HTTP/1.1")), "{answer:?}");
    drop(client);
    stack.close().await;
}

const VECTORS: &str = r#"{"object":"list","model":"m-1","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#;

#[tokio::test]
async fn embeddings_are_authorised_settled_and_on_record() {
    let scopes = Scopes { models: Some(vec![Pattern::new("chat/*")]), ..Scopes::default() };
    let setup = Setup { scopes, ..Setup::default() };
    let stack = setup.build(Upstream::new(|_| Play::json(200, VECTORS)));
    let mut client = stack.client().await;
    let ask = json!({"model": "chat/m-1", "input": ["a b c"]});
    let answer = post(&mut client, "/v1/embeddings", &ask).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, VECTORS, "its own dialect, as it came");
    assert_eq!(answer.header("x-doorward-route"), Some("chat/m-1"));
    let other = json!({"model": "claude/m-1", "input": "a"});
    assert_eq!(post(&mut client, "/v1/embeddings", &other).await.status, 403);
    drop(client);
    let calls = stack.close().await;
    let outcomes: Vec<Outcome> = endings(&calls).iter().map(|ending| ending.outcome).collect();
    assert_eq!(outcomes, [Outcome::Completed, Outcome::Denied]);
    let text = serde_json::to_string(&endings(&calls)).unwrap();
    assert!(text.contains(r#""operation":"embed""#) && text.contains(r#""input":3"#), "{text}");
}

#[tokio::test]
async fn tokens_are_counted_by_the_upstream_or_estimated() {
    let counted = |_: &_| Play::json(200, r#"{"input_tokens":21}"#);
    let stack = Setup::default().build(Upstream::new(counted));
    let mut client = stack.client().await;
    for (model, estimated) in [("claude/m-1", None), ("chat/m-1", Some("true"))] {
        let ask = json!({"model": model, "messages": [{"role": "user", "content": "Count me"}]});
        let answer = post(&mut client, "/v1/messages/count_tokens", &ask).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-doorward-estimated"), estimated, "{model}");
        let tokens = answer.json()["input_tokens"].as_u64().unwrap();
        assert!(if estimated.is_none() { tokens == 21 } else { tokens > 0 }, "{answer:?}");
    }
    drop(client);
    stack.close().await;
}

#[tokio::test]
async fn a_request_is_relayed_with_our_credential_and_not_the_callers() {
    let answer = Play::json(200, r#"{"object":"list","data":[]}"#);
    let stack = Setup::default().build(Upstream::new(move |_| answer.clone()));
    let mut client = stack.client().await;
    let mut request = client.request(Method::GET, "/v1/files?limit=2", "");
    request.headers_mut().insert("cookie", "session=1".parse().unwrap());
    let answer = client.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = stack.upstream.asked();
    assert_eq!(asked[0].uri(), "http://chat.test/v1/files?limit=2");
    let headers = asked[0].headers();
    assert_eq!(headers["authorization"], format!("Bearer {}", crate::stack::UPSTREAM_KEY));
    assert!(headers.get("cookie").is_none());
    drop(client);
    let calls = stack.close().await;
    let text = serde_json::to_string(&endings(&calls)).unwrap();
    assert!(text.contains(r#""type":"relay""#) && text.contains(r#""path":"/files""#), "{text}");
}

#[tokio::test]
async fn a_key_with_a_list_of_models_may_not_relay_past_it() {
    let scopes = Scopes { models: Some(vec![Pattern::new("chat/m-1")]), ..Scopes::default() };
    let setup = Setup { scopes, ..Setup::default() };
    let stack = setup.build(Upstream::new(|_| Play::json(200, "{}")));
    let mut client = stack.client().await;
    for (path, body, status) in [
        ("/v1/files", json!({}), 403),
        ("/v1/images/generations", json!({"model": "chat/other"}), 403),
        ("/v1/images/generations", json!({"model": "chat/m-1"}), 200),
    ] {
        let answer = post(&mut client, path, &body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    }
    let asked = stack.upstream.asked();
    assert_eq!(asked.len(), 1);
    drop(client);
    stack.close().await;
}

#[tokio::test]
async fn models_named_as_fallbacks_must_be_allowed_too() {
    let scopes = Scopes { models: Some(vec![Pattern::new("chat/m-1")]), ..Scopes::default() };
    let setup = Setup { scopes, ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let ask = json!({"model": "chat/m-1", "models": ["claude/m-1"],
        "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&mut client, "/v1/chat/completions", &ask).await;
    assert_eq!((answer.status, stack.upstream.asked().len()), (403, 0), "{answer:?}");
    drop(client);
    stack.close().await;
}

fn cached(models: Arc<dyn Models>) -> Arc<dyn Models> {
    let clock = Arc::new(SystemClock);
    let cache = ResponseCache::new(CacheLimits::default(), clock);
    Arc::new(Cached::new(models, Arc::new(cache)))
}

#[tokio::test]
async fn an_equal_call_is_answered_from_the_cache_and_says_so() {
    let setup = Setup { models: cached, ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let ask =
        |text: &str| json!({"model": "chat/m-1", "messages": [{"role": "user", "content": text}]});
    let first = post(&mut client, "/v1/chat/completions", &ask("Hi")).await;
    let again = post(&mut client, "/v1/chat/completions", &ask("Hi")).await;
    let other = post(&mut client, "/v1/chat/completions", &ask("Hi!")).await;
    assert_eq!(first.body, again.body);
    let told = [&first, &again, &other].map(|answer| answer.header("x-doorward-cache"));
    assert_eq!(told, [None, Some("hit"), None]);
    assert_eq!(stack.upstream.asked().len(), 2, "the second was not asked");
    drop(client);
    let calls = stack.close().await;
    let text = serde_json::to_string(&endings(&calls)).unwrap();
    assert_eq!(text.matches(r#""cached":true"#).count(), 1, "{text}");
}
