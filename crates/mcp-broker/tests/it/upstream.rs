//! What servers ask and tell while a call runs, and to whom it goes: over one shared stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{LogLevel, RpcFault, Stage, Tools};
use doorward_mcp_broker::Server;
use serde_json::{Value, json};

use crate::peers::{
    ALL, Act, Local, Person, Script, call, call_of, cx, legacy_with, modern, recording, refuse,
    reply, until,
};

const T: &str = r#"[{"name":"t"},{"name":"u"}]"#;

/// A legacy server whose tool asks; what the client said becomes the result.
pub(crate) fn elicits(method: &'static str) -> Script {
    let calls: Arc<Mutex<HashMap<u64, Value>>> = Arc::default();
    let next = AtomicUsize::new(900);
    Arc::new(move |message| {
        if let Some(acts) = legacy_with(r#"{"tools":{}}"#, message, T) {
            return acts;
        }
        if message["method"] == "tools/call" {
            let id = next.fetch_add(1, Ordering::SeqCst) as u64;
            calls.lock().unwrap().insert(id, message.clone());
            let params = json!({"message": message["params"]["arguments"]["who"]});
            let asked = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            return vec![Act::Say(asked.to_string())];
        }
        let id = message["id"].as_u64().unwrap();
        let Some(called) = calls.lock().unwrap().remove(&id) else { return vec![] };
        let told = json!({"content": [], "said": message["result"], "error": message["error"],
            "isError": message["error"].is_object()});
        vec![Act::Say(reply(&called, &told.to_string()))]
    })
}

fn said(result: &doorward_core::ToolReply) -> Value {
    serde_json::from_str(result.result.get()).unwrap()
}

#[tokio::test]
async fn each_question_reaches_the_client_that_can_answer_it() {
    for (method, able) in [
        ("elicitation/create", r#"{"elicitation":{}}"#),
        ("sampling/createMessage", r#"{"sampling":{}}"#),
        ("roots/list", r#"{"roots":{}}"#),
    ] {
        let broker = Local::default().with("s", elicits(method)).broker(|s| s);
        let person = Arc::new(Person::new("ann", able).answering(|_, _| Ok(json!({"mine": 1}))));
        let got = broker.call(&cx(), call_of(&person, "s__t", r#"{"who":"ann"}"#)).await.unwrap();
        assert_eq!(said(&got)["said"], json!({"mine": 1}), "{method}");
        let asked = person.asked.lock().unwrap().clone();
        assert_eq!(asked, [(method.to_owned(), json!({"message": "ann"}))]);
        // Who did not declare it is not asked, and the server hears why.
        let other = Arc::new(Person::new("bob", "{}"));
        let got = broker.call(&cx(), call_of(&other, "s__t", r#"{"who":"bob"}"#)).await.unwrap();
        assert_eq!(said(&got)["error"]["code"], -32601, "{method}");
        assert!(other.asked.lock().unwrap().is_empty());
        let got = broker.call(&cx(), call("s__t", "{}")).await.unwrap();
        assert_eq!(said(&got)["error"]["code"], -32601, "a call without a client");
    }
}

#[tokio::test]
async fn a_clients_refusal_goes_back_to_the_server() {
    let broker = Local::default().with("s", elicits("elicitation/create")).broker(|s| s);
    let person = Person::new("ann", ALL).answering(|_, _| Err(RpcFault::new(-1, "not \"now\"")));
    let got = broker.call(&cx(), call_of(&Arc::new(person), "s__t", "{}")).await.unwrap();
    assert_eq!(said(&got)["error"], json!({"code": -1, "message": "not \"now\""}));
}

#[tokio::test]
async fn fifty_clients_of_one_shared_process_get_their_own_questions_only() {
    let script = elicits("elicitation/create");
    let local = Local::default().with("s", script);
    let broker = local.broker(|s| Server { shared: true, concurrency: 64, ..s });
    broker.start().await;
    let people: Vec<_> = (0..50)
        .map(|n| {
            let person = Person::new(&format!("client-{n}"), ALL);
            Arc::new(person.answering(|_, params| Ok(json!({"for": params["message"]}))))
        })
        .collect();
    let calls =
        people.iter().enumerate().flat_map(|(n, person)| (0..3).map(move |_| (n, person.clone())));
    let running = calls.map(|(n, person)| {
        let broker = broker.clone();
        tokio::spawn(async move {
            let who = format!(r#"{{"who":"client-{n}"}}"#);
            let got = broker.call(&cx(), call_of(&person, "s__t", &who)).await.unwrap();
            assert_eq!(said(&got)["said"]["for"], format!("client-{n}"));
        })
    });
    for running in running.collect::<Vec<_>>() {
        running.await.unwrap();
    }
    for (n, person) in people.iter().enumerate() {
        let asked = person.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|(_, params)| params["message"] == format!("client-{n}")));
    }
    assert_eq!(local.launches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_tool_that_never_asks_may_overlap_and_one_that_does_may_not() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let script: Script = Arc::new(move |message| {
        legacy_with(r#"{"tools":{}}"#, message, T).unwrap_or_else(|| {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            vec![Act::Later(Duration::from_millis(20), reply(message, "{}"))]
        })
    });
    let broker = Local::default().with("s", script).broker(|s| Server { shared: true, ..s });
    let all = |n: usize| {
        let calls = (0..n).map(|n| {
            let (broker, now) = (broker.clone(), now.clone());
            let person = Arc::new(Person::new(&format!("client-{n}"), ALL));
            async move {
                broker.call(&cx(), call_of(&person, "s__t", "{}")).await.unwrap();
                now.fetch_sub(1, Ordering::SeqCst);
            }
        });
        futures_util::future::join_all(calls)
    };
    all(8).await;
    assert_eq!(most.load(Ordering::SeqCst), 1, "one client at a time at first");
    all(8).await;
    assert!(most.load(Ordering::SeqCst) > 1, "side by side once it is known to be quiet");
}

#[tokio::test]
async fn a_question_that_could_be_anyones_is_refused() {
    let called: Arc<Mutex<Vec<Value>>> = Arc::default();
    let calls = called.clone();
    let script: Script = Arc::new(move |message| {
        if let Some(acts) = legacy_with(r#"{"tools":{}}"#, message, T) {
            return acts;
        }
        if message["method"] == "tools/call" {
            let mut calls = calls.lock().unwrap();
            calls.push(message.clone());
            if message["params"]["arguments"]["hold"] != true {
                return vec![Act::Say(reply(message, "{}"))];
            }
            // The second that is held asks.
            return match calls.iter().filter(|c| c["params"]["arguments"]["hold"] == true).count() {
                2 => vec![Act::Say(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#.into())],
                _ => vec![],
            };
        }
        let calls = calls.lock().unwrap();
        let held = calls.iter().filter(|call| call["params"]["arguments"]["hold"] == true);
        let code = message["error"]["code"].clone();
        held.map(|call| Act::Say(reply(call, &json!({"code": code}).to_string()))).collect()
    });
    let broker = Local::default().with("s", script).broker(|s| Server { shared: true, ..s });
    let people: Vec<_> =
        ["ann", "bob"].into_iter().map(|id| Arc::new(Person::new(id, ALL))).collect();
    for _ in 0..8 {
        broker.call(&cx(), call_of(&people[0], "s__t", "{}")).await.unwrap();
    }
    let context = cx();
    let held = people
        .iter()
        .map(|person| broker.call(&context, call_of(person, "s__t", r#"{"hold":true}"#)));
    for got in futures_util::future::join_all(held).await {
        assert_eq!(said(&got.unwrap())["code"], -32601);
    }
    assert!(people.iter().all(|person| person.asked.lock().unwrap().is_empty()));
}

#[tokio::test]
async fn a_question_is_taken_back_with_its_call() {
    let (script, seen) = recording(elicits("elicitation/create"));
    let broker = Local::default().with("s", script).broker(|s| s);
    let person = Arc::new(Person::new("ann", ALL).thinking(Duration::from_mins(10)));
    let running = {
        let (broker, person) = (broker.clone(), person.clone());
        tokio::spawn(async move { broker.call(&cx(), call_of(&person, "s__t", "{}")).await })
    };
    until(|| !person.asked.lock().unwrap().is_empty()).await;
    running.abort();
    until(|| seen.lock().unwrap().iter().any(|m| m["method"] == "notifications/cancelled")).await;
    // The next one is not held up.
    let quick = Arc::new(Person::new("ann", ALL));
    broker.call(&cx(), call_of(&quick, "s__t", "{}")).await.unwrap();
}

#[tokio::test]
async fn progress_comes_back_to_the_call_that_wants_it() {
    let script = |message: &Value| {
        let token = &message["params"]["_meta"]["progressToken"];
        let progress = json!({
            "jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 0.5, "message": message["params"]["name"]},
        });
        let mut acts = vec![Act::Say(reply(message, &json!({"token": token}).to_string()))];
        if !token.is_null() {
            acts.insert(0, Act::Say(progress.to_string()));
        }
        acts
    };
    let old: Script =
        Arc::new(move |m| legacy_with(r#"{"tools":{}}"#, m, T).unwrap_or_else(|| script(m)));
    let new: Script = Arc::new(move |m| modern(m, T).unwrap_or_else(|| script(m)));
    let broker = Local::default().with("old", old).with("new", new).broker(|s| s);
    for (server, other) in [("old", "bob"), ("new", "eve")] {
        let person = Arc::new(Person::new("ann", "{}").hearing(None, true));
        broker.call(&cx(), call_of(&person, &format!("{server}__u"), "{}")).await.unwrap();
        let told = person.told.lock().unwrap().clone();
        assert_eq!(told, [json!({"progress": 0.5, "message": "u"})], "{server}");
        let silent = Arc::new(Person::new(other, "{}"));
        let got = broker.call(&cx(), call_of(&silent, &format!("{server}__t"), "{}")).await;
        assert_eq!(said(&got.unwrap())["token"], Value::Null);
        assert!(silent.told.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn log_messages_come_at_the_level_that_the_client_wants() {
    let script: Script = Arc::new(move |message| {
        if message["method"] == "logging/setLevel" {
            return vec![Act::Say(reply(message, "{}"))];
        }
        legacy_with(r#"{"tools":{},"logging":{}}"#, message, T).unwrap_or_else(|| {
            let log = |level| {
                Act::Say(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1.0}}}}"#
                ))
            };
            vec![log("debug"), log("warning"), log("alert"), Act::Say(reply(message, "{}"))]
        })
    });
    let (script, seen) = recording(script);
    let broker = Local::default().with("s", script).broker(|s| s);
    for (level, count) in [
        (None, 0),
        (Some(LogLevel::Warning), 2),
        (Some(LogLevel::Debug), 3),
        (Some(LogLevel::Alert), 1),
    ] {
        let person = Arc::new(Person::new("ann", "{}").hearing(level, false));
        broker.call(&cx(), call_of(&person, "s__t", "{}")).await.unwrap();
        assert_eq!(person.told.lock().unwrap().len(), count, "{level:?}");
    }
    let seen = seen.lock().unwrap();
    let levels: Vec<_> = seen
        .iter()
        .filter(|message| message["method"] == "logging/setLevel")
        .map(|message| message["params"]["level"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["warning", "debug"], "widened at once, narrowed at leisure");
}

/// A modern server whose tool wants input this many times.
fn wants(rounds: usize) -> Script {
    Arc::new(move |message| {
        modern(message, T).unwrap_or_else(|| {
            let params = &message["params"];
            let round: usize = params["requestState"].as_str().map_or(0, |s| s.parse().unwrap());
            if round > 0 {
                assert_eq!(params["inputResponses"]["who"], json!({"action": "accept"}));
            }
            let meta = &params["_meta"];
            let result = if round == rounds {
                json!({"resultType": "complete", "content": [], "level": meta["io.modelcontextprotocol/logLevel"],
                    "can": meta["io.modelcontextprotocol/clientCapabilities"]})
            } else {
                json!({"resultType": "input_required", "requestState": format!("{}", round + 1),
                    "inputRequests": {"who": {"method": "elicitation/create",
                        "params": {"mode": "form", "message": "who?", "requestedSchema": {}}}}})
            };
            vec![Act::Say(reply(message, &result.to_string()))]
        })
    })
}

#[tokio::test]
async fn a_modern_servers_rounds_are_asked_of_a_client_with_a_handshake() {
    let (script, seen) = recording(wants(2));
    let broker = Local::default().with("s", script).broker(|s| s);
    let person = Arc::new(Person::new("ann", ALL).hearing(Some(LogLevel::Info), false));
    let got = broker.call(&cx(), call_of(&person, "s__t", r#"{"x":1}"#)).await.unwrap();
    assert_eq!((got.stage, said(&got)["level"].as_str()), (Stage::Complete, Some("info")));
    let can = json!({"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}});
    assert_eq!(said(&got)["can"], can, "what the client can do");
    assert_eq!(person.asked.lock().unwrap().len(), 2);
    let seen = seen.lock().unwrap();
    let calls: Vec<_> = seen.iter().filter(|m| m["method"] == "tools/call").collect();
    assert_eq!(calls.len(), 3);
    assert!(calls[0]["id"] != calls[1]["id"] && calls[1]["id"] != calls[2]["id"]);
    assert!(calls.iter().all(|call| call["params"]["arguments"]["x"] == 1));
}

#[tokio::test]
async fn rounds_that_cannot_be_served_end_the_call_as_the_tools_failure() {
    let broker = Local::default().with("s", wants(1)).with("t", wants(99)).broker(|s| s);
    let unable = Arc::new(Person::new("ann", "{}"));
    let refusing = Person::new("ann", ALL).answering(|_, _| Err(RpcFault::new(-1, "no")));
    let able = Arc::new(Person::new("ann", ALL));
    for (call, why) in [
        (call("s__t", "{}"), "further input"),
        (call_of(&unable, "s__t", "{}"), "further input"),
        (call_of(&Arc::new(refusing), "s__t", "{}"), "further input"),
        (call_of(&able, "t__t", "{}"), "too many times"),
    ] {
        let got = broker.call(&cx(), call).await.unwrap();
        assert!(got.is_error && got.result.get().contains(why), "{}", got.result);
    }
    assert!(able.asked.lock().unwrap().len() <= 8);
}

#[tokio::test]
async fn a_client_of_rounds_is_handed_them() {
    let broker = Local::default().with("s", wants(1)).broker(|s| s);
    let person = Arc::new(Person::new("ann", ALL).rounds());
    let mut call = call_of(&person, "s__t", "{}");
    let got = broker.call(&cx(), call.clone()).await.unwrap();
    assert_eq!(got.stage, Stage::InputRequired);
    assert_eq!(said(&got)["requestState"], "1");
    call.exchange.resume = Some(doorward_core::Resume {
        responses: Some(crate::peers::raw(r#"{"who":{"action":"accept"}}"#)),
        state: Some(crate::peers::raw("\"1\"")),
    });
    let got = broker.call(&cx(), call).await.unwrap();
    assert_eq!(got.stage, Stage::Complete);
    assert!(person.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn urls_to_visit_come_in_the_clients_own_way() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    let script: Script = Arc::new(move |message| {
        legacy_with(r#"{"tools":{}}"#, message, T).unwrap_or_else(|| {
            if counted.fetch_add(1, Ordering::SeqCst) > 0 {
                return vec![Act::Say(reply(message, r#"{"content":[],"ok":1}"#))];
            }
            let data = r#"{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://host/connect","message":"Connect"},{"mode":"url","url":"javascript:x","elicitationId":"f"}]}"#;
            let refused = refuse(message, -32042, "visit").replace("\"visit\"", &format!("\"visit\",\"data\":{data}"));
            vec![Act::Say(refused)]
        })
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    // One of rounds is asked, then the call is made again.
    let modern = Arc::new(Person::new("ann", ALL).rounds());
    let got = broker.call(&cx(), call_of(&modern, "s__t", "{}")).await.unwrap();
    assert_eq!(said(&got)["ok"], 1);
    let asked = modern.asked.lock().unwrap().clone();
    assert_eq!((asked.len(), &asked[0].1["elicitationId"]), (2, &Value::Null));
    // One of 2025-11-25 gets the error, any other the link as text.
    visits.store(0, Ordering::SeqCst);
    let live = Arc::new(Person::new("ann", ALL));
    let got = broker.call(&cx(), call_of(&live, "s__t", "{}")).await.unwrap();
    assert!(got.is_error && live.asked.lock().unwrap().is_empty());
    visits.store(0, Ordering::SeqCst);
    let old = Arc::new(Person::new("ann", r#"{"elicitation":{}}"#));
    let got = broker.call(&cx(), call_of(&old, "s__t", "{}")).await.unwrap();
    assert!(got.is_error && got.result.get().contains("Connect: https://host/connect"));
    assert!(!got.result.get().contains("javascript"), "{}", got.result);
}

#[tokio::test]
async fn a_legacy_tool_that_must_be_a_task_is_waited_for() {
    let polls = AtomicUsize::new(0);
    let script: Script = Arc::new(move |message| {
        let say = |result: Value| vec![Act::Say(reply(message, &result.to_string()))];
        let task =
            |status| json!({"taskId": "k", "status": status, "pollInterval": 10, "ttl": null});
        match message["method"].as_str() {
            Some("tools/call") if message["params"]["task"].is_null() => {
                vec![Act::Say(refuse(message, -32601, "tasks only"))]
            }
            Some("tools/call") => say(json!({"task": task("working")})),
            Some("tasks/get") => {
                assert_eq!(message["params"]["taskId"], "k");
                let over = polls.fetch_add(1, Ordering::SeqCst) >= 2;
                say(task(if over { "completed" } else { "working" }))
            }
            Some("tasks/result") => say(json!({"content": [], "done": true})),
            _ => {
                let can = r#"{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}}"#;
                legacy_with(can, message, T).unwrap_or_default()
            }
        }
    });
    let (script, seen) = recording(script);
    let broker = Local::default().with("s", script).broker(|s| s);
    for _ in 0..2 {
        let got = broker.call(&cx(), call("s__t", "{}")).await.unwrap();
        assert_eq!((got.stage, &said(&got)["done"]), (Stage::Complete, &json!(true)));
    }
    // A client that wants the task itself gets it.
    let mut own = call("s__t", "{}");
    own.exchange.task = Some(crate::peers::raw(r#"{"ttl":5}"#));
    let got = broker.call(&cx(), own).await.unwrap();
    assert_eq!((got.stage, &said(&got)["task"]["taskId"]), (Stage::Task, &json!("s.k")));
    let seen = seen.lock().unwrap();
    let tasks: Vec<_> = seen
        .iter()
        .filter(|m| m["method"] == "tools/call")
        .map(|m| m["params"]["task"].clone())
        .collect();
    assert_eq!(tasks, [Value::Null, json!({}), json!({}), json!({"ttl": 5})], "learnt once");
}

#[tokio::test]
async fn a_modern_task_is_polled_answered_and_taken_back() {
    let script: Script = Arc::new(move |message| {
        let say = |result: Value| vec![Act::Say(reply(message, &result.to_string()))];
        let can = &message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        let able = !can["extensions"]["io.modelcontextprotocol/tasks"].is_null();
        match message["method"].as_str() {
            Some("tools/call" | "tasks/get" | "tasks/update" | "tasks/cancel") if !able => {
                let data = r#""m","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
                vec![Act::Say(refuse(message, -32021, "m").replace("\"m\"", data))]
            }
            Some("tools/call") => {
                say(json!({"resultType": "task", "taskId": "k", "status": "working",
                "pollIntervalMs": 10, "forever": 1}))
            }
            Some("tasks/get") if message["params"]["taskId"] == "k" => {
                say(json!({"resultType": "complete", "taskId": "k", "status": "input_required",
                "pollIntervalMs": 10, "inputRequests": {"a": {"method": "roots/list"}}}))
            }
            Some("tasks/update" | "tasks/cancel") => say(json!({"resultType": "complete"})),
            _ => modern(message, T).unwrap_or_default(),
        }
    });
    let (script, seen) = recording(script);
    let updated = seen.clone();
    // Once answered, the task is complete.
    let script: Script = Arc::new(move |message| {
        let answered = || updated.lock().unwrap().iter().any(|m| m["method"] == "tasks/update");
        if message["method"] == "tasks/get" && answered() {
            let done = json!({"resultType": "complete", "taskId": "k", "status": "completed",
                "result": {"resultType": "complete", "content": [], "done": 1}});
            return vec![Act::Say(reply(message, &done.to_string()))];
        }
        script(message)
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    let person = Arc::new(Person::new("ann", ALL).answering(|_, _| Ok(json!({"roots": []}))));
    let got = broker.call(&cx(), call_of(&person, "s__t", "{}")).await.unwrap();
    assert_eq!(said(&got)["done"], 1, "{}", got.result);
    assert_eq!(person.asked.lock().unwrap().len(), 1);
    seen.lock().unwrap().clear();
    // Nobody to answer: the task is cancelled, the model is told.
    let unable = Arc::new(Person::new("bob", "{}"));
    let got = broker.call(&cx(), call_of(&unable, "s__t", "{}")).await.unwrap();
    assert!(got.is_error, "{}", got.result);
    until(|| seen.lock().unwrap().iter().any(|m| m["method"] == "tasks/cancel")).await;
    // A client that takes tasks is handed it.
    let taker = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let taker = Arc::new(Person::new("eve", taker).rounds());
    let got = broker.call(&cx(), call_of(&taker, "s__t", "{}")).await.unwrap();
    assert_eq!(got.stage, Stage::Task);
    // One of the same era that takes none hears what it would have to declare.
    let other = Arc::new(Person::new("eve", ALL).rounds());
    let got = broker.call(&cx(), call_of(&other, "s__t", "{}")).await.unwrap();
    assert_eq!((got.stage, &said(&got)["code"]), (Stage::Fault, &json!(-32021)));
    assert!(said(&got)["data"]["requiredCapabilities"]["extensions"].is_object());
}
