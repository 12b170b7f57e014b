//! Sessions as sealed handles: who may use one, where, and until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_core::{Clock, Scope, SystemClock, Timestamp};
use doorward_mcp_broker::{EndedHere, Front, Limits, SealKey, SealKeys};
use serde_json::json;

use super::desk::{Peer, Stand, events, front, until, whole};

/// A clock that is moved by hand.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst) * 1_000_000)
    }
    fn instant(&self) -> Instant {
        SystemClock.instant()
    }
}

fn key(id: u32) -> SealKey {
    SealKey::new(id, [u8::try_from(id).unwrap(); 32])
}

fn keyed(keys: &SealKeys) -> Front {
    front(&Arc::new(Stand::default())).sessions(keys)
}

async fn status(peer: &Peer) -> u16 {
    whole(peer.ask(1, "ping", json!({})).await).0
}

#[tokio::test]
async fn a_session_is_valid_on_any_replica_with_the_keys_and_on_no_other() {
    let keys = SealKeys::new(key(1));
    let mut peer = Peer::new(&keyed(&keys), "2025-11-25").open().await;
    let rotated = SealKeys::new(key(2)).with_previous(key(1));
    for (other, valid) in [
        (keyed(&keys), true),
        (keyed(&rotated), true),
        (keyed(&SealKeys::new(key(2))), false),
        (front(&Arc::new(Stand::default())), false),
    ] {
        peer.front = other;
        assert_eq!(status(&peer).await, if valid { 200 } else { 404 });
        let called = whole(peer.call(2, "plain").await).0;
        assert_eq!(called, if valid { 200 } else { 404 }, "POST");
        let news = peer.bare("GET", &[]).await.status().as_u16();
        assert_eq!(news, if valid { 200 } else { 404 }, "GET");
        let ended = peer.bare("DELETE", &[]).await.status().as_u16();
        assert_eq!(ended, if valid { 204 } else { 404 }, "DELETE");
    }
}

#[tokio::test]
async fn a_session_of_another_principal_profile_or_epoch_is_unknown() {
    let epoch = Arc::new(AtomicU64::new(1));
    let front = front(&Arc::new(Stand::default())).epoch(epoch.clone());
    let mut peer = Peer::new(&front, "2025-06-18").open().await;
    assert_eq!(status(&peer).await, 200);
    peer.principal = "bob";
    assert_eq!(status(&peer).await, 404);
    let note = peer.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!(note.status(), 404, "notifications too");
    peer.principal = "ann";
    peer.scope = Scope::Profile("other".into());
    assert_eq!(status(&peer).await, 404);
    peer.scope = Scope::All;
    epoch.store(2, Ordering::SeqCst);
    let (status, message) = whole(peer.ask(1, "ping", json!({})).await);
    assert_eq!((status, &message["id"]), (404, &1.into()));
}

#[tokio::test]
async fn a_tampered_or_doubled_or_foreign_session_id_is_unknown() {
    let front = front(&Arc::new(Stand::default()));
    let mut peer = Peer::new(&front, "2025-11-25").open().await;
    let id = peer.session.clone().unwrap();
    assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "visible ASCII");
    let doubled = peer.bare("GET", &[("mcp-session-id", &id)]).await;
    assert_eq!(doubled.status(), 404);
    let listed = whole(peer.ask(1, "tools/list", json!({})).await);
    assert_eq!(listed.0, 200);
    for wrong in [format!("{id}x"), id[..id.len() - 4].into(), "1868a90c".into(), String::new()] {
        peer.session = Some(wrong);
        assert_eq!(status(&peer).await, 404);
    }
}

#[tokio::test]
async fn a_session_expires() {
    let clock = Arc::new(Hand::default());
    let front = front(&Arc::new(Stand::default())).clock(clock.clone());
    let peer = Peer::new(&front, "2025-11-25").open().await;
    clock.0.store(24 * 3600 - 1, Ordering::SeqCst);
    assert_eq!(status(&peer).await, 200);
    clock.0.store(24 * 3600, Ordering::SeqCst);
    assert_eq!(status(&peer).await, 404);
}

#[tokio::test]
async fn a_deleted_session_is_over_and_what_ran_for_it_ends() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand).stream_after(Duration::from_millis(10));
    let peer = Peer::new(&front, "2025-11-25").open().await;
    let mut slow = events(peer.call(1, "slow").await);
    let mut news = events(peer.bare("GET", &[]).await);
    until(|| stand.running.load(Ordering::SeqCst) == 1).await;
    assert_eq!(peer.bare("DELETE", &[]).await.status(), 204);
    until(|| stand.running.load(Ordering::SeqCst) == 0).await;
    assert!(slow.next().await.is_none_or(|event| event.data.is_empty()));
    assert!(news.next().await.is_none());
    assert_eq!(status(&peer).await, 404);
    assert_eq!(peer.bare("DELETE", &[]).await.status(), 404);
}

#[tokio::test]
async fn an_end_is_known_wherever_it_is_remembered() {
    let keys = SealKeys::new(key(1));
    let ended = Arc::new(EndedHere::new(10));
    let (one, two) = (keyed(&keys).ended(ended.clone()), keyed(&keys).ended(ended));
    let mut peer = Peer::new(&one, "2025-11-25").open().await;
    assert_eq!(peer.bare("DELETE", &[]).await.status(), 204);
    peer.front = two;
    assert_eq!(status(&peer).await, 404);
}

#[tokio::test]
async fn methods_that_need_a_session_say_so() {
    let front = front(&Arc::new(Stand::default()));
    for (version, method, status) in [
        ("2025-11-25", "GET", 405),
        ("2025-11-25", "DELETE", 405),
        ("2026-07-28", "GET", 405),
        ("2026-07-28", "DELETE", 405),
        ("1999-01-01", "GET", 400),
    ] {
        let peer = Peer::new(&front, version);
        let stray = [("last-event-id", "x-1")];
        assert_eq!(peer.bare(method, &stray).await.status().as_u16(), status, "{version} {method}");
    }
    let mut peer = Peer::new(&front, "2025-11-25").open().await;
    peer.version = "2026-07-28";
    assert_eq!(peer.bare("GET", &[]).await.status(), 405, "modern requests have no sessions");
    peer.version = "2025-11-25";
    peer.accept = "application/json";
    assert_eq!(peer.bare("GET", &[]).await.status(), 406);
}

#[tokio::test]
async fn capabilities_too_large_for_a_handle_are_refused_kindly() {
    let front = front(&Arc::new(Stand::default()));
    let peer = Peer::new(&front, "2025-11-25");
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"x": "y".repeat(5000)}});
    let response = peer.ask(1, "initialize", params).await;
    assert!(!response.headers().contains_key("mcp-session-id"));
    assert_eq!(whole(response).1["error"]["code"], -32602);
}

#[tokio::test]
async fn state_beside_a_handle_is_forgotten_when_idle_and_the_handle_stays_good() {
    let clock = Arc::new(Hand::default());
    let front = front(&Arc::new(Stand::default())).clock(clock.clone());
    let peer = Peer::new(&front, "2025-11-25").open().await;
    assert_eq!(front.sessions_known(), 0, "a handshake keeps nothing");
    let level = |level| peer.ask(1, "logging/setLevel", json!({ "level": level }));
    assert_eq!(whole(level("warning").await).1["result"], json!({}));
    assert_eq!(whole(level("loud").await).1["error"]["code"], -32602);
    assert_eq!(front.sessions_known(), 1);
    let who = whole(peer.call(2, "who").await).1["result"]["said"].clone();
    assert_eq!(who["level"], "warning");
    clock.0.store(601, Ordering::SeqCst);
    front.sweep();
    assert_eq!(front.sessions_known(), 0);
    let again = whole(peer.call(3, "who").await).1["result"]["said"].clone();
    assert_eq!((&again["level"], &again["id"]), (&"info".into(), &who["id"]));
    assert_eq!(again["capabilities"], json!({"elicitation": {}}), "the handle holds them");
}

#[tokio::test]
async fn ten_thousand_sessions_opened_and_dropped_leave_nothing() {
    let clock = Arc::new(Hand::default());
    let stand = Arc::new(Stand::default());
    let limits = Limits { sessions: 1000, ..Limits::default() };
    let front = front(&stand).clock(clock.clone()).limits(limits);
    for n in 0..10_000 {
        let peer = Peer::new(&front, "2025-11-25").open().await;
        whole(peer.call(1, "plain").await);
        if n % 3 == 0 {
            drop(events(peer.bare("GET", &[]).await));
        }
        if n % 5 == 0 {
            assert_eq!(peer.bare("DELETE", &[]).await.status(), 204);
        }
        assert!(front.sessions_known() <= 1000);
    }
    clock.0.store(3600, Ordering::SeqCst);
    front.sweep();
    assert_eq!((front.sessions_known(), front.streams(), front.parked()), (0, 0, 0));
    let busy = [&stand.listening, &stand.running].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(busy, [0, 0]);
}

#[tokio::test]
async fn without_a_session_a_dated_client_is_served_as_before() {
    let front = front(&Arc::new(Stand::default()));
    let peer = Peer::new(&front, "2025-03-26");
    let who = whole(peer.call(1, "who").await).1["result"]["said"].clone();
    assert_eq!((&who["id"], &who["live"]), (&"ann".into(), &true.into()));
    let refused = whole(peer.call(2, "ask").await).1;
    assert_eq!(refused["result"]["said"]["refused"], -32021, "it has declared nothing");
    assert_eq!(front.sessions_known(), 0);
}
