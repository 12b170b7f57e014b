//! Backoff, waits that upstreams ask for, time limits, hedges.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Clock, Code, Models};
use doorward_model_router::{BuildError, HealthState, NoCredentials, Router};

use crate::script::{chat, cx, text};
use crate::stage::{
    Act, CountingPurse, Ending, JumpingClock, SAID, Stage, alias, builder, upstream,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn the_last_target_is_asked_once_more_where_nothing_was_billed() {
    for (act, asked) in [
        (Act::status(429), 2),
        (Act::status(503), 2),
        (Act::status(529), 2),
        (Act::Refuse, 2),
        (Act::with(429, "retry-after", "3"), 2),
        (Act::with(429, "retry-after", "30"), 1),
        (Act::status(500), 1),
        (Act::status(502), 1),
        (Act::status(504), 1),
        (Act::Break, 1),
        (Act::status(400), 1),
        (Act::status(401), 1),
    ] {
        let shown = format!("{act:?}");
        let stage = Stage::new(move |_, _, _| act.clone());
        let router = builder(&stage).build().unwrap();
        let error = router.complete(&cx(), chat("bad/m", true)).await.unwrap_err();
        assert_eq!(stage.asked("bad"), asked, "{shown}");
        assert_eq!(error.route.unwrap().tried.len(), asked, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_answers() {
    let stage =
        Stage::new(|_, asked, _| if asked == 0 { Act::status(529) } else { Act::good(true) });
    let router = builder(&stage).build().unwrap();
    let clock = JumpingClock::new();
    let began = clock.instant();
    let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
    let waited = clock.instant() - began;
    assert!(waited >= Duration::from_millis(400) && waited <= Duration::from_millis(610));
    assert_eq!(reply.route.tried.len(), 1);
    assert_eq!(text(reply).await.unwrap(), "from good");
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_and_end_with_the_deadline() {
    for (retries, deadline, asked) in [(0, 60, 1), (3, 60, 4), (3, 1, 2)] {
        let stage = Stage::new(|_, _, _| Act::Refuse);
        let text = format!("name = 'a'\ntargets = ['bad/m']\nretries = {retries}");
        let router = builder(&stage).alias(alias(&text)).build().unwrap();
        let mut cx = cx();
        cx.deadline = Some(JumpingClock::new().instant() + seconds(deadline));
        router.complete(&cx, chat("a", true)).await.unwrap_err();
        assert_eq!(stage.asked("bad"), asked, "{retries} within {deadline} s");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_55_a_wait_that_is_asked_for_is_kept_and_handed_on() {
    for (act, wait) in [
        (Act::with(429, "retry-after", "30"), 30_000),
        (Act::with(429, "retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), 30_000),
        (Act::with(429, "retry-after-ms", "20000"), 20_000),
        (Act::with(429, "x-ms-retry-after-ms", "20000"), 20_000),
        (Act::with(429, "x-ratelimit-reset-tokens", "1m0s"), 60_000),
        (Act::with(429, "anthropic-ratelimit-tokens-reset", "2026-10-21T07:28:30Z"), 60_000),
        (Act::with(503, "retry-after", "15"), 15_000),
        (Act::with(529, "retry-after", "15"), 15_000),
    ] {
        let shown = format!("{act:?}");
        let stage = Stage::new(move |_, _, _| act.clone());
        let router = builder(&stage).build().unwrap();
        let ask = || async { router.complete(&cx(), chat("bad/m", true)).await.unwrap_err() };
        let first = ask().await;
        assert_eq!(first.retry_after, Some(Duration::from_millis(wait)), "{shown}");
        tokio::time::sleep(seconds(5)).await;
        let second = ask().await;
        assert_eq!(second.code, first.code, "{shown}");
        assert_eq!(second.retry_after, Some(Duration::from_millis(wait - 5000)), "{shown}");
        assert_eq!(stage.asked("bad"), 1, "{shown}: not asked before its time");
        assert!(second.route.unwrap().excluded[0].reason.contains("more"), "{shown}");
        tokio::time::sleep(Duration::from_millis(wait - 5000)).await;
        ask().await;
        assert!(stage.asked("bad") > 1, "{shown}: asked again in its time");
    }
}

#[tokio::test(start_paused = true)]
async fn the_shortest_wait_is_told_when_all_fail() {
    let stage = Stage::new(|host, _, _| match host {
        "bad" => Act::with(429, "retry-after", "20"),
        _ => Act::with(429, "retry-after", "40"),
    });
    let text = "name = 'a'\ntargets = ['bad/m', 'good/m']";
    let router = builder(&stage).alias(alias(text)).build().unwrap();
    let error = router.complete(&cx(), chat("a", true)).await.unwrap_err();
    assert_eq!((error.code, error.retry_after), (Code::RateLimited, Some(seconds(20))));
    let route = error.route.unwrap();
    assert_eq!((route.tried.len(), route.alias.as_deref()), (2, Some("a")));
}

#[tokio::test(start_paused = true)]
async fn time_limits_of_alias_and_upstream_are_kept() {
    let slow = Act::Stream(vec![(seconds(3), SAID), (seconds(3), SAID)], Ending::Silence);
    for (limits, streaming, act, code, elapsed) in [
        ("first_token = '2s'", true, slow.clone(), Some(Code::Timeout), 2),
        ("idle = '2s'", true, slow.clone(), Some(Code::Timeout), 5),
        ("total = '5s'", true, slow.clone(), Some(Code::Timeout), 5),
        ("total = '2s'", false, Act::Hang, Some(Code::Timeout), 2),
        ("idle = '4s'", true, slow, Some(Code::Timeout), 10),
    ] {
        let stage = Stage::new(move |_, _, _| act.clone());
        let alias_text = format!("name = 'a'\ntargets = ['bad/m']\ntimeouts = {{ {limits} }}");
        let patience = alias(&alias_text).timeouts;
        let of_alias = builder(&stage).alias(alias(&alias_text)).build().unwrap();
        let of_upstream = Router::builder(stage.clone(), Arc::new(NoCredentials))
            .upstream(upstream("bad").with_patience(patience))
            .alias(alias("name = 'a'\ntargets = ['bad/m']"))
            .clock(JumpingClock::new())
            .pause(Arc::new(crate::stage::Sleep))
            .build()
            .unwrap();
        for router in [of_alias, of_upstream] {
            let began = tokio::time::Instant::now();
            let said = match router.complete(&cx(), chat("a", streaming)).await {
                Ok(reply) => text(reply).await,
                Err(error) => Err(error),
            };
            assert_eq!(said.err().map(|error| error.code), code, "{limits}");
            assert_eq!(began.elapsed().as_secs(), elapsed, "{limits}");
            assert_eq!(router.health()[0].failed, 1, "{limits}");
        }
    }
}

#[test]
fn limits_without_a_way_to_wait_are_refused() {
    for line in ["retries = 1", "hedge = '1s'", "timeouts = { idle = '1s' }"] {
        let built = Router::builder(Stage::new(|_, _, _| Act::Hang), Arc::new(NoCredentials))
            .upstream(upstream("bad"))
            .alias(alias(&format!("name = 'a'\ntargets = ['bad/m']\n{line}")))
            .build();
        assert_eq!(built.unwrap_err(), BuildError::NoPause("a".into()), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_answers_for_a_slow_target_and_both_are_accounted_for() {
    let text_of = "name = 'a'\ntargets = ['bad/m', 'good/m', 'third/m']\nhedge = '2s'";
    let slow = |after| {
        Act::Stream(vec![(seconds(after), SAID), (seconds(0), crate::stage::END)], Ending::Clean)
    };
    for (bad, good, winner, asked, tried, billed) in [
        (slow(1), Act::good(true), "bad/m", 1, 0, 0),
        (Act::Hang, Act::good(true), "good/m", 2, 1, 1),
        (slow(3), slow(5), "bad/m", 2, 1, 1),
        (slow(3), Act::status(500), "bad/m", 2, 1, 1),
        (Act::Hang, Act::status(429), "", 2, 0, 0),
        (Act::status(429), Act::good(true), "good/m", 2, 1, 0),
    ] {
        let case = format!("{bad:?} {good:?}");
        let stage = Stage::new(move |host, _, _| match host {
            "bad" => bad.clone(),
            "good" => good.clone(),
            _ => Act::good(true),
        });
        let router = builder(&stage).alias(alias(text_of)).build().unwrap();
        let purse = Arc::new(CountingPurse::default());
        let mut call = chat("a", true);
        call.purse = Some(purse.clone());
        let cx = cx();
        let asking = tokio::time::timeout(seconds(60), router.complete(&cx, call)).await;
        if winner.is_empty() {
            assert!(asking.is_err(), "{case}: waits for the first, as without a hedge");
            assert_eq!(purse.loose(), 0, "{case}");
            continue;
        }
        let mut reply = asking.unwrap().unwrap();
        assert_eq!(reply.route.target, winner, "{case}");
        assert_eq!(reply.route.tried.len(), tried, "{case}");
        assert_eq!(purse.attempts.lock().unwrap().len(), asked, "{case}");
        assert_eq!(purse.billed(), billed, "{case}");
        drop(reply.hold.take().map(|hold| hold.settle(&doorward_core::Spent::default())));
        assert_eq!(purse.loose(), 0, "{case}");
        text(reply).await.unwrap();
        assert!(router.health().iter().all(|it| it.in_flight == 0), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_lets_one_probe_through_and_closes() {
    let stage = Stage::new(|host, asked, _| match host {
        "bad" if asked < 5 => Act::status(500),
        "bad" => {
            Act::Stream(vec![(seconds(2), SAID), (seconds(0), crate::stage::END)], Ending::Clean)
        }
        _ => Act::good(true),
    });
    let router = builder(&stage).alias(alias("name = 'a'\ntargets = ['bad/m', 'good/m']")).build();
    let router = Arc::new(router.unwrap());
    let ask = |router: Arc<Router>| async move {
        let reply = router.complete(&cx(), chat("a", true)).await.unwrap();
        (reply.route.clone(), text(reply).await.unwrap())
    };
    for _ in 0..5 {
        assert_eq!(ask(router.clone()).await.0.tried.len(), 1);
    }
    assert_eq!(router.health()[0].state, HealthState::Open { left: seconds(5) });
    let (route, _) = ask(router.clone()).await;
    assert!(route.tried.is_empty(), "spared");
    assert_eq!(route.excluded[0].reason, "breaker open for 5 s more");

    tokio::time::sleep(seconds(5)).await;
    assert_eq!(router.health()[0].state, HealthState::HalfOpen);
    let probe = tokio::spawn(ask(router.clone()));
    tokio::time::sleep(seconds(1)).await;
    let (route, _) = ask(router.clone()).await;
    assert_eq!(route.target, "good/m", "one probe at a time");
    assert_eq!(probe.await.unwrap().0.target, "bad/m");
    assert_eq!(router.health()[0].state, HealthState::Closed);
    assert_eq!(ask(router).await.0.target, "bad/m");
}
