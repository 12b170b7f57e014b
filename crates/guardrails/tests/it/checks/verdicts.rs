//! Outside verdicts, sizes and forms, and what holds where nobody answers.

use std::sync::{Arc, Mutex};

use doorward_core::{
    BoxFuture, Code, Decision, Guard, Label, ModelEvent, Names, Pattern, ResponseFormat, ToolCall,
    ToolName, ToolReply, Verdict,
};
use doorward_guardrails::checks::{
    Action, Applies, Check, Content, Misfit, OnFailure, Opinion, Question, Shapes, Sizes, Stage,
    VerdictError, Verdicts,
};
use futures_util::FutureExt;
use serde_json::value::RawValue;

use super::{admit, asked, cx, drive, frames, guard, rules, said, text};

/// Says the same to everybody, and remembers what it was asked.
struct Oracle {
    answer: Result<Opinion, VerdictError>,
    asked: Mutex<Vec<(Stage, String)>>,
}

impl Oracle {
    fn of(answer: Result<Opinion, VerdictError>) -> Arc<Self> {
        Arc::new(Self { answer, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<(Stage, String)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Verdicts for Oracle {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Opinion, VerdictError>> {
        let content = match question.content {
            Content::Texts(texts) => texts.join("|"),
            Content::Json(json) => json.get().to_owned(),
        };
        self.asked.lock().unwrap().push((question.stage, content));
        let answer = self.answer.clone();
        Box::pin(async move { answer })
    }
}

fn replace(text: &str) -> Opinion {
    Opinion::Replace(vec![text.to_owned()])
}

fn tool_call() -> ToolCall {
    let arguments = RawValue::from_string(r#"{"q":"x"}"#.into()).unwrap();
    ToolCall::new(ToolName::new("web__find"), arguments)
}

fn verdict(call: &ToolCall) -> Verdict {
    Verdict {
        decision: Decision::allow("grant", ""),
        arguments: doorward_guardrails::canonical_digest(call.arguments.get()),
        turn: None,
        conversation: None,
        cause: None,
        grant: None,
        label: Label::user(),
    }
}

#[test]
fn a_verdict_replaces_on_every_way() {
    let oracle = Oracle::of(Ok(replace(r#"{"q":"y"}"#)));
    let guard = guard(vec![Check::verdicts(oracle.clone()).named("house")]);
    let mut request = asked("first");
    let mut admission = admit(&guard, &mut request).unwrap();
    assert_eq!(format!("{:?}", request.messages).matches(r#"{\"q\":\"y\"}"#).count(), 1);
    let events = vec![text("a"), text("b"), ModelEvent::Done];
    let out = drive(&mut admission, frames(events)).unwrap();
    assert_eq!(said(&out), r#"{"q":"y"}"#);
    assert!(out.iter().all(|frame| frame.raw.is_none()), "the upstream's bytes would tell");
    assert_eq!(rules(&admission.watch.found()), ["check.webhook.house"; 2]);

    let mut call = tool_call();
    let mut judged = verdict(&call);
    let found = guard.screen_arguments(&cx(), &mut call, &mut judged).now_or_never().unwrap();
    assert_eq!((call.arguments.get(), found.unwrap().len()), (r#"{"q":"y"}"#, 1));
    let mut reply = ToolReply::error("no");
    guard.screen_result(&cx(), &call, &mut reply).now_or_never().unwrap().unwrap();
    assert_eq!(reply.result.get(), r#"{"q":"y"}"#);
    let stages: Vec<Stage> = oracle.asked().iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Request, Stage::Answer, Stage::Arguments, Stage::Result]);
    assert_eq!(oracle.asked()[1].1, "ab", "the answer as a whole");
}

#[test]
fn a_refusal_stops_each_way_and_says_why() {
    let oracle = Oracle::of(Ok(Opinion::Deny("not\u{1b} here".into())));
    let check = |stage| Check::verdicts(oracle.clone()).named("house").at([stage]);
    let error = admit(&guard(vec![check(Stage::Request)]), &mut asked("x")).unwrap_err();
    assert_eq!(error.public, "`house` refused the request: not here");
    assert_eq!(error.rule.as_deref(), Some("check.webhook.house"));

    let mut admission = admit(&guard(vec![check(Stage::Answer)]), &mut asked("x")).unwrap();
    let error = drive(&mut admission, frames(vec![text("secret"), ModelEvent::Done])).unwrap_err();
    assert_eq!(error.code, Code::Forbidden);

    let (mut call, guard) = (tool_call(), guard(vec![check(Stage::Arguments)]));
    let mut judged = verdict(&call);
    let found = guard.screen_arguments(&cx(), &mut call, &mut judged).now_or_never().unwrap();
    assert!(!judged.decision.is_allowed() && !found.unwrap()[0].is_allowed());
}

#[test]
fn where_nobody_answers_the_failure_mode_decides() {
    for (mode, passes) in [(OnFailure::Deny, false), (OnFailure::Pass, true)] {
        for answer in [
            Err(VerdictError("no answer in time")),
            Ok(Opinion::Replace(vec!["one".into(), "too many".into()])),
        ] {
            let check = Check::verdicts(Oracle::of(answer)).on_failure(mode);
            let guard = guard(vec![check]);
            match admit(&guard, &mut asked("x")) {
                Ok(admission) => {
                    assert!(passes);
                    assert_eq!(rules(&admission.watch.found()), ["check.webhook.failed"]);
                }
                Err(error) => {
                    assert!(!passes);
                    assert_eq!(error.rule.as_deref(), Some("check.webhook.failed"));
                }
            }
        }
    }
}

#[test]
fn a_brokered_call_is_asked_about_once_where_it_runs() {
    struct Broker;
    impl Names for Broker {
        fn brokered(&self, declared: &str) -> Option<ToolName> {
            declared.contains("__").then(|| ToolName::new(declared))
        }
    }
    let oracle = Oracle::of(Ok(Opinion::Allow));
    let check = Check::verdicts(oracle.clone()).at([Stage::Arguments]);
    let engine = doorward_guardrails::ToolEngine::builder().key([1; 32]).build();
    let guard = super::compile(vec![check]).names(Arc::new(Broker)).around(Arc::new(engine));
    let mut admission = admit(&guard, &mut asked("x")).unwrap();
    let call = |call, name: &str| {
        vec![
            ModelEvent::ToolStart {
                call,
                choice: 0,
                id: name.into(),
                name: name.into(),
                state: None,
            },
            ModelEvent::ToolDelta { call, json: format!(r#"{{"of":"{name}"}}"#) },
            ModelEvent::ToolEnd { call },
        ]
    };
    let events = [call(0, "web__find"), call(1, "shell"), vec![ModelEvent::Done]].concat();
    drive(&mut admission, frames(events)).unwrap();
    assert_eq!(oracle.asked(), [(Stage::Arguments, r#"{"of":"shell"}"#.to_owned())]);
}

#[test]
fn sizes_hold() {
    let limit = |sizes| guard(vec![Check::size(sizes)]);
    let few = Sizes { bytes: Some(8), ..Sizes::default() };
    assert!(admit(&limit(few), &mut asked("12345678")).is_ok());
    let error = admit(&limit(few), &mut asked("123456789")).unwrap_err();
    assert_eq!((error.code, error.rule.as_deref()), (Code::TooLarge, Some("check.size.bytes")));
    let none = Sizes { messages: Some(0), ..Sizes::default() };
    let error = admit(&limit(none), &mut asked("x")).unwrap_err();
    assert_eq!(error.rule.as_deref(), Some("check.size.messages"));

    let guard = guard(vec![Check::size(few).at([Stage::Answer])]);
    let mut admission = admit(&guard, &mut asked("a long question")).unwrap();
    let error = drive(&mut admission, frames(vec![text("12345"), text("6789")])).unwrap_err();
    assert_eq!(error.rule.as_deref(), Some("check.size.bytes"));
}

/// Knows one schema: `{"type":"object"}`.
struct Objects;

impl Shapes for Objects {
    fn check(&self, schema: &RawValue, value: &RawValue) -> Result<(), Misfit> {
        match (schema.get(), value.get().starts_with('{')) {
            (r#"{"type":"object"}"#, true) => Ok(()),
            (r#"{"type":"object"}"#, false) => Err(Misfit::Value("must be an object".into())),
            _ => Err(Misfit::Schema("cannot be read".into())),
        }
    }
}

#[test]
fn an_answer_has_the_form_that_was_asked_for() {
    for (schema, said, rule) in [
        (r#"{"type":"object"}"#, r#"{"a":1}"#, None),
        (r#"{"type":"object"}"#, "[1]", Some("check.schema.answer")),
        (r#"{"type":"object"}"#, r#"{"a":"#, Some("check.schema.answer")),
        (r#"{"type":7}"#, "{}", Some("check.schema.failed")),
    ] {
        let guard = guard(vec![Check::shape(Arc::new(Objects))]);
        let mut call = asked("x");
        call.params.response_format = Some(ResponseFormat::JsonSchema {
            name: "n".into(),
            schema: RawValue::from_string(schema.into()).unwrap(),
            strict: None,
        });
        let mut admission = admit(&guard, &mut call).unwrap();
        let (a, b) = said.split_at(2);
        let told = drive(&mut admission, frames(vec![text(a), text(b), ModelEvent::Done]));
        match (told, rule) {
            (Ok(frames), None) => {
                assert!(frames.iter().all(|frame| frame.raw.is_some()), "untouched bytes");
            }
            (Err(error), Some(rule)) => assert_eq!(error.rule.as_deref(), Some(rule)),
            (told, rule) => panic!("{schema} {said}: {told:?}, {rule:?}"),
        }
    }
    // Nobody asked for a form: the answer flows.
    let guard = guard(vec![Check::shape(Arc::new(Objects))]);
    let mut admission = admit(&guard, &mut asked("x")).unwrap();
    let flow = admission.watch.frame(doorward_core::Frame::of(vec![text("not JSON")]));
    assert!(matches!(flow, doorward_core::Flow::Pass(_)));
}

#[test]
fn a_check_is_for_whom_it_says() {
    let only = |applies| Check::secrets().action(Action::Deny).applies(applies);
    let list = |name: &str| vec![Pattern::new(name)];
    for (applies, refuses) in [
        (Applies { principals: list("*@corp.com"), ..Applies::default() }, true),
        (Applies { principals: list("bob*"), ..Applies::default() }, false),
        (Applies { teams: list("web"), models: list("fa*"), ..Applies::default() }, true),
        (Applies { teams: list("ops"), ..Applies::default() }, false),
        (Applies { models: list("slow"), ..Applies::default() }, false),
    ] {
        let guard = guard(vec![only(applies.clone())]);
        let refused = admit(&guard, &mut asked(super::AWS)).is_err();
        assert_eq!(refused, refuses, "{applies:?}");
    }
    let guard = guard(vec![only(Applies { tools: list("mail__*"), ..Applies::default() })]);
    let mut call = tool_call();
    call.arguments = RawValue::from_string(format!(r#"{{"q":"{}"}}"#, super::AWS)).unwrap();
    let mut judged = verdict(&call);
    guard.screen_arguments(&cx(), &mut call, &mut judged).now_or_never().unwrap().unwrap();
    assert!(judged.decision.is_allowed(), "another tool");
}
