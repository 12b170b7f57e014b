//! The record, from outside: killed under load, altered, cut, reordered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::gateway::{Gateway, Site};

fn tracker() -> String {
    let program = env!("CARGO_BIN_EXE_doorward");
    format!(
        "[[server]]\nname = \"tracker\"\ncommand = [{program:?}, \"demo-server\", \"tracker\"]\n\n\
         [[contract]]\ntool = \"tracker__get_issue\"\neffect = \"read\"\n"
    )
}

/// Calls until the gateway is gone; counts the answers that arrived.
async fn hammer(gateway: Arc<Gateway>, key: String, answered: Arc<AtomicUsize>) {
    loop {
        let call = gateway.call(&key, "tracker__get_issue", json!({ "id": 7 }));
        let Ok(Ok((text, false))) =
            tokio::time::timeout(Duration::from_secs(2), futures_util_catch(call)).await
        else {
            return;
        };
        assert!(text.contains("Export"));
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// The connection breaks when the gateway is killed, which the test's client answers by panicking.
async fn futures_util_catch<T: Send + 'static>(future: impl Future<Output = T>) -> Result<T, ()> {
    use std::panic::AssertUnwindSafe;
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(std::task::Poll::Ready(value)) => std::task::Poll::Ready(Ok(value)),
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_acknowledged_record() {
    let site = Site::new(&tracker());
    let key = site.key(&["--name", "ci"]);
    let answered = Arc::new(AtomicUsize::new(0));
    let mut most = 0;
    for round in 1..=3 {
        let gateway = Arc::new(site.start());
        assert_eq!(gateway.tools(&key).await.len(), 1);
        let hammers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(hammer(gateway.clone(), key.clone(), answered.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(300 + 170 * round)).await;
        gateway.signal("-KILL");
        for hammer in hammers {
            hammer.await.unwrap();
        }
        let verified = site.run(&["audit", "verify"]).unwrap();
        assert!(verified.starts_with("intact"), "{verified}");
        let exported = site.run(&["audit", "export"]).unwrap();
        let started = exported
            .lines()
            .filter(|l| {
                l.contains(r#"\"outcome\":\"started\""#) || l.contains(r#""outcome":"started""#)
            })
            .count();
        let acknowledged = answered.load(Ordering::SeqCst);
        assert!(acknowledged > most, "there was load");
        assert!(started >= acknowledged, "{started} on record, {acknowledged} answered");
        most = acknowledged;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_the_log_is_found_and_named() {
    let cases = [
        (
            "UPDATE audit_entry SET entry = replace(entry, '\"ci\"', '\"cj\"') WHERE seq = 4",
            "record 4 was altered",
        ),
        ("DELETE FROM audit_entry WHERE seq = 2", "record 2 is missing"),
        (
            "DELETE FROM audit_entry WHERE seq = (SELECT max(seq) FROM audit_entry)",
            "its end is cut off",
        ),
        (
            "UPDATE audit_entry SET seq = -seq WHERE seq IN (3, 5); UPDATE audit_entry SET seq = 8 + seq WHERE seq < 0",
            "record 3 is not in its place",
        ),
    ];
    for (damage, told) in cases {
        let site = Site::new(&tracker());
        let key = site.key(&["--name", "ci"]);
        let gateway = site.start();
        gateway.tools(&key).await;
        for _ in 0..3 {
            assert!(!gateway.call(&key, "tracker__get_issue", json!({ "id": 7 })).await.1);
        }
        gateway.stop();
        assert!(site.run(&["audit", "verify"]).unwrap().contains("intact: 6 records"));
        let export = site.path().join("export.jsonl");
        std::fs::write(&export, site.run(&["audit", "export"]).unwrap()).unwrap();

        let database = Connection::open(site.path().join("data/doorward.db")).unwrap();
        database.execute_batch(damage).unwrap();
        drop(database);
        let error = site.run(&["audit", "verify"]).unwrap_err();
        assert!(error.contains("NOT INTACT") && error.contains(told), "{error}");
        // What was exported before is still good, and says what it was.
        let export = export.to_str().unwrap();
        assert!(site.run(&["audit", "verify", "--export", export]).unwrap().contains("6 records"));
    }
}
