//! Connections: one for each identity, warm while used, bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_core::{Code, Cx, Principal, Scope, Tools};
use doorward_mcp_broker::{Server, State};

use crate::peers::{Act, Local, Script, call, cx, echo, legacy, reply, until};

fn of(id: &str) -> Cx {
    Cx { principal: Arc::new(Principal::person(id)), ..cx() }
}

#[tokio::test]
async fn no_process_serves_two_identities_unless_shared() {
    for (shared, launches) in [(false, 2), (true, 1)] {
        let local = Local::default().with("s", echo());
        let broker = local.broker(|s| Server { shared, ..s });
        for id in ["ann", "bob", "ann", "bob"] {
            broker.call(&of(id), call("s__echo", "{}")).await.unwrap();
        }
        assert_eq!(local.launches.load(Ordering::SeqCst), launches, "shared: {shared}");
        broker.close().await;
        assert_eq!(local.alive.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_process_that_read_the_lists_is_taken_over_by_the_first_who_calls() {
    let local = Local::default().with("s", echo());
    let broker = local.broker(|s| s);
    broker.start().await;
    broker.call(&of("ann"), call("s__echo", "{}")).await.unwrap();
    assert_eq!(local.launches.load(Ordering::SeqCst), 1);
    broker.call(&of("bob"), call("s__echo", "{}")).await.unwrap();
    assert_eq!(local.launches.load(Ordering::SeqCst), 2);
    assert_eq!(broker.status()[0].restarts, 0);
}

#[tokio::test]
async fn an_idle_process_is_ended_and_started_again() {
    let local = Local::default().with("s", echo());
    let broker = local.broker(|s| Server { idle_after: Duration::from_millis(60), ..s });
    broker.call(&cx(), call("s__echo", "{}")).await.unwrap();
    until(|| local.alive.load(Ordering::SeqCst) == 0).await;
    assert_eq!((broker.status()[0].state, broker.status()[0].restarts), (State::Idle, 0));
    broker.call(&cx(), call("s__echo", "{}")).await.unwrap();
    assert_eq!((broker.status()[0].state, broker.status()[0].restarts), (State::Up, 0));
    assert_eq!(local.launches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_process_in_use_is_not_idle() {
    let script: Script = Arc::new(|message| {
        legacy(message, r#"[{"name":"t"}]"#)
            .unwrap_or_else(|| vec![Act::Later(Duration::from_millis(300), reply(message, "{}"))])
    });
    let local = Local::default().with("s", script);
    let broker = local.broker(|s| Server { idle_after: Duration::from_millis(40), ..s });
    broker.call(&cx(), call("s__t", "{}")).await.unwrap();
    assert_eq!(broker.status()[0].restarts, 0);
}

#[tokio::test]
async fn the_longest_idle_makes_room_and_nobody_who_is_busy() {
    let script: Script = Arc::new(|message| {
        legacy(message, r#"[{"name":"t"}]"#).unwrap_or_else(|| {
            let wait = message["params"]["arguments"]["ms"].as_u64().unwrap_or(0);
            vec![Act::Later(Duration::from_millis(wait), reply(message, "{}"))]
        })
    });
    let local = Local::default().with("s", script);
    let broker = local.broker(|s| Server {
        max_connections: 2,
        connect_timeout: Duration::from_millis(400),
        ..s
    });
    for id in ["ann", "bob", "eve", "ann"] {
        broker.call(&of(id), call("s__t", "{}")).await.unwrap();
        assert!(local.alive.load(Ordering::SeqCst) <= 2);
    }
    assert_eq!(local.launches.load(Ordering::SeqCst), 4, "ann's was the longest idle");
    let held = ["ann", "bob"].map(|id| {
        let broker = broker.clone();
        tokio::spawn(async move { broker.call(&of(id), call("s__t", r#"{"ms":700}"#)).await })
    });
    until(|| broker.status()[0].in_flight == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = broker.call(&of("eve"), call("s__t", "{}")).await.unwrap_err();
    assert_eq!(error.code, Code::Overloaded);
    for held in held {
        held.await.unwrap().unwrap();
    }
    broker.call(&of("eve"), call("s__t", "{}")).await.unwrap();
}

#[tokio::test]
async fn one_identitys_crashing_process_harms_no_other() {
    let script: Script = Arc::new(|message| {
        legacy(message, r#"[{"name":"t"}]"#).unwrap_or_else(|| match message["params"]["arguments"]
            ["crash"]
            .as_bool()
        {
            Some(true) => vec![Act::Exit],
            _ => vec![Act::Say(reply(message, "{}"))],
        })
    });
    let broker = Local::default().with("s", script).broker(|s| s);
    broker.call(&of("bob"), call("s__t", "{}")).await.unwrap();
    for _ in 0..2 {
        broker.call(&of("ann"), call("s__t", r#"{"crash":true}"#)).await.unwrap_err();
        broker.call(&of("bob"), call("s__t", "{}")).await.unwrap();
    }
    let list = broker.list(&of("bob"), &Scope::All).await.unwrap();
    assert!(list.gaps.is_empty());
}

#[tokio::test]
async fn a_dropped_broker_leaves_no_process() {
    let local = Local::default().with("s", echo());
    let broker = local.broker(|s| s);
    for id in ["ann", "bob"] {
        broker.call(&of(id), call("s__echo", "{}")).await.unwrap();
    }
    drop(broker);
    until(|| local.alive.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_thousand_processes_come_and_go() {
    let local = Local::default().with("s", echo());
    let broker = local.broker(|s| Server { max_connections: 8, concurrency: 8, ..s });
    let calls = (0..1000).map(|n| {
        let broker = broker.clone();
        async move {
            let id = format!("p{}", n % 200);
            broker.call(&of(&id), call("s__echo", r#"{"n":1}"#)).await.unwrap();
        }
    });
    futures_util::future::join_all(calls).await;
    assert!(local.alive.load(Ordering::SeqCst) <= 8);
    broker.close().await;
    assert_eq!(local.alive.load(Ordering::SeqCst), 0);
}
