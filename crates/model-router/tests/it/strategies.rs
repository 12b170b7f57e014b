//! Which target is asked first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Message, ModelCall, Models, Role};
use doorward_model_router::Router;
use proptest::prelude::*;

use crate::script::{chat, cx, text};
use crate::stage::{Act, END, Ending, SAID, Stage, alias, builder};

async fn target(router: &Router, call: ModelCall) -> (String, String) {
    let reply = router.complete(&cx(), call).await.unwrap();
    let (target, why) = (reply.route.target.clone(), reply.route.strategy.clone());
    text(reply).await.unwrap();
    (target, why.unwrap_or_default())
}

fn well() -> Arc<Stage> {
    Stage::new(|_, _, _| Act::good(true))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Shares follow the weights, within five standard deviations.
    #[test]
    fn lots_fall_in_proportion_to_the_weights(weights in [0u32..20, 0u32..20, 1u32..20]) {
        const CALLS: u32 = 600;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let counts = runtime.block_on(async {
            let [bad, good, third] = weights;
            let text = format!(
                "name = 'a'\nstrategy = 'weighted'\ntargets = [\
                 {{ target = 'bad/m', weight = {bad} }}, {{ target = 'good/m', weight = {good} }}, \
                 {{ target = 'third/m', weight = {third} }}]"
            );
            let router = builder(&well()).alias(alias(&text)).build().unwrap();
            let mut counts = BTreeMap::new();
            for _ in 0..CALLS {
                *counts.entry(target(&router, chat("a", true)).await.0).or_insert(0u32) += 1;
            }
            counts
        });
        let total: u32 = weights.iter().sum();
        for (name, weight) in ["bad/m", "good/m", "third/m"].into_iter().zip(weights) {
            let share = f64::from(weight) / f64::from(total);
            let expected = share * f64::from(CALLS);
            let spread = (f64::from(CALLS) * share * (1.0 - share)).sqrt();
            let found = f64::from(counts.get(name).copied().unwrap_or_default());
            prop_assert!((found - expected).abs() <= 5.0 * spread + 1e-9, "{name}: {found} of {expected}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_quicker_of_two_is_asked_and_the_slow_one_again_in_time() {
    let stage = Stage::new(|host, _, _| {
        let wait = Duration::from_millis(if host == "bad" { 900 } else { 200 });
        Act::Stream(vec![(wait, SAID), (Duration::ZERO, END)], Ending::Clean)
    });
    let text = "name = 'a'\nstrategy = 'latency'\ntargets = ['bad/m', 'good/m']";
    let router = builder(&stage).alias(alias(text)).build().unwrap();
    for _ in 0..22 {
        target(&router, chat("a", true)).await;
    }
    assert_eq!((stage.asked("bad"), stage.asked("good")), (1, 21), "each once, then the quicker");
    let (_, why) = target(&router, chat("a", true)).await;
    assert!(why.starts_with("latency: p2c good/m 200 ms vs bad/m"), "{why}");
    for _ in 0..600 {
        target(&router, chat("a", true)).await;
    }
    let again = stage.asked("bad");
    assert!((2..10).contains(&again), "what nobody measures fades, and is measured: {again}");
}

#[tokio::test(start_paused = true)]
async fn the_least_busy_is_asked() {
    let text_of = "name = 'a'\nstrategy = 'least-busy'\ntargets = ['bad/m', 'good/m']";
    let stage = well();
    let router = builder(&stage).alias(alias(text_of)).build().unwrap();
    let held = router.complete(&cx(), chat("a", true)).await.unwrap();
    assert_eq!(held.route.target, "bad/m");
    assert_eq!(target(&router, chat("a", true)).await.0, "good/m");
    drop(held);
    assert_eq!(target(&router, chat("a", true)).await.0, "bad/m");
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_for_this_call_is_asked() {
    // `bad` is cheap to read and dear to write, `good` the other way round.
    let price = |target: &str| match target {
        "bad/m" => Some((1, 100)),
        "good/m" => Some((10, 10)),
        _ => None,
    };
    let text = "name = 'a'\nstrategy = 'cheapest'\ntargets = ['third/m', 'bad/m', 'good/m']";
    let router = builder(&well()).alias(alias(text)).prices(Arc::new(price)).build().unwrap();
    assert_eq!(target(&router, chat("a", true)).await.0, "good/m");
    let mut long = chat("a", true);
    long.messages.push(Message::text(Role::User, "word ".repeat(9_000)));
    let (found, why) = target(&router, long).await;
    assert_eq!(found, "bad/m");
    assert!(why.starts_with("cheapest: about "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn hard_calls_go_to_the_targets_for_hard_calls() {
    let text = "name = 'a'\nstrategy = 'complexity'\ntargets = [\
        { target = 'bad/m', tier = 'complex' }, { target = 'good/m', tier = 'simple' }]";
    let router = builder(&well()).alias(alias(text)).build().unwrap();
    let (found, why) = target(&router, chat("a", true)).await;
    assert_eq!((found.as_str(), why.as_str()), ("good/m", "complexity: simple (score 0)"));
    let mut hard = chat("a", true);
    let question = "Refactor and debug step by step:\n```rust\nfn main() {}\n```";
    hard.messages.push(Message::text(Role::User, question));
    let (found, why) = target(&router, hard).await;
    assert_eq!(found, "bad/m", "no target is for medium calls: the harder one");
    assert_eq!(why, "complexity: medium (score 5: code, reasoning words)");
}

#[tokio::test(start_paused = true)]
async fn rules_and_conditions_pick_targets() {
    let text = "name = 'a'\ntargets = [{ target = 'bad/m', when = { max_input_tokens = 100 } }, 'good/m']\n\
        rules = [{ when = { min_input_tokens = 5000 }, targets = ['third/long'] },\n\
                 { when = { principal = 'robot-*', stream = false }, targets = ['third/robots'] }]";
    let stage = Stage::new(|_, _, request| {
        let whole = !String::from_utf8_lossy(request.body()).contains("\"stream\":true");
        Act::good(!whole)
    });
    let router = builder(&stage).alias(alias(text)).build().unwrap();
    let with = |tokens: usize| {
        let mut call = chat("a", true);
        call.messages.push(Message::text(Role::User, "x".repeat(tokens * 4)));
        call
    };
    assert_eq!(target(&router, with(10)).await.0, "bad/m");
    let reply = router.complete(&cx(), with(1_000)).await.unwrap();
    assert_eq!(reply.route.target, "good/m");
    assert_eq!(reply.route.excluded[0].reason, "when.max_input_tokens does not hold");
    assert_eq!(target(&router, with(9_000)).await.0, "third/long");
    let mut robot = cx();
    robot.principal = Arc::new(doorward_core::Principal::service("robot-7"));
    let reply = router.complete(&robot, chat("a", false)).await.unwrap();
    assert_eq!(reply.route.target, "third/robots");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_stays_with_its_target_while_that_is_well() {
    let stage = Stage::new(|host, asked, _| match host {
        "bad" if asked >= 3 => Act::status(500),
        _ => Act::good(true),
    });
    let text = "name = 'a'\nsticky = true\nstrategy = 'least-busy'\n\
        targets = ['bad/m', 'good/m']";
    let router = builder(&stage).alias(alias(text)).build().unwrap();
    let first = router.complete(&cx(), chat("a", true)).await.unwrap();
    assert_eq!(first.route.target, "bad/m");
    let second = router.complete(&cx(), chat("a", true)).await.unwrap();
    assert_eq!(second.route.target, "bad/m", "though `good` is less busy");
    assert!(second.route.strategy.as_deref().unwrap().ends_with("; sticky: bad/m"));

    let mut other = cx();
    other.conversation_hint = Some("another".into());
    let elsewhere = router.complete(&other, chat("a", true)).await.unwrap();
    assert_eq!(elsewhere.route.target, "good/m", "another conversation goes where there is room");
    let mut bob = cx();
    bob.principal = Arc::new(doorward_core::Principal::person("bob"));
    drop((first, second));
    let reply = router.complete(&bob, chat("a", true)).await.unwrap();
    assert_eq!(reply.route.target, "bad/m", "and so does another caller's");

    let moved = router.complete(&cx(), chat("a", true)).await.unwrap();
    assert_eq!(moved.route.target, "good/m", "its target is ill");
    let stays = router.complete(&cx(), chat("a", true)).await.unwrap();
    assert_eq!((&*stays.route.target, stays.route.tried.len()), ("good/m", 0), "and stays there");
}
