//! Lists: whole, stable, filtered, and never stopped by one bad server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_core::{Clock, Code, Names, Pattern, Scope, SystemClock, ToolList, Tools};
use doorward_mcp_broker::{Broker, Server};

use crate::peers::{Act, Local, Script, call, cx, echo, legacy, reply, until};

fn names(list: &ToolList) -> Vec<&str> {
    list.tools.iter().map(|tool| tool.name.as_str()).collect()
}

fn profile(name: &str) -> Scope {
    Scope::Profile(name.into())
}

async fn all(broker: &Broker) -> ToolList {
    broker.list(&cx(), &Scope::All).await.unwrap()
}

/// A legacy server with these tools.
fn having(tools: &'static str) -> Script {
    Arc::new(move |message| {
        legacy(message, tools).unwrap_or_else(|| vec![Act::Say(reply(message, "{}"))])
    })
}

#[tokio::test]
async fn equal_names_of_two_servers_stay_apart() {
    let tools = r#"[{"name":"search"},{"name":"get"}]"#;
    let broker = Local::default().with("b", having(tools)).with("a", having(tools)).broker(|s| s);
    let list = all(&broker).await;
    assert_eq!(names(&list), ["a__get", "a__search", "b__get", "b__search"]);
    assert!(list.gaps.is_empty());
}

#[tokio::test]
async fn a_definition_changes_in_its_name_only() {
    let definition = r#"{ "title":"T", "name" : "get" ,"inputSchema":{"type":"object","z":1e2,"a":0},"execution":{"taskSupport":"required"},"x-vendor":[ 1.0 ]}"#;
    let script: Script =
        Arc::new(move |message| legacy(message, &format!("[{definition}]")).unwrap_or_default());
    let broker = Local::default().with("s", script).broker(|s| Server { prefix: false, ..s });
    let list = all(&broker).await;
    let expected = definition.replace("\"get\"", "\"s__get\"");
    assert_eq!(list.tools[0].definition.get(), expected);
    let bare = broker.list(&cx(), &profile("s")).await.unwrap();
    assert_eq!(bare.tools[0].definition.get(), definition, "the transparent route changes nothing");
    assert_eq!(bare.tools[0].name.as_str(), "s__get");
}

#[tokio::test]
async fn every_page_is_read() {
    let pages: Script = Arc::new(|message| {
        let page = message["params"]["cursor"].as_str().map_or(0, |c| c.parse().unwrap());
        let tools: Vec<_> =
            (0..25).map(|n| format!(r#"{{"name":"t{:04}"}}"#, page * 25 + n)).collect();
        let next =
            if page < 39 { format!(r#","nextCursor":"{}""#, page + 1) } else { String::new() };
        match message["method"].as_str() {
            Some("tools/list") => {
                vec![Act::Say(reply(
                    message,
                    &format!(r#"{{"tools":[{}]{next}}}"#, tools.join(",")),
                ))]
            }
            _ => legacy(message, "[]").unwrap_or_default(),
        }
    });
    let broker = Local::default().with("s", pages).broker(|s| s);
    assert_eq!(all(&broker).await.tools.len(), 1000);
}

#[tokio::test]
async fn a_list_that_goes_in_circles_ends() {
    let circle: Script = Arc::new(|message| match message["method"].as_str() {
        Some("tools/list") => {
            vec![Act::Say(reply(message, r#"{"tools":[{"name":"t"}],"nextCursor":"again"}"#))]
        }
        _ => legacy(message, "[]").unwrap_or_default(),
    });
    let broker = Local::default().with("s", circle).broker(|s| s);
    assert_eq!(names(&all(&broker).await), ["s__t"]);
}

#[tokio::test]
async fn odd_tools_are_left_out_and_the_rest_stays() {
    let tools = r#"[3,{"no":"name"},{"name":7},{"name":""},{"name":"a","name":"b"},{"name":"ok"},{"name":"ok"},["x"]]"#;
    let broker = Local::default().with("s", having(tools)).broker(|s| s);
    assert_eq!(names(&all(&broker).await), ["s__ok"]);
}

#[tokio::test]
async fn a_hanging_server_is_a_gap_and_nobody_waits_for_it() {
    let broker = Local::default()
        .with("bad", Arc::new(|_| vec![]))
        .with("good", echo())
        .builder(|s| s)
        .list_wait(Duration::from_millis(200))
        .build()
        .unwrap();
    broker.start().await;
    let begun = SystemClock.instant();
    let list = all(&broker).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(names(&list), ["good__echo"]);
    assert_eq!(&*list.gaps[0].server, "bad");
    broker.call(&cx(), call("good__echo", "{}")).await.unwrap();
}

#[tokio::test]
async fn without_a_required_server_there_is_no_list() {
    let local = Local::default().with("good", echo());
    let builder =
        local.builder(|s| s).server(Server { required: true, ..Server::stdio("gone", ["x"]) });
    let broker = builder.build().unwrap();
    let error = broker.list(&cx(), &Scope::All).await.unwrap_err();
    assert_eq!(error.code, Code::Upstream);
    assert_eq!(error.to_string(), "server `gone` is required: server `gone` could not be started");
    assert_eq!(names(&broker.list(&cx(), &profile("good")).await.unwrap()), ["good__echo"]);
}

#[tokio::test]
async fn a_list_is_kept_until_the_server_says_it_changed() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = lists.clone();
    let script: Script = Arc::new(move |message| {
        let method = message["method"].as_str().unwrap_or_default();
        let n = match method {
            "tools/list" => counted.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        legacy(message, &format!(r#"[{{"name":"t{n}"}}]"#))
            .unwrap_or_else(|| vec![Act::Say(changed.into()), Act::Say(reply(message, "{}"))])
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    for _ in 0..3 {
        assert_eq!(names(&all(&broker).await), ["s__t0"]);
    }
    broker.call(&cx(), call("s__t0", "{}")).await.unwrap();
    assert_eq!(names(&all(&broker).await), ["s__t1"]);
    assert_eq!(lists.load(Ordering::SeqCst), 2);
    assert!(broker.brokered("s__t0").is_some(), "a name once known stays known");
}

#[tokio::test]
async fn a_list_is_read_again_when_it_is_old() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = lists.clone();
    let script: Script = Arc::new(move |message| {
        if message["method"] == "tools/list" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        legacy(message, "[]").unwrap_or_default()
    });
    let list_ttl = Duration::from_millis(50);
    let broker = Local::default().with("s", script).broker(|s| Server { list_ttl, ..s });
    all(&broker).await;
    tokio::time::sleep(list_ttl * 2).await;
    // Twenty at once read it once.
    let many = (0..20).map(|_| {
        let broker = broker.clone();
        tokio::spawn(async move { all(&broker).await })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(lists.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_scope_shows_and_resolves_its_own_part() {
    let tools = r#"[{"name":"read"},{"name":"write"}]"#;
    let broker = Local::default()
        .with("a", having(tools))
        .with("b", having(tools))
        .with("bare", having(tools))
        .builder(|s| Server { prefix: s.name != "bare", ..s })
        .profile("readers", vec!["a".into(), "b".into()], vec![Pattern::new("*__read")])
        .profile("everything", vec![], vec![])
        .build()
        .unwrap();
    for (scope, name, federated) in [
        (Scope::All, "a__read", Some("a__read")),
        (Scope::All, "bare__read", Some("bare__read")),
        (Scope::All, "read", None),
        (Scope::All, "a__nothing", None),
        (profile("a"), "a__read", Some("a__read")),
        (profile("a"), "b__read", None),
        (profile("a"), "read", None),
        (profile("bare"), "read", Some("bare__read")),
        (profile("bare"), "bare__read", None),
        (profile("bare"), "a__read", None),
        (profile("readers"), "b__read", Some("b__read")),
        (profile("readers"), "b__write", None),
        (profile("readers"), "bare__read", None),
        (profile("everything"), "bare__write", Some("bare__write")),
        (profile("nobody"), "a__read", None),
    ] {
        match broker.resolve(&cx(), &scope, name).await {
            Ok(tool) => assert_eq!(Some(tool.as_str()), federated, "{scope:?} {name}"),
            Err(error) => {
                assert_eq!((error.code, None), (Code::NotFound, federated), "{scope:?} {name}");
            }
        }
    }
    let listed = broker.list(&cx(), &profile("readers")).await.unwrap();
    assert_eq!(names(&listed), ["a__read", "b__read"]);
    assert_eq!(names(&broker.list(&cx(), &profile("everything")).await.unwrap()).len(), 6);
    assert_eq!(broker.list(&cx(), &profile("nobody")).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn names_are_known_once_started() {
    let broker =
        Local::default().with("tracker", having(r#"[{"name":"get_issue"}]"#)).broker(|s| s);
    assert_eq!(broker.brokered("tracker__get_issue"), None);
    broker.start().await;
    let found = broker.brokered("mcp__doorward__tracker__get_issue").unwrap();
    assert_eq!(found.as_str(), "tracker__get_issue");
    assert_eq!(broker.brokered("get_issue"), None);
}

#[tokio::test]
async fn long_and_strange_names_find_their_way_back() {
    let own = "ünïcode.tool/with:everything and-a-very-long-name-that-no-model-api-would-ever-take";
    let script: Script = Arc::new(move |message| {
        legacy(message, &format!(r#"[{{"name":"{own}"}}]"#)).unwrap_or_else(|| {
            let name = &message["params"]["name"];
            let result = format!(r#"{{"content":[{{"type":"text","text":{name}}}]}}"#);
            vec![Act::Say(reply(message, &result))]
        })
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    let list = all(&broker).await;
    let name = list.tools[0].name.clone();
    assert!(name.as_str().len() <= 64 && name.as_str().is_ascii(), "{name}");
    let got = broker.call(&cx(), call(name.as_str(), "{}")).await.unwrap();
    assert!(got.result.get().contains(own), "{}", got.result);
}

#[tokio::test]
async fn a_server_comes_back_into_the_list() {
    let lives = Arc::new(AtomicUsize::new(0));
    let counted = lives.clone();
    let script: Script = Arc::new(move |message| {
        if message["method"] == "server/discover" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        if counted.load(Ordering::SeqCst) < 3 { vec![Act::Exit] } else { echo()(message) }
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    assert_eq!(all(&broker).await.gaps.len(), 1);
    until(|| {
        let asking = broker.clone();
        tokio::spawn(async move { all(&asking).await });
        broker.brokered("s__echo").is_some()
    })
    .await;
}
