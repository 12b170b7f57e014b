//! Refresh tokens: turned at each use, and what happens when one is stolen.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{BoxFuture, CallError, Code, Principal};
use doorward_identity::oauth_server::{Standing, Subject};

use super::{APP, Bench, MCP, claims, error, text};

#[tokio::test]
async fn a_refresh_token_is_replaced_at_each_use() {
    let bench = Bench::new().await;
    let (_, mut refresh) = bench.tokens("alice", "app", APP).await;
    for _ in 0..5 {
        bench.clock.advance(Duration::from_mins(30));
        let (status, body) = bench.refresh("app", &refresh).await;
        assert_eq!(status, 200, "{body}");
        assert!(bench.is_good(&text(&body, "access_token")).await);
        assert_ne!(text(&body, "refresh_token"), refresh);
        refresh = text(&body, "refresh_token");
    }
    bench.clock.advance(Duration::from_hours(30 * 24));
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"), "thirty days");
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_family_at_its_next_use() {
    let bench = Bench::new().await;
    // The thief is first; the person's own client comes later.
    let (_, stolen) = bench.tokens("alice", "app", APP).await;
    let (_, body) = bench.refresh("app", &stolen).await;
    let (thiefs, thiefs_next) = (text(&body, "access_token"), text(&body, "refresh_token"));
    bench.clock.advance(Duration::from_secs(11));
    assert_eq!(error(&bench.refresh("app", &stolen).await), (400, "invalid_grant"));
    assert!(!bench.is_good(&thiefs).await, "what the thief has is worth nothing");
    assert_eq!(error(&bench.refresh("app", &thiefs_next).await), (400, "invalid_grant"));
    // The other way round.
    let (_, stolen) = bench.tokens("bob", "cli", "http://localhost:1/cb").await;
    let (_, body) = bench.refresh("cli", &stolen).await;
    let mine = text(&body, "refresh_token");
    bench.clock.advance(Duration::from_secs(11));
    assert_eq!(error(&bench.refresh("cli", &stolen).await), (400, "invalid_grant"));
    assert_eq!(error(&bench.refresh("cli", &mine).await), (400, "invalid_grant"));
}

#[tokio::test]
async fn within_the_grace_for_lost_answers_two_holders_cannot_both_go_on() {
    let bench = Bench::new().await;
    let (_, shared) = bench.tokens("alice", "app", APP).await;
    let (_, body) = bench.refresh("app", &shared).await;
    let first = text(&body, "refresh_token");
    // The second within the grace: a lost answer, or a thief. There is one successor after it.
    let (status, body) = bench.refresh("app", &shared).await;
    assert_eq!(status, 200);
    let second = text(&body, "refresh_token");
    // Whoever had the first is out, and that ends it for both.
    assert_eq!(error(&bench.refresh("app", &first).await), (400, "invalid_grant"));
    assert_eq!(error(&bench.refresh("app", &second).await), (400, "invalid_grant"));
    // A client whose answer got lost goes on.
    let (_, lost) = bench.tokens("carol", "cli", "http://localhost:1/cb").await;
    assert_eq!(bench.refresh("cli", &lost).await.0, 200);
    let (_, body) = bench.refresh("cli", &lost).await;
    assert_eq!(bench.refresh("cli", &text(&body, "refresh_token")).await.0, 200);
    // Once its successor was used, a token is old, grace or not.
    assert_eq!(error(&bench.refresh("cli", &lost).await), (400, "invalid_grant"));
}

#[tokio::test]
async fn a_refresh_token_is_its_clients_and_brings_no_more_than_was_consented_to() {
    let bench = Bench::new().await;
    let (access, refresh) = bench.tokens("alice", "app", APP).await;
    let with = |more: (&'static str, &'static str)| {
        let (bench, refresh) = (&bench, refresh.clone());
        async move {
            let pairs = [
                ("grant_type", "refresh_token"),
                ("client_id", "app"),
                ("refresh_token", &*refresh),
                more,
            ];
            bench.token(&pairs).await
        }
    };
    assert_eq!(error(&with(("scope", "tools read")).await), (400, "invalid_scope"));
    assert_eq!(error(&with(("resource", super::CRM)).await), (400, "invalid_grant"));
    assert!(bench.is_good(&access).await, "asking for too much costs nothing");
    // With another client's name it is a leaked one.
    assert_eq!(error(&bench.refresh("cli", &refresh).await), (400, "invalid_grant"));
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"));
    assert!(!bench.is_good(&access).await);
}

#[derive(Debug, Default)]
struct People(Mutex<Option<Result<Option<Principal>, ()>>>);

impl Standing for People {
    fn now<'a>(
        &'a self,
        _: &'a Subject,
    ) -> BoxFuture<'a, Result<Option<Arc<Principal>>, CallError>> {
        let said = match self.0.lock().unwrap().clone() {
            Some(Ok(principal)) => Ok(principal.map(Arc::new)),
            _ => Err(CallError::new(Code::Overloaded, "the directory is down")),
        };
        Box::pin(std::future::ready(said))
    }
}

#[tokio::test]
async fn whoever_left_gets_no_new_token() {
    let people = Arc::new(People::default());
    let asked = people.clone();
    let bench = Bench::with(|builder| builder.standing(asked)).await;
    let (access, refresh) = bench.tokens("alice", "app", APP).await;
    let (status, _) = bench.refresh("app", &refresh).await;
    assert_eq!(status, 503, "it cannot be told: nothing is given, nothing is lost");
    let promoted = Principal { team: Some("research".into()), ..Principal::person("alice") };
    *people.0.lock().unwrap() = Some(Ok(Some(promoted)));
    let (_, body) = bench.refresh("app", &refresh).await;
    assert_eq!(claims(&text(&body, "access_token"))["team"], "research");
    *people.0.lock().unwrap() = Some(Ok(None));
    let refresh = text(&body, "refresh_token");
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"));
    assert!(!bench.is_good(&access).await);
}

#[tokio::test]
async fn revoking_a_person_ends_every_token_and_consent_of_theirs() {
    let bench = Bench::new().await;
    let (access, refresh) = bench.tokens("alice", "app", APP).await;
    let (bobs, _) = bench.tokens("bob", "app", APP).await;
    bench.server.revoke_principal("alice").await.unwrap();
    assert!(!bench.is_good(&access).await && bench.is_good(&bobs).await);
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"));
    bench.clock.advance(Duration::from_secs(1));
    let (access, _) = bench.tokens("alice", "app", APP).await;
    assert!(bench.is_good(&access).await, "she may come back");
    let principal = bench.show(&access).await.unwrap();
    assert_eq!(bench.server.admits(&principal, MCP, &[]), Ok(()));
}
