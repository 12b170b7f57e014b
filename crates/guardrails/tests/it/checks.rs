//! Content checks, driven as a gateway drives them.

mod links;
mod rules;
mod splits;
mod verdicts;
mod watched;

use std::sync::Arc;

use doorward_core::{
    Admission, CallError, Cx, Decision, Flow, Frame, Guard, Message, ModelCall, ModelEvent,
    Principal, RequestId, Role, TurnId,
};
use doorward_guardrails::ToolEngine;
use doorward_guardrails::checks::{Check, CheckedGuard, Checks};
use futures_util::FutureExt;

pub(crate) const AWS: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const IBAN: &str = "DE89 3704 0044 0532 0130 00";
pub(crate) const CARD: &str = "4111 1111 1111 1111";

pub(crate) fn compile(checks: Vec<Check>) -> Checks {
    Checks::compile(checks).unwrap()
}

pub(crate) fn guard(checks: Vec<Check>) -> CheckedGuard {
    let engine = ToolEngine::builder().key([1; 32]).build();
    compile(checks).around(Arc::new(engine))
}

pub(crate) fn cx() -> Cx {
    let mut principal = Principal::person("alice@corp.com");
    principal.team = Some("web".into());
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(principal),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

pub(crate) fn asked(text: &str) -> ModelCall {
    ModelCall {
        model: "fast".into(),
        messages: vec![Message::text(Role::User, text)],
        ..ModelCall::default()
    }
}

/// Sends frames through a watch; what came out, or what refused.
pub(crate) fn drive(
    admission: &mut Admission,
    frames: impl IntoIterator<Item = Frame>,
) -> Result<Vec<Frame>, CallError> {
    let mut out = Vec::new();
    let watch = &mut admission.watch;
    for frame in frames {
        match watch.frame(frame) {
            Flow::Pass(frame) => out.push(frame),
            Flow::Hold => {}
            Flow::Judge => out.extend(watch.judge().now_or_never().unwrap()?),
        }
    }
    out.extend(watch.finish().now_or_never().unwrap()?);
    Ok(out)
}

pub(crate) fn admit(guard: &CheckedGuard, call: &mut ModelCall) -> Result<Admission, CallError> {
    guard.admit(&cx(), call).now_or_never().unwrap()
}

pub(crate) fn text(text: &str) -> ModelEvent {
    ModelEvent::Text { choice: 0, text: text.to_owned() }
}

/// One event a frame, each with bytes of its own.
pub(crate) fn frames(events: Vec<ModelEvent>) -> Vec<Frame> {
    let raw = |event| Frame { events: vec![event], raw: Some("raw".into()) };
    events.into_iter().map(raw).collect()
}

/// All that is said in an answer.
pub(crate) fn said(frames: &[Frame]) -> String {
    let events = frames.iter().flat_map(|frame| &frame.events);
    let texts = events.map(|event| match event {
        ModelEvent::Text { text, .. } => text.as_str(),
        _ => "",
    });
    texts.collect()
}

pub(crate) fn rules(found: &[Decision]) -> Vec<&str> {
    found.iter().map(|decision| &*decision.rule).collect()
}
