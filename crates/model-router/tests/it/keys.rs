//! Several credentials of one upstream.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{
    Audience, BoxFuture, CallError, Code, Credential, Credentials, Cx, Models, Principal, Secret,
};
use doorward_model_router::{Outbound, Router};

use crate::script::{chat, cx, text};
use crate::stage::{Act, JumpingClock, Sleep, Stage, upstream};

/// These keys for everybody, or one of his own for Bob.
#[derive(Debug)]
struct Keys(Vec<&'static str>);

impl Credentials for Keys {
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        self.choice(cx, audience, 0)
    }

    fn choices(&self, _cx: &Cx, _audience: Audience<'_>) -> usize {
        self.0.len()
    }

    fn choice<'a>(
        &'a self,
        cx: &'a Cx,
        _audience: Audience<'a>,
        place: usize,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        let key = if &*cx.principal.id == "bob" { "key-of-bob" } else { self.0[place] };
        Box::pin(async move { Ok(Some(Credential::Key(Secret::new(key)))) })
    }
}

fn router(stage: &Arc<Stage>, keys: &[&'static str]) -> Router {
    Router::builder(stage.clone(), Arc::new(Keys(keys.to_vec())))
        .upstream(upstream("bad"))
        .clock(JumpingClock::new())
        .pause(Arc::new(Sleep))
        .build()
        .unwrap()
}

fn shown(request: &Outbound) -> &str {
    request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ")
}

fn shown_all(stage: &Stage) -> Vec<String> {
    stage.sent.lock().unwrap().iter().map(|request| shown(request).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns() {
    let stage = Stage::new(|_, _, _| Act::good(true));
    let router = router(&stage, &["one", "two", "three"]);
    for _ in 0..6 {
        router.complete(&cx(), chat("bad/m", true)).await.unwrap();
    }
    assert_eq!(shown_all(&stage), ["one", "two", "three", "one", "two", "three"]);
}

#[tokio::test(start_paused = true)]
async fn trap_61_a_refused_key_rests_and_the_next_one_is_shown_at_once() {
    let quota = r#"{"error":{"code":"insufficient_quota","message":"m"}}"#;
    for (act, rests) in [
        (Act::status(401), 600),
        (Act::status(402), 300),
        (Act::Whole(429, vec![], quota), 300),
        (Act::status(403), 30),
        (Act::with(429, "retry-after", "60"), 60),
        (Act::status(429), 1),
    ] {
        let case = format!("{act:?}");
        let stage = Stage::new(move |_, _, request| match shown(request) {
            "bad" => act.clone(),
            _ => Act::good(true),
        });
        let router = router(&stage, &["bad", "good"]);
        let began = tokio::time::Instant::now();
        let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
        assert_eq!(text(reply).await.unwrap(), "from good");
        assert_eq!(began.elapsed(), Duration::ZERO, "{case}: at once");
        assert_eq!(router.health()[0].keys_resting, 1, "{case}");
        for _ in 0..4 {
            let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
            assert!(reply.route.tried.is_empty(), "{case}: it rests");
        }
        tokio::time::sleep(Duration::from_secs(rests)).await;
        for _ in 0..2 {
            router.complete(&cx(), chat("bad/m", true)).await.unwrap();
        }
        let again = shown_all(&stage).iter().filter(|key| *key == "bad").count();
        assert_eq!(again, 2, "{case}: it is shown again after {rests} s");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_57_when_every_key_is_refused_the_caller_is_not_told_that_theirs_is_bad() {
    for status in [401, 403] {
        let stage = Stage::new(move |_, _, _| Act::status(status));
        let router = router(&stage, &["one", "two"]);
        for round in 0..2 {
            let error = router.complete(&cx(), chat("bad/m", true)).await.unwrap_err();
            assert_eq!(error.code, Code::Upstream);
            assert_eq!(error.rule.as_deref(), Some("upstream_credentials_exhausted"));
            assert!(error.relayed.is_none(), "the upstream's words are about our key");
            let route = error.route.unwrap();
            assert_eq!((route.tried.len(), route.excluded.len()), [(2, 0), (0, 1)][round]);
        }
        assert_eq!(stage.asked("bad"), 2, "a key that is refused is not shown again and again");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_56_a_used_up_quota_keeps_its_name_and_is_not_retried() {
    let quota = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your quota"}}"#;
    let stage = Stage::new(move |_, _, _| Act::Whole(429, vec![], quota));
    let error = router(&stage, &["one"]).complete(&cx(), chat("bad/m", true)).await.unwrap_err();
    assert_eq!(error.code, Code::BudgetExhausted);
    assert_eq!(error.relayed.unwrap().status, 429);
    assert_eq!(stage.asked("bad"), 1);
}

#[tokio::test(start_paused = true)]
async fn trap_62_what_lies_in_the_call_cools_nothing_down() {
    let flagged = r#"{"error":{"code":403,"message":"Input flagged","metadata":{}}}"#;
    let filter = r#"{"error":{"code":"content_filter","message":"filtered"}}"#;
    for act in [
        Act::Whole(400, vec![], filter),
        Act::Whole(403, vec![], flagged),
        Act::status(400),
        Act::status(413),
        Act::status(422),
    ] {
        let case = format!("{act:?}");
        let stage =
            Stage::new(move |_, asked, _| if asked < 20 { act.clone() } else { Act::good(true) });
        let router = router(&stage, &["one"]);
        for _ in 0..20 {
            let error = router.complete(&cx(), chat("bad/m", true)).await.unwrap_err();
            assert_eq!(error.route.unwrap().tried.len(), 1, "{case}");
        }
        let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
        assert_eq!(text(reply).await.unwrap(), "from good", "{case}");
        assert_eq!(router.health()[0].keys_resting, 0, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_one_caller_rests_for_that_caller_only() {
    let stage = Stage::new(|_, _, request| match shown(request) {
        "key-of-bob" => Act::status(401),
        _ => Act::good(true),
    });
    let router = router(&stage, &["shared"]);
    let mut bob = cx();
    bob.principal = Arc::new(Principal::person("bob"));
    router.complete(&bob, chat("bad/m", true)).await.unwrap_err();
    router.complete(&cx(), chat("bad/m", true)).await.unwrap();
    router.complete(&bob, chat("bad/m", true)).await.unwrap_err();
    assert_eq!(shown_all(&stage), ["key-of-bob", "shared"]);
}
