//! Everything an upstream can do wrong, under every strategy: no call that could be served is
//! lost, and none is billed twice.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Code, Models, Spent};
use doorward_model_router::Strategy;

use crate::script::{chat, cx, text};
use crate::stage::{Act, CountingPurse, END, Ending, ROLE, SAID, Stage, alias, builder};

/// What becomes of a call when its first target behaves so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The other target answers; the failed attempt may be billed or not.
    Other { billed: bool },
    /// The first target answers in its own time.
    Same,
    /// The answer had begun: it is cut, and nobody else is asked.
    Cut,
}

const FREE: Fate = Fate::Other { billed: false };
const BILLED: Fate = Fate::Other { billed: true };

fn streamed() -> Vec<(&'static str, Act, Fate)> {
    const FAULT: &str = "data: {\"error\":{\"message\":\"overloaded\",\"code\":529}}\n\n";
    const BROKEN: &str = "data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n";
    let drip = |every| {
        let pieces = [SAID, SAID, SAID, END].map(|piece| (Duration::from_millis(every), piece));
        Act::Stream(pieces.to_vec(), Ending::Clean)
    };
    vec![
        ("reset after the first byte", Act::events(&[SAID], Ending::Reset), Fate::Cut),
        ("silence after the first byte", Act::events(&[SAID], Ending::Silence), Fate::Cut),
        ("reset before anything is said", Act::events(&[ROLE], Ending::Reset), BILLED),
        ("slow drip", drip(900), Fate::Same),
        ("a drip too slow to begin", drip(9_000), BILLED),
        ("200 with an error as first event", Act::events(&[FAULT], Ending::Clean), FREE),
        ("trap 8: an error behind metadata", Act::events(&[ROLE, FAULT], Ending::Clean), FREE),
        ("200 with a fault as first event", Act::events(&[BROKEN], Ending::Clean), BILLED),
        ("an empty stream", Act::events(&[], Ending::Clean), BILLED),
        ("a garbled stream", Act::events(&["data: {nonsense\n\n"], Ending::Clean), BILLED),
    ]
}

fn any() -> Vec<(&'static str, Act, Fate)> {
    let error = |body| Act::Whole(200, vec![], body);
    vec![
        ("429", Act::status(429), FREE),
        ("429 retry-after", Act::with(429, "retry-after", "2"), FREE),
        ("429 date", Act::with(429, "retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), FREE),
        ("429 retry-after-ms", Act::with(429, "retry-after-ms", "300"), FREE),
        ("429 x-ms-retry-after-ms", Act::with(429, "x-ms-retry-after-ms", "300"), FREE),
        ("429 reset", Act::with(429, "x-ratelimit-reset-tokens", "6m0s"), FREE),
        (
            "429 anthropic reset",
            Act::with(429, "anthropic-ratelimit-tokens-reset", "2026-10-21T07:28:00Z"),
            FREE,
        ),
        (
            "429 retryDelay",
            Act::Whole(
                429,
                vec![],
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"7s"}]}}"#,
            ),
            FREE,
        ),
        ("503", Act::status(503), FREE),
        ("529", Act::status(529), FREE),
        ("529 retry-after", Act::with(529, "retry-after", "60"), FREE),
        ("500", Act::status(500), BILLED),
        ("502", Act::status(502), BILLED),
        ("504", Act::status(504), BILLED),
        ("401", Act::status(401), FREE),
        ("402", Act::status(402), FREE),
        ("403", Act::status(403), FREE),
        ("404", Act::status(404), FREE),
        ("hang", Act::Hang, BILLED),
        ("garbage", error("<html>"), BILLED),
        ("200 with an error body", error(r#"{"error":{"message":"overloaded","code":529}}"#), FREE),
        ("connect refused", Act::Refuse, FREE),
        ("broken before the answer", Act::Break, BILLED),
    ]
}

fn aliases() -> Vec<(Strategy, String)> {
    let all = [
        (Strategy::Fallback, "\"bad/m\", \"good/m\""),
        (Strategy::Weighted, "\"bad/m\", { target = \"good/m\", weight = 0 }"),
        (Strategy::Latency, "\"bad/m\", \"good/m\""),
        (Strategy::LeastBusy, "\"bad/m\", \"good/m\""),
        (Strategy::Cheapest, "\"good/m\", \"bad/m\""),
        (
            Strategy::Complexity,
            "{ target = \"good/m\", tier = \"complex\" }, { target = \"bad/m\", tier = \"simple\" }",
        ),
    ];
    let text = |(strategy, targets): (Strategy, &str)| {
        let name = strategy.as_str();
        let text = format!(
            "name = \"a\"\nstrategy = \"{name}\"\ntargets = [{targets}]\n\
             timeouts = {{ first_token = \"5s\", idle = \"5s\", total = \"60s\" }}\n"
        );
        (strategy, text)
    };
    all.map(text).to_vec()
}

#[tokio::test(start_paused = true)]
async fn no_call_is_lost_and_none_is_billed_twice() {
    for streaming in [true, false] {
        let mut cases = any();
        if streaming {
            cases.extend(streamed());
        }
        for (name, act, fate) in cases {
            for (strategy, text) in aliases() {
                let case = format!("{name}, {}, streaming {streaming}", strategy.as_str());
                play(&case, act.clone(), fate, &text, streaming).await;
            }
        }
    }
}

/// Twelve calls in a row, so that breakers open, pauses end and probes are made.
async fn play(case: &str, act: Act, fate: Fate, alias_text: &str, streaming: bool) {
    let stage = Stage::new(move |host, _, _| match host {
        "bad" => act.clone(),
        _ => Act::good(streaming),
    });
    let price = |target: &str| Some(if target == "bad/m" { (1, 1) } else { (9, 9) });
    let router = builder(&stage).alias(alias(alias_text)).prices(Arc::new(price)).build().unwrap();
    for round in 0..12 {
        let purse = Arc::new(CountingPurse::default());
        let mut call = chat("a", streaming);
        call.purse = Some(purse.clone());
        let found = router.complete(&cx(), call).await;
        assert!(found.is_ok(), "{case}, round {round}: {found:?}");
        let mut reply = found.unwrap();
        let hold = reply.hold.take().unwrap();
        let route = reply.route.clone();
        let said = text(reply).await;
        hold.settle(&Spent::default());

        let attempts = purse.attempts.lock().unwrap().clone();
        assert_eq!(purse.loose(), 0, "{case}: every reservation is settled once");
        assert_eq!(attempts.len(), 1 + purse.failed.lock().unwrap().len(), "{case}");
        let billed = route.tried.iter().filter(|attempt| attempt.maybe_billed).count();
        assert_eq!(billed, purse.billed(), "{case}: receipt and purse agree");
        assert!(billed <= 1, "{case}: a target is not asked again once it may charge");
        match fate {
            Fate::Other { billed: may } => {
                assert_eq!(said.unwrap(), "from good", "{case}");
                assert_eq!(route.target, "good/m", "{case}");
                if round == 0 {
                    assert_eq!(route.tried.len(), 1, "{case}: {route:?}");
                    assert_eq!(billed == 1, may, "{case}: {route:?}");
                }
            }
            Fate::Same if round == 0 => assert_eq!(said.unwrap().len(), 24, "{case}"),
            // A slow target may be left for a quicker one.
            Fate::Same => assert!(said.is_ok() && route.tried.is_empty(), "{case}"),
            Fate::Cut => {
                let cut =
                    said.is_err_and(|error| matches!(error.code, Code::Upstream | Code::Timeout));
                assert!(cut || route.target == "good/m", "{case}");
                assert_eq!(attempts.len(), 1, "{case}: nobody else after the first byte");
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let health = router.health();
    let of = |name: &str| health.iter().find(|it| it.target == name).unwrap().clone();
    assert_eq!(of("bad/m").in_flight + of("good/m").in_flight, 0, "{case}");
    match fate {
        Fate::Same => assert_eq!(of("bad/m").failed, 0, "{case}"),
        _ => assert!(of("bad/m").answered == 0 && of("bad/m").failed > 0, "{case}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_target_is_asked_even_with_its_breaker_open() {
    let stage =
        Stage::new(|_, asked, _| if asked < 9 { Act::status(500) } else { Act::good(true) });
    let router = builder(&stage).build().unwrap();
    for _ in 0..9 {
        router.complete(&cx(), chat("bad/m", true)).await.unwrap_err();
    }
    let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
    assert_eq!(text(reply).await.unwrap(), "from good");
}

#[tokio::test(start_paused = true)]
async fn trap_58_59_what_began_well_and_broke_is_a_failure_of_its_target() {
    let stage = Stage::new(|_, _, _| Act::events(&[SAID], Ending::Reset));
    let router = builder(&stage).build().unwrap();
    let reply = router.complete(&cx(), chat("bad/m", true)).await.unwrap();
    assert_eq!(router.health().len(), 0, "nothing is known before the end");
    text(reply).await.unwrap_err();
    let with_alias =
        builder(&stage).alias(alias("name = 'a'\ntargets = ['bad/m']")).build().unwrap();
    let reply = with_alias.complete(&cx(), chat("a", true)).await.unwrap();
    text(reply).await.unwrap_err();
    let health = &with_alias.health()[0];
    assert_eq!((health.answered, health.failed, health.in_flight), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn trap_54_a_caller_that_leaves_before_the_first_word_pays_what_may_be_charged() {
    let stage = Stage::new(|_, _, _| Act::Hang);
    let router = builder(&stage).alias(alias("name = 'a'\ntargets = ['bad/m']")).build().unwrap();
    let purse = Arc::new(CountingPurse::default());
    let mut call = chat("a", true);
    call.purse = Some(purse.clone());
    let (cx, left) = (cx(), Duration::from_secs(1));
    tokio::time::timeout(left, router.complete(&cx, call)).await.unwrap_err();
    assert_eq!((purse.loose(), purse.billed()), (0, 1));
    let health = &router.health()[0];
    assert_eq!((health.in_flight, health.failed), (0, 0), "the target did nothing wrong");
}
