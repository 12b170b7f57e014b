//! What servers ask and tell over HTTP, and streams that break.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{Clock, LogLevel, SystemClock, Tools};
use doorward_mcp_broker::{Broker, Era, Server};
use http::{Method, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::http::{broker, cx_of, json as body_of, legacy, modern, plain, scripted};
use crate::peers::{ALL, Person, call, call_of, cx, reply, until};
use crate::real::Body;

/// A stream that says what comes out of a channel.
fn streamed() -> (mpsc::UnboundedSender<String>, Response<Body>) {
    let (say, said) = mpsc::unbounded_channel::<String>();
    let frames = futures_util::stream::unfold(said, |mut said| async {
        let text = said.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), said))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    let response = Response::builder().header("content-type", "text/event-stream");
    (say, response.body(body).unwrap())
}

fn event(text: &str) -> String {
    format!("data: {text}\n\n")
}

#[tokio::test]
async fn what_comes_on_a_calls_own_stream_belongs_to_that_call() {
    // Every call asks on its own stream at once; answers are posted back in the session.
    type Waiting =
        Arc<Mutex<std::collections::HashMap<String, (mpsc::UnboundedSender<String>, Value)>>>;
    let waiting: Waiting = Arc::default();
    let (url, log) = scripted(move |seen| {
        let message = &seen.message;
        if seen.rpc() == "tools/call" {
            let who = message["params"]["arguments"]["who"].as_str().unwrap().to_owned();
            let (say, response) = streamed();
            let token = &message["params"]["_meta"]["progressToken"];
            for said in [
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": who}}),
                json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": who}}),
                json!({"jsonrpc": "2.0", "id": who, "method": "elicitation/create", "params": {"message": who}}),
            ] {
                say.send(event(&said.to_string())).unwrap();
            }
            waiting.lock().unwrap().insert(who, (say, message.clone()));
            return response;
        }
        if seen.rpc().is_empty() && message["id"].is_string() {
            let (say, called) = waiting.lock().unwrap().remove(message["id"].as_str().unwrap()).unwrap();
            let result = json!({"content": [], "said": message["result"]});
            say.send(event(&reply(&called, &result.to_string()))).unwrap();
            return plain(202, "text/plain", "");
        }
        legacy(seen).unwrap()
    })
    .await;
    let server = Server { shared: true, concurrency: 64, ..Server::http("web", &url) };
    let broker = Broker::builder().server(server).build().unwrap();
    let people: Vec<_> = (0..50)
        .map(|n| {
            let person = Person::new(&format!("c{n}"), ALL).hearing(Some(LogLevel::Debug), true);
            Arc::new(person.answering(|_, params| Ok(json!({"for": params["message"]}))))
        })
        .collect();
    let context = cx();
    let calls = people.iter().enumerate().map(|(n, person)| {
        broker.call(&context, call_of(person, "web__t", &format!(r#"{{"who":"c{n}"}}"#)))
    });
    for (n, got) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        let got: Value = serde_json::from_str(got.unwrap().result.get()).unwrap();
        assert_eq!(got["said"]["for"], format!("c{n}"));
        let told = people[n].told.lock().unwrap().clone();
        let own = json!(format!("c{n}"));
        assert_eq!(told, [json!({"progress": own}), json!({"level": "error", "data": own})]);
        assert_eq!(people[n].asked.lock().unwrap().len(), 1);
    }
    let log = log.lock().unwrap();
    let answers: Vec<_> =
        log.iter().filter(|s| s.rpc().is_empty() && s.method == Method::POST).collect();
    assert_eq!(answers.len(), 50);
    assert!(answers.iter().all(|seen| seen.header("mcp-session-id") == "abc"));
}

#[tokio::test]
async fn a_stream_that_ends_early_goes_on_when_and_where_the_server_says() {
    let called = Mutex::new(Value::Null);
    let (url, log) = scripted(move |seen| {
        if seen.rpc() == "tools/call" {
            *called.lock().unwrap() = seen.message.clone();
            return plain(200, "text/event-stream", "id: ev-1\nretry: 300\ndata: \n\n");
        }
        if seen.method == Method::GET {
            let answer = reply(&called.lock().unwrap(), r#"{"late":1}"#);
            return plain(200, "text/event-stream", format!("id: ev-2\n{}", event(&answer)));
        }
        legacy(seen).unwrap()
    })
    .await;
    let broker = broker(&url);
    broker.start().await;
    let begun = SystemClock.instant();
    let got = broker.call(&cx(), call("web__t", "{}")).await.unwrap();
    assert_eq!(got.result.get(), r#"{"late":1}"#);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let log = log.lock().unwrap();
    // Another stream is for news, and resumes nothing.
    let resumed: Vec<_> = log
        .iter()
        .filter(|seen| seen.method == Method::GET && !seen.header("last-event-id").is_empty())
        .collect();
    assert!(!resumed.is_empty());
    assert_eq!(resumed[0].header("last-event-id"), "ev-1");
    assert_eq!(resumed[0].header("mcp-session-id"), "abc");
}

#[tokio::test]
async fn a_modern_server_is_asked_again_with_what_the_client_said() {
    let (url, log) = scripted(|seen| {
        modern(seen).unwrap_or_else(|| {
            let params = &seen.message["params"];
            let result = match params["inputResponses"].as_object() {
                None => json!({"resultType": "input_required", "requestState": "s \u{1}\"", "inputRequests": {
                    "k": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://h/", "message": "m"}}}}),
                Some(said) => json!({"resultType": "complete", "content": [], "said": said, "state": params["requestState"]}),
            };
            body_of(reply(&seen.message, &result.to_string()))
        })
    })
    .await;
    let broker = broker(&url);
    let person = Arc::new(Person::new("ann", ALL));
    let got = broker.call(&cx(), call_of(&person, "web__t", "{}")).await.unwrap();
    let got: Value = serde_json::from_str(got.result.get()).unwrap();
    assert_eq!(got["said"]["k"], json!({"action": "accept"}));
    assert_eq!(got["state"], "s \u{1}\"");
    let asked = person.asked.lock().unwrap();
    assert!(asked[0].1["elicitationId"].is_string(), "2025-11-25 wants one");
    let log = log.lock().unwrap();
    assert!(log.iter().filter(|s| s.rpc() == "tools/call").all(|s| s.header("mcp-name") == "t"));
}

#[tokio::test]
async fn a_server_of_the_first_revision_is_spoken_to_on_two_ways() {
    let stream: Arc<Mutex<Option<mpsc::UnboundedSender<String>>>> = Arc::default();
    let opened = AtomicUsize::new(0);
    let (url, log) = scripted(move |seen| {
        if seen.method == Method::GET {
            let (say, response) = streamed();
            opened.fetch_add(1, Ordering::SeqCst);
            say.send("event: endpoint\ndata: /messages?session=7\n\n".into()).unwrap();
            *stream.lock().unwrap() = Some(say);
            return response;
        }
        let held = stream.lock().unwrap();
        let Some(say) = &*held else { return plain(405, "text/plain", "no") };
        let message = &seen.message;
        let said = match seen.rpc() {
            "initialize" => reply(message, r#"{"protocolVersion":"2024-11-05","capabilities":{}}"#),
            "tools/list" => reply(message, r#"{"tools":[{"name":"t"}]}"#),
            "tools/call" => {
                let asked = json!({"jsonrpc": "2.0", "id": 5, "method": "roots/list"});
                say.send(event(&asked.to_string())).unwrap();
                reply(message, r#"{"content":[],"old":1}"#)
            }
            _ => return plain(202, "text/plain", "Accepted"),
        };
        say.send(format!("event: message\n{}", event(&said))).unwrap();
        plain(202, "text/plain", "Accepted")
    })
    .await;
    let broker = broker(&url);
    let person = Arc::new(Person::new("ann", "{}"));
    let got = broker.call(&cx(), call_of(&person, "web__t", "{}")).await.unwrap();
    assert_eq!(got.result.get(), r#"{"content":[],"old":1}"#);
    assert_eq!(broker.status()[0].era, Some(Era::Legacy));
    until(|| log.lock().unwrap().iter().any(|seen| seen.message["id"] == 5)).await;
}

#[tokio::test]
async fn a_foreign_challenge_is_not_relayed() {
    let (url, _) = scripted(|seen| {
        legacy(seen).unwrap_or_else(|| {
            let mut response = plain(401, "application/json", "{}");
            let challenge = r#"Bearer resource_metadata="https://evil/""#.parse().unwrap();
            response.headers_mut().insert("www-authenticate", challenge);
            response
        })
    })
    .await;
    let error = broker(&url).call(&cx(), call("web__t", "{}")).await.unwrap_err();
    assert!(!format!("{error}").contains("evil"), "{error}");
}

#[tokio::test]
async fn sessions_of_two_principals_are_two() {
    let next = AtomicUsize::new(0);
    let (url, log) = scripted(move |seen| {
        let mut response = legacy(seen).unwrap_or_else(|| body_of(reply(&seen.message, "{}")));
        if seen.rpc() == "initialize" {
            let id = format!("s{}", next.fetch_add(1, Ordering::SeqCst)).parse().unwrap();
            response.headers_mut().insert("mcp-session-id", id);
        }
        response
    })
    .await;
    let broker = broker(&url);
    broker.start().await;
    for id in ["ann", "bob", "ann"] {
        broker.call(&cx_of(id), call("web__t", "{}")).await.unwrap();
    }
    let sessions: Vec<_> = {
        let log = log.lock().unwrap();
        let calls = log.iter().filter(|seen| seen.rpc() == "tools/call");
        calls.map(|seen| seen.header("mcp-session-id").to_owned()).collect()
    };
    assert_eq!(sessions, ["s0", "s1", "s0"]);
    broker.close().await;
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|seen| seen.method == Method::DELETE).count(), 2);
    let _: Full<Bytes> = Full::default();
}
