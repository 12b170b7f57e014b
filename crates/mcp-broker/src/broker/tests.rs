//! The catalogue over links that are scripts.

mod pinned;
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_core::{
    Code, Exchange, Fetch, FetchCall, Interest, ItemKind, News, Pattern, Scope, Stage, ToolCall,
    ToolName, ToolReply, Tools,
};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::scripted::{Keys, Scripted, broker, built, cx, profile, raw, refuse};
use crate::broker::Broker;
use crate::upstream::{Failure, Rumour};

const ALL: &str = r#"{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{}}"#;

/// A server with one of everything.
fn whole() -> Scripted {
    Scripted::new(ALL, |method, params| {
        let result = match method {
            "tools/list" => json!({"tools": [
                {"name": "show", "_meta": {"ui": {"resourceUri": "ui://clock/face"}}},
            ]}),
            "tools/call" => json!({
                "content": [{"type": "resource_link", "name": "a", "uri": "file:///a"}],
                "structuredContent": {"uri": "file:///a"},
            }),
            "prompts/list" => json!({"prompts": [{"name": "greet", "icons": [{"src": "data:,"}]}]}),
            "prompts/get" => json!({
                "messages": [{"role": "user", "content": {
                    "type": "resource", "resource": {"uri": "file:///a", "text": "t"},
                }}],
            }),
            "resources/list" => json!({"resources": [
                {"uri": "file:///a", "name": "a"}, {"uri": "ui://clock/face", "name": "face"},
            ]}),
            "resources/templates/list" => {
                json!({"resourceTemplates": [{"uriTemplate": "file:///{x}", "name": "t"}]})
            }
            "resources/read" if params["uri"] == "file:///none" => {
                return refuse(-32002, "no such resource");
            }
            "resources/read" => json!({"contents": [{"uri": params["uri"], "text": "x"}]}),
            "completion/complete" => json!({"completion": {"values": ["a"]}}),
            "tasks/get" => json!({"taskId": params["taskId"], "status": "working"}),
            _ => return refuse(-32601, "method not found"),
        };
        Ok(result.to_string())
    })
}

async fn keys(broker: &Broker, scope: &Scope, kind: ItemKind) -> Vec<String> {
    let list = broker.items(&cx("ann"), scope, kind).await.unwrap();
    list.items.iter().map(|item| item.key.to_string()).collect()
}

async fn fetch(
    broker: &Broker,
    scope: &Scope,
    fetch: Fetch,
    params: &str,
) -> Result<ToolReply, Code> {
    let cx = cx("ann");
    let params = raw(params);
    let server = broker.locate(&cx, scope, fetch, &params).await.map_err(|error| error.code)?;
    let exchange = Exchange::default();
    let call = FetchCall { fetch, server, params, meta: None, exchange };
    broker.fetch(&cx, scope, call).await.map_err(|error| error.code)
}

async fn call(broker: &Broker, scope: &Scope, name: &str) -> ToolReply {
    let tool = broker.resolve(&cx("ann"), scope, name).await.unwrap();
    let call = ToolCall { scope: scope.clone(), ..ToolCall::new(tool, raw("{}")) };
    broker.call(&cx("ann"), call).await.unwrap()
}

#[tokio::test]
async fn everything_of_every_server_is_listed_under_federated_names() {
    let (one, two) = (whole(), whole());
    let broker = broker(&[("my_b", &two), ("a", &one)]);
    assert_eq!(keys(&broker, &Scope::All, ItemKind::Prompts).await, ["a__greet", "my_b__greet"]);
    assert_eq!(
        keys(&broker, &Scope::All, ItemKind::Resources).await,
        ["a+file:///a", "ui://a+clock/face", "my.b+file:///a", "ui://my.b+clock/face"]
    );
    let templates = keys(&broker, &profile("my_b"), ItemKind::Templates).await;
    assert_eq!(templates, ["my.b+file:///{x}"]);
    let list = broker.items(&cx("ann"), &profile("a"), ItemKind::Prompts).await.unwrap();
    assert_eq!(list.items[0].definition.get(), r#"{"name":"a__greet","icons":[{"src":"data:,"}]}"#);
    let tools = broker.list(&cx("ann"), &Scope::All).await.unwrap();
    let definition: Value = serde_json::from_str(tools.tools[0].definition.get()).unwrap();
    assert_eq!(definition["_meta"]["ui"]["resourceUri"], "ui://a+clock/face");
}

#[tokio::test]
async fn what_is_asked_reaches_its_own_server_under_its_own_name() {
    let (one, two) = (whole(), whole());
    let broker = broker(&[("my_b", &two), ("a", &one)]);
    let all = Scope::All;
    for (what, params, own) in [
        (
            Fetch::Resource,
            json!({"uri": "my.b+file:///z", "x": 1}),
            json!({"uri": "file:///z", "x": 1}),
        ),
        (
            Fetch::Resource,
            json!({"uri": "ui://my.b+clock/face"}),
            json!({"uri": "ui://clock/face"}),
        ),
        (
            Fetch::Prompt,
            json!({"name": "my_b__greet", "arguments": {}}),
            json!({"name": "greet", "arguments": {}}),
        ),
        (
            Fetch::Completion,
            json!({"ref": {"type": "ref/prompt", "name": "my_b__greet"}, "argument": {"name": "n"}}),
            json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "n"}}),
        ),
        (
            Fetch::Completion,
            json!({"ref": {"type": "ref/resource", "uri": "my.b+file:///{x}"}}),
            json!({"ref": {"type": "ref/resource", "uri": "file:///{x}"}}),
        ),
        (Fetch::TaskGet, json!({"taskId": "my_b.t.1"}), json!({"taskId": "t.1"})),
    ] {
        fetch(&broker, &all, what, &params.to_string()).await.unwrap();
        assert_eq!(one.count(what.method()), 0, "{params}");
        let (whose, name, asked) = two.last(what.method());
        assert_eq!(asked, own, "{params}");
        assert_eq!(&*whose, "ann");
        let told = own.get("uri").or(own.get("name")).or(own.get("taskId"));
        assert_eq!(name.as_deref(), told.and_then(Value::as_str), "{params}");
    }
}

#[tokio::test]
async fn results_come_in_federated_names_and_transparent_routes_change_nothing() {
    let (one, bare) = (whole(), whole());
    let broker = broker(&[("a", &one), ("bare", &bare)]);
    let link = |uri: &str| {
        json!({
            "content": [{"type": "resource_link", "name": "a", "uri": uri}],
            "structuredContent": {"uri": "file:///a"},
        })
        .to_string()
    };
    let reply = call(&broker, &Scope::All, "a__show").await;
    assert_eq!(reply.result.get(), link("a+file:///a"));
    let reply = call(&broker, &Scope::All, "bare__show").await;
    assert_eq!(reply.result.get(), link("bare+file:///a"));
    let reply = call(&broker, &profile("bare"), "show").await;
    assert_eq!(reply.result.get(), link("file:///a"));

    let read = fetch(&broker, &Scope::All, Fetch::Resource, r#"{"uri":"a+file:///b"}"#).await;
    assert_eq!(read.unwrap().result.get(), r#"{"contents":[{"uri":"a+file:///b","text":"x"}]}"#);
    let read = fetch(&broker, &profile("bare"), Fetch::Resource, r#"{"uri":"file:///b"}"#).await;
    assert_eq!(read.unwrap().result.get(), r#"{"contents":[{"uri":"file:///b","text":"x"}]}"#);
    let got = fetch(&broker, &Scope::All, Fetch::Prompt, r#"{"name":"a__greet"}"#).await.unwrap();
    assert!(got.result.get().contains(r#""uri":"a+file:///a""#), "{}", got.result);
    let task = fetch(&broker, &Scope::All, Fetch::TaskGet, r#"{"taskId":"a.7"}"#).await.unwrap();
    assert!(task.result.get().contains(r#""taskId":"a.7""#), "{}", task.result);
    let all = [ItemKind::Prompts, ItemKind::Resources, ItemKind::Templates];
    for (kind, own) in all.into_iter().zip(["greet", "file:///a", "file:///{x}"]) {
        assert_eq!(keys(&broker, &profile("bare"), kind).await[0], own);
    }
}

#[tokio::test]
async fn what_is_not_in_the_scope_is_not_there() {
    let (one, two) = (whole(), whole());
    let broker = built(&[("a", &one), ("b", &two)], |builder| {
        builder
            .profile("tools_only", vec![], vec![Pattern::new("a__show")])
            .profile("greeting", vec!["a".into()], vec![Pattern::new("*__greet")])
            .profile("reading", vec![], vec![Pattern::new("b__resources.read")])
    });
    for (scope, what, params, found) in [
        (Scope::All, Fetch::Resource, r#"{"uri":"file:///a"}"#, Err(Code::NotFound)),
        (Scope::All, Fetch::Resource, r#"{"uri":"c+file:///a"}"#, Err(Code::NotFound)),
        (Scope::All, Fetch::Resource, "{}", Err(Code::InvalidRequest)),
        (Scope::All, Fetch::Prompt, r#"{"name":"a__nothing"}"#, Err(Code::NotFound)),
        (Scope::All, Fetch::TaskGet, r#"{"taskId":"7"}"#, Err(Code::NotFound)),
        (Scope::All, Fetch::Completion, r#"{"ref":{"type":"x"}}"#, Err(Code::InvalidRequest)),
        (profile("a"), Fetch::Resource, r#"{"uri":"b+file:///a"}"#, Err(Code::NotFound)),
        (profile("nobody"), Fetch::Resource, r#"{"uri":"a+file:///a"}"#, Err(Code::NotFound)),
        (profile("tools_only"), Fetch::Resource, r#"{"uri":"a+file:///a"}"#, Err(Code::NotFound)),
        (profile("tools_only"), Fetch::Prompt, r#"{"name":"a__greet"}"#, Err(Code::NotFound)),
        (profile("greeting"), Fetch::Prompt, r#"{"name":"a__greet"}"#, Ok(())),
        (profile("greeting"), Fetch::Prompt, r#"{"name":"b__greet"}"#, Err(Code::NotFound)),
        (profile("reading"), Fetch::Resource, r#"{"uri":"b+file:///a"}"#, Ok(())),
        (profile("reading"), Fetch::Resource, r#"{"uri":"a+file:///a"}"#, Err(Code::NotFound)),
    ] {
        let got = fetch(&broker, &scope, what, params).await.map(|_| ());
        assert_eq!(got, found, "{scope:?} {params}");
    }
    assert!(keys(&broker, &profile("tools_only"), ItemKind::Prompts).await.is_empty());
    assert_eq!(keys(&broker, &profile("greeting"), ItemKind::Prompts).await, ["a__greet"]);
    assert_eq!(keys(&broker, &profile("reading"), ItemKind::Resources).await.len(), 2);
    // Located for one server, asked of another: whoever judged it judged something else.
    let call = FetchCall {
        fetch: Fetch::Resource,
        server: "a".into(),
        params: raw(r#"{"uri":"b+file:///a"}"#),
        meta: None,
        exchange: Exchange::default(),
    };
    let error = broker.fetch(&cx("ann"), &Scope::All, call).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn a_servers_refusal_is_told_in_its_words() {
    let one = whole();
    let broker = broker(&[("a", &one)]);
    let reply = fetch(&broker, &Scope::All, Fetch::Resource, r#"{"uri":"a+file:///none"}"#).await;
    let reply = reply.unwrap();
    assert_eq!(reply.stage, Stage::Fault);
    assert_eq!(reply.result.get(), r#"{"code":-32002,"message":"no such resource"}"#);
}

#[tokio::test]
async fn a_server_without_prompts_is_not_asked_and_leaves_no_gap() {
    let silent = Scripted::new(r#"{"tools":{}}"#, |_, _| refuse(-32601, "method not found"));
    // One that promises what it does not know.
    let boasting = Scripted::new(ALL, |_, _| refuse(-32601, "method not found"));
    let broker = broker(&[("a", &silent), ("b", &boasting)]);
    let list = broker.items(&cx("ann"), &Scope::All, ItemKind::Prompts).await.unwrap();
    assert!(list.items.is_empty() && list.gaps.is_empty());
    assert_eq!((silent.count("prompts/list"), boasting.count("prompts/list")), (0, 1));
    assert!(broker.list(&cx("ann"), &Scope::All).await.unwrap().gaps.is_empty());
}

#[tokio::test]
async fn offers_are_those_of_all_and_of_a_transparent_server_its_own() {
    let one = Scripted::with_instructions(r#"{"prompts":{}}"#, Some("Be kind."), |_, _| {
        refuse(-32601, "")
    });
    let bare = Scripted::with_instructions(
        r#"{"tools":{"listChanged":false},"x":1.0}"#,
        Some("Be brief."),
        |_, _| refuse(-32601, ""),
    );
    let broker = broker(&[("a", &one), ("bare", &bare)]);
    let all = broker.offers(&cx("ann"), &Scope::All).await.unwrap();
    let capabilities: Value = serde_json::from_str(all.capabilities.unwrap().get()).unwrap();
    let expected = json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true}});
    assert_eq!(capabilities, expected);
    assert_eq!(all.instructions.unwrap(), "## a\n\nBe kind.\n\n## bare\n\nBe brief.");
    assert!(all.server_info.is_none());
    let own = broker.offers(&cx("ann"), &profile("bare")).await.unwrap();
    assert_eq!(own.capabilities.unwrap().get(), r#"{"tools":{"listChanged":false},"x":1.0}"#);
    assert_eq!(own.instructions.as_deref(), Some("Be brief."));
    assert_eq!(own.server_info.unwrap().get(), r#"{"name":"own","version":"1"}"#);
}

/// A server whose tools are counted as they are listed, public or not.
fn counted(scope: &'static str) -> (Scripted, Arc<AtomicUsize>) {
    let lists = Arc::new(AtomicUsize::new(0));
    let seen = lists.clone();
    let server = Scripted::new(ALL, move |method, _| match method {
        "tools/list" => {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(json!({"tools": [{"name": "t"}], "ttlMs": 60_000, "cacheScope": scope}).to_string())
        }
        _ => Ok("{}".into()),
    });
    (server, lists)
}

#[tokio::test]
async fn a_list_is_shared_between_credentials_only_where_the_server_says_so() {
    for (scope, read) in [("public", 1), ("private", 2)] {
        let (server, lists) = counted(scope);
        let broker = built(&[("a", &server)], |builder| builder.credentials(Arc::new(Keys)));
        for person in ["ann", "bob", "ann", "bob"] {
            assert_eq!(broker.list(&cx(person), &Scope::All).await.unwrap().tools.len(), 1);
        }
        assert_eq!(lists.load(Ordering::SeqCst), read, "{scope}");
    }
}

#[tokio::test]
async fn one_persons_tools_are_not_anothers() {
    let server = Scripted::new(ALL, |method, _| match method {
        "tools/call" => Ok(r#"{"content":[]}"#.into()),
        _ => Ok(r#"{"tools":[]}"#.into()),
    });
    let broker = built(&[("a", &server)], |builder| builder.credentials(Arc::new(Keys)));
    // Known by name, since somebody else has it.
    broker.inner.tool_names.learn(0, ["secret"].into_iter());
    let call = ToolCall::new(ToolName::new("a__secret"), raw("{}"));
    let error = broker.call(&cx("bob"), call).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    assert_eq!(server.count("tools/call"), 0);
}

async fn next(news: &mut (impl futures_util::Stream<Item = News> + Unpin)) -> News {
    tokio::time::timeout(Duration::from_secs(2), news.next()).await.unwrap().unwrap()
}

fn params(text: &str) -> Arc<RawValue> {
    Arc::from(raw(text))
}

#[tokio::test]
async fn news_come_in_federated_names_and_only_as_asked_for() {
    let (one, two) = (whole(), whole());
    let broker = broker(&[("a", &one), ("my_b", &two)]);
    let interest = Interest {
        prompts: true,
        updates: vec!["my.b+file:///a".into(), "a+unknown:x".into(), "c+x:y".into()],
        tasks: vec!["a.t1".into(), "nobody.t1".into()],
        ..Interest::default()
    };
    let (accepted, mut news) = broker.listen(&cx("ann"), &Scope::All, interest).await.unwrap();
    assert_eq!((accepted.tools, accepted.prompts), (false, true));
    assert_eq!(accepted.updates, ["my.b+file:///a"]);
    assert_eq!(accepted.tasks, ["a.t1"]);
    assert_eq!((one.followed("unknown:x"), two.followed("file:///a")), (0, 1));

    two.tell(Rumour::Tools);
    two.tell(Rumour::Updated(params(r#"{"uri":"file:///other"}"#)));
    two.tell(Rumour::Updated(params(r#"{"uri":"file:///a","x":1.0}"#)));
    match next(&mut news).await {
        News::Updated { uri, params } => {
            assert_eq!(uri, "my.b+file:///a");
            assert_eq!(params.get(), r#"{"uri":"my.b+file:///a","x":1.0}"#);
        }
        other => panic!("{other:?}"),
    }
    two.tell(Rumour::Updated(params(r#"{"uri":"file:///a/part"}"#)));
    let part = next(&mut news).await;
    assert!(matches!(&part, News::Updated { uri, .. } if uri == "my.b+file:///a/part"), "{part:?}");
    one.tell(Rumour::Task(params(r#"{"taskId":"t2","status":"working"}"#)));
    one.tell(Rumour::Task(params(r#"{"taskId":"t1","status":"completed"}"#)));
    match next(&mut news).await {
        News::Task { id, params } => {
            assert_eq!(id, "a.t1");
            assert_eq!(params.get(), r#"{"taskId":"a.t1","status":"completed"}"#);
        }
        other => panic!("{other:?}"),
    }
    one.tell(Rumour::Prompts);
    assert!(matches!(next(&mut news).await, News::Prompts));
    assert!(news.next().now_or_never().is_none(), "nothing else was told");

    drop(news);
    for _ in 0..100 {
        if two.followed("file:///a") == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still followed");
}

#[tokio::test]
async fn what_changed_is_read_again_at_once() {
    let (server, lists) = counted("private");
    let broker = broker(&[("a", &server)]);
    let interest = Interest { tools: true, ..Interest::default() };
    let (_, mut news) = broker.listen(&cx("ann"), &Scope::All, interest).await.unwrap();
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert_eq!(lists.load(Ordering::SeqCst), 1);
    server.tell(Rumour::Tools);
    assert!(matches!(next(&mut news).await, News::Tools));
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert_eq!(lists.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_change_that_nobody_told_is_news_too() {
    let number = Arc::new(AtomicUsize::new(0));
    let counted = number.clone();
    let server = Scripted::new(ALL, move |_, _| {
        let tools = json!([{"name": format!("t{}", counted.load(Ordering::SeqCst))}]);
        Ok(json!({"tools": tools, "ttlMs": 0}).to_string())
    });
    let broker = broker(&[("a", &server)]);
    let interest = Interest { tools: true, ..Interest::default() };
    let (_, mut news) = broker.listen(&cx("ann"), &Scope::All, interest).await.unwrap();
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert!(news.next().now_or_never().is_none(), "the same again is no news");
    number.store(1, Ordering::SeqCst);
    broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert!(matches!(next(&mut news).await, News::Tools));
}

#[tokio::test]
async fn an_answer_too_large_names_the_limit() {
    let server = Scripted::new(ALL, |method, _| match method {
        "tools/list" => Ok(r#"{"tools":[{"name":"t"}]}"#.into()),
        _ => Err(Failure::TooLarge(1000)),
    });
    let broker = broker(&[("a", &server)]);
    let reply = call(&broker, &Scope::All, "a__t").await;
    assert!(reply.is_error && reply.result.get().contains("1000 bytes"), "{}", reply.result);
    let read = fetch(&broker, &Scope::All, Fetch::Resource, r#"{"uri":"a+x:y"}"#).await.unwrap();
    assert_eq!(read.stage, Stage::Fault);
    assert!(read.result.get().contains("1000 bytes"), "{}", read.result);
}

#[cfg(feature = "schema")]
#[tokio::test]
async fn arguments_and_results_are_held_against_the_schemas() {
    use crate::{Server, Strictness, Validation};

    let server = || {
        Scripted::new(ALL, |method, params| {
            match method {
            "tools/list" => Ok(json!({"tools": [{
                "name": "t",
                "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
                "outputSchema": {"type": "object", "required": ["ok"]},
            }]})
            .to_string()),
            _ if params["arguments"]["n"] == 1 => {
                Ok(r#"{"content":[],"structuredContent":{"ok":1.0}}"#.into())
            }
            _ if params["arguments"]["n"] == 2 => Ok(r#"{"content":[],"isError":true}"#.into()),
            _ => Ok(r#"{"content":[],"_meta":{"x":1.0},"structuredContent":{"no":1.0}}"#.into()),
        }
        })
    };
    let (off, warn, refuse) = (Strictness::Off, Strictness::Warn, Strictness::Refuse);
    let policy = |arguments, results| Validation { arguments, results };
    for (validate, arguments, ran, told) in [
        (Validation::default(), r#"{"n":"secret"}"#, 0, "/n: "),
        (Validation::default(), "{}", 0, "do not fit"),
        (policy(warn, warn), "{}", 1, "doorward/invalid"),
        (policy(off, off), "{}", 1, r#""_meta":{"x":1.0}"#),
        (
            Validation::default(),
            r#"{"n":1}"#,
            1,
            r#"{"content":[],"structuredContent":{"ok":1.0}}"#,
        ),
        (Validation::default(), r#"{"n":2}"#, 1, r#"{"content":[],"isError":true}"#),
        (Validation::default(), r#"{"n":3}"#, 1, r#""x":1.0"#),
        (Validation::default(), r#"{"n":3}"#, 1, "doorward/invalid"),
        (policy(refuse, refuse), r#"{"n":3}"#, 1, "withheld"),
        (policy(refuse, refuse), r#"{"n":1}"#, 1, "structuredContent"),
    ] {
        let link = server();
        let asked = link.clone();
        let broker = Broker::builder()
            .server(Server { validate, ..Server::http("a", "http://127.0.0.1:1/") })
            .build_over(move |_, _| Ok(Box::new(link.clone())))
            .unwrap();
        let call = ToolCall::new(ToolName::new("a__t"), raw(arguments));
        let reply = broker.call(&cx("ann"), call).await.unwrap();
        assert_eq!(asked.count("tools/call"), ran, "{validate:?} {arguments}");
        let result = reply.result.get();
        assert!(result.contains(told), "{validate:?} {arguments}: {result}");
        assert!(!result.contains("secret"), "what was wrong is not repeated: {result}");
    }
}

#[cfg(feature = "redact")]
#[tokio::test]
async fn secrets_are_taken_out_where_asked() {
    use crate::Server;

    let server = Scripted::new(ALL, |method, _| match method {
        "tools/list" => Ok(r#"{"tools":[{"name":"t"}]}"#.into()),
        _ => Ok(r#"{"content":[{"type":"text","text":"AKIAIOSFODNN7EXAMPLE"}],"x":1.0}"#.into()),
    });
    for redact in [true, false] {
        let link = server.clone();
        let broker = Broker::builder()
            .server(Server { redact, ..Server::http("a", "http://127.0.0.1:1/") })
            .build_over(move |_, _| Ok(Box::new(link.clone())))
            .unwrap();
        let reply = call(&broker, &Scope::All, "a__t").await;
        let result = reply.result.get();
        assert_eq!(result.contains("AKIA"), !redact, "{result}");
        assert!(result.contains("\"x\":1.0"));
    }
}

/// Takes one credential back and gives another.
#[cfg(feature = "http")]
struct Second(AtomicUsize);

#[cfg(feature = "http")]
impl doorward_core::Credentials for Second {
    fn credential<'a>(
        &'a self,
        _: &'a doorward_core::Cx,
        _: doorward_core::Audience<'a>,
    ) -> doorward_core::BoxFuture<
        'a,
        Result<Option<doorward_core::Credential>, doorward_core::CallError>,
    > {
        Box::pin(async { Ok(None) })
    }

    fn refused<'a>(
        &'a self,
        _: &'a doorward_core::Cx,
        _: doorward_core::Audience<'a>,
        refusal: doorward_core::Refusal<'a>,
    ) -> doorward_core::BoxFuture<
        'a,
        Result<Option<doorward_core::Credential>, doorward_core::CallError>,
    > {
        assert_eq!((refusal.status, refusal.url), (401, "http://s/mcp"));
        assert_eq!(refusal.challenges, ["Bearer"]);
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            if first {
                return Ok(Some(doorward_core::Credential::Key(doorward_core::Secret::new("k"))));
            }
            let error = doorward_core::CallError::new(Code::Unauthenticated, "consent first");
            Err(error.with_consent("https://gateway/connect"))
        })
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn a_refused_credential_is_tried_again_once_and_consent_passes_through() {
    let server = Scripted::new(ALL, |method, _| match method {
        "tools/list" => Ok(r#"{"tools":[{"name":"t"}]}"#.into()),
        _ => Err(Failure::Refused {
            status: 401,
            url: "http://s/mcp".into(),
            challenges: vec!["Bearer".into()],
        }),
    });
    let credentials = Arc::new(Second(AtomicUsize::new(0)));
    let broker = built(&[("a", &server)], |builder| builder.credentials(credentials.clone()));
    let make = || ToolCall::new(ToolName::new("a__t"), raw("{}"));
    let error = broker.call(&cx("ann"), make()).await.unwrap_err();
    assert_eq!((error.code, server.count("tools/call")), (Code::Upstream, 2));
    let error = broker.call(&cx("ann"), make()).await.unwrap_err();
    assert_eq!(server.count("tools/call"), 3);
    assert_eq!(error.consent.as_deref(), Some("https://gateway/connect"));
}

/// Sends everybody to a page of their own, but for those who have been there.
#[cfg(feature = "http")]
#[derive(Default)]
struct Asking(std::sync::Mutex<Vec<String>>);

#[cfg(feature = "http")]
impl doorward_core::Credentials for Asking {
    fn credential<'a>(
        &'a self,
        cx: &'a doorward_core::Cx,
        _: doorward_core::Audience<'a>,
    ) -> doorward_core::BoxFuture<
        'a,
        Result<Option<doorward_core::Credential>, doorward_core::CallError>,
    > {
        let who = cx.principal.id.to_string();
        let known = self.0.lock().unwrap().contains(&who);
        let token = || doorward_core::Credential::Key(doorward_core::Secret::new(who));
        Box::pin(async move { Ok(known.then(token)) })
    }

    fn refused<'a>(
        &'a self,
        cx: &'a doorward_core::Cx,
        _: doorward_core::Audience<'a>,
        _: doorward_core::Refusal<'a>,
    ) -> doorward_core::BoxFuture<
        'a,
        Result<Option<doorward_core::Credential>, doorward_core::CallError>,
    > {
        let url = format!("https://gateway/connect/{}", cx.principal.id);
        let error = doorward_core::CallError::new(Code::Forbidden, format!("consent at {url}"));
        Box::pin(async move { Err(error.with_rule("consent_required").with_consent(url)) })
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn each_caller_is_sent_to_a_page_of_their_own_and_sees_their_own_list() {
    let server = Scripted::new(ALL, |method, _| match method {
        "tools/list" => Ok(r#"{"tools":[{"name":"t"}]}"#.into()),
        _ => Ok(r#"{"content":[]}"#.into()),
    });
    let server = server.guarded();
    let asking = Arc::new(Asking::default());
    let broker = built(&[("a", &server)], |builder| builder.credentials(asking.clone()));
    for who in ["ann", "bob"] {
        let list = broker.list(&cx(who), &Scope::All).await.unwrap();
        let gap = &list.gaps[0];
        let page = format!("https://gateway/connect/{who}");
        assert_eq!(gap.consent.as_deref(), Some(&*page), "not somebody else's of a moment ago");
        assert!(list.tools.is_empty());
        // A tool that nobody has listed yet: its name goes through, and the call says where to go.
        let tool = broker.resolve(&cx(who), &Scope::All, "a__t").await.unwrap();
        assert_eq!(tool.as_str(), "a__t");
        let error = broker.call(&cx(who), ToolCall::new(tool, raw("{}"))).await.unwrap_err();
        assert_eq!(error.consent.as_deref(), Some(&*page));
        assert_eq!(error.rule.as_deref(), Some("consent_required"));
    }
    asking.0.lock().unwrap().push("ann".into());
    let list = broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert_eq!((list.tools.len(), list.gaps.len()), (1, 0));
    let list = broker.list(&cx("bob"), &Scope::All).await.unwrap();
    assert!(list.tools.is_empty() && list.gaps[0].consent.is_some());
    let call = || ToolCall::new(ToolName::new("a__t"), raw("{}"));
    assert!(broker.call(&cx("ann"), call()).await.is_ok());
    assert!(broker.call(&cx("bob"), call()).await.unwrap_err().consent.is_some());
}

#[cfg(feature = "openapi")]
#[tokio::test]
async fn a_described_api_is_a_server_like_any_other() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let requests = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in [("200 OK", r#"{"id":7}"#), ("401 Unauthorized", "{}")] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            asked.push(String::from_utf8_lossy(&head[..read]).lines().next().unwrap().to_owned());
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nwww-authenticate: Bearer\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "Pets", "version": "1"},
        "servers": [{"url": base}],
        "paths": {"/pets/{id}": {"get": {"operationId": "get_pet", "parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
        ]}}},
    });
    let server = crate::Server::openapi("pets", document.to_string());
    let broker = Broker::builder().server(server).build().unwrap();
    let list = broker.list(&cx("ann"), &Scope::All).await.unwrap();
    assert_eq!(list.tools[0].name.as_str(), "pets__get_pet");
    let ask = async |arguments: &str| {
        let call = ToolCall::new(ToolName::new("pets__get_pet"), raw(arguments));
        broker.call(&cx("ann"), call).await
    };
    let reply = ask(r#"{"id":7}"#).await.unwrap();
    assert!(!reply.is_error && reply.result.get().contains(r#""structuredContent""#));
    assert!(ask("{}").await.unwrap().is_error, "what the model can mend is told to it");
    let error = ask(r#"{"id":8}"#).await.unwrap_err();
    assert_eq!(error.to_string(), "server `pets` answered with HTTP status 401");
    assert_eq!(requests.await.unwrap(), ["GET /v1/pets/7 HTTP/1.1", "GET /v1/pets/8 HTTP/1.1"]);
    assert!(
        broker.items(&cx("ann"), &Scope::All, ItemKind::Prompts).await.unwrap().gaps.is_empty()
    );
    let wrong = Broker::builder().server(crate::Server::openapi("pets", "{}")).build();
    assert!(matches!(wrong, Err(crate::BuildError::OpenApi { .. })), "{wrong:?}");
}
