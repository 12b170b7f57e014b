//! State that only its issuer can read.

use std::sync::Arc;

use doorward_core::{Body, DialectId, Message, ModelCall, Models, Reasoning, Role};
use doorward_model_router::{NoCredentials, Provider, Router, Upstream};

use crate::script::{cx, messages, text};
use crate::stage::{Act, JumpingClock, Stage, alias};

const THOUGHT: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"c2lnbmVk"},{"type":"text","text":"Yes."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
const PLAIN: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Yes."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
const REFUSED: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` in `thinking` block"}}"#;

fn router(stage: &Arc<Stage>) -> Router {
    let upstream = |name: &str| {
        let provider = Provider::named("anthropic").unwrap();
        Upstream::new(name, provider, Some(&format!("http://{name}"))).unwrap()
    };
    Router::builder(stage.clone(), Arc::new(NoCredentials))
        .upstream(upstream("one"))
        .upstream(upstream("two"))
        .alias(alias("name = 'first-two'\ntargets = ['two/opus', 'one/sonnet']"))
        .alias(alias("name = 'only-two'\ntargets = ['two/opus']"))
        .alias(alias("name = 'same-model'\ntargets = ['two/sonnet']"))
        .clock(JumpingClock::new())
        .build()
        .unwrap()
}

/// A second turn that holds the thought of the first.
fn second_turn(model: &str) -> ModelCall {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"c2lnbmVk"}},{{"type":"text","text":"Yes."}}]}},{{"role":"user","content":"and?"}}]}}"#
    );
    doorward_wire::Dialect::read_call(&doorward_wire::AnthropicMessages, body.into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn trap_30_a_thought_goes_back_to_its_issuer_and_to_nobody_else() {
    let stage = Stage::new(|_, _, request| {
        let known = String::from_utf8_lossy(request.body()).contains("c2lnbmVk");
        Act::Whole(200, vec![], if known { PLAIN } else { THOUGHT })
    });
    let router = router(&stage);
    let reply = router.complete(&cx(), messages("one/sonnet")).await.unwrap();
    text(reply).await.unwrap();

    let reply = router.complete(&cx(), second_turn("first-two")).await.unwrap();
    assert_eq!(reply.route.target, "one/sonnet", "its issuer is among the candidates");
    let why = reply.route.strategy.clone().unwrap();
    assert_eq!(why, "fallback; issued the call's state: one/sonnet");
    assert!(stage.last_body().contains("c2lnbmVk"));
    assert!(reply.route.dropped.is_empty());

    let reply = router.complete(&cx(), second_turn("only-two")).await.unwrap();
    assert!(!stage.last_body().contains("c2lnbmVk"), "another model: {}", stage.last_body());
    assert!(stage.last_body().contains("Yes."), "what was said stays");
    assert!(reply.route.dropped[0].contains("another target issued"), "{:?}", reply.route.dropped);

    router.complete(&cx(), second_turn("same-model")).await.unwrap();
    assert!(stage.last_body().contains("c2lnbmVk"), "a signature names its model, not its host");
}

#[tokio::test(start_paused = true)]
async fn state_of_an_unknown_issuer_is_sent_and_taken_out_if_it_is_refused() {
    let stage = Stage::new(|_, _, request| {
        let known = String::from_utf8_lossy(request.body()).contains("c2lnbmVk");
        if known { Act::Whole(400, vec![], REFUSED) } else { Act::Whole(200, vec![], PLAIN) }
    });
    let router = router(&stage);
    let reply = router.complete(&cx(), second_turn("only-two")).await.unwrap();
    assert_eq!((reply.route.tried.len(), stage.asked("two")), (1, 2));
    assert!(!stage.last_body().contains("c2lnbmVk"));
    assert_eq!(text(reply).await.unwrap(), "Yes.");

    let always = Stage::new(|_, _, _| Act::Whole(400, vec![], REFUSED));
    let router = self::router(&always);
    router.complete(&cx(), second_turn("only-two")).await.unwrap_err();
    assert_eq!(always.asked("two"), 2, "once without, and no more");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_state_is_sent_as_it_came() {
    let stage = Stage::new(|_, _, _| Act::Whole(200, vec![], PLAIN));
    let router = router(&stage);
    let mut call = messages("only-two");
    let before = call.raw.as_ref().unwrap().body.clone();
    let thought =
        Reasoning { text: "hm".into(), issuer: Some(DialectId::GEMINI), ..Reasoning::default() };
    call.messages.push(Message {
        role: Role::Assistant,
        parts: vec![Body::Reasoning(thought).into()],
        name: None,
    });
    router.complete(&cx(), call).await.unwrap();
    let sent = stage.last_body();
    assert_eq!(sent, String::from_utf8_lossy(&before).replace("only-two", "opus"));
}
