//! The checks over one answer, in front of the inner guard's own watch.

use std::collections::VecDeque;

use doorward_core::{
    BoxFuture, CallError, Cx, DecidedCall, Decision, Flow, Frame, ModelCall, ModelEvent,
    ResponseFormat, ToolDef, ToolName, Watch,
};
use serde_json::value::RawValue;

use super::held::{Held, HeldAnswer, HeldCalls};
use super::scan::{Stop, Tally};
use super::streams::Streams;
use super::verdict::{Content, Question, ToolAsked};
use super::{Action, Checks, Kind, Misfit, Stage};
use crate::words;

/// What a client calls the tool that tells of refusals, unless it declares it by another name.
const DENIED: &str = "doorward__denied";

pub(super) struct CheckWatch {
    checks: Checks,
    cx: Cx,
    model: String,
    tools: Vec<ToolDef>,
    denied_as: String,
    format: Option<ResponseFormat>,
    /// The checks of answers.
    answer: Vec<usize>,
    tally: Tally,
    streams: Streams,
    /// Calls, where checks look at arguments.
    calls: Option<HeldCalls>,
    /// The whole answer, where a check wants it whole.
    whole: Option<HeldAnswer>,
    /// Text, thought and arguments so far, in bytes.
    said: usize,
    /// Frames that may go on to the inner watch.
    ready: VecDeque<Frame>,
    calls_due: bool,
    answer_due: bool,
    inner_due: bool,
    stop: Option<CallError>,
    inner: Box<dyn Watch>,
}

impl CheckWatch {
    /// The watch, where there is anything to watch or to tell.
    pub(super) fn around(
        checks: &Checks,
        cx: &Cx,
        call: &ModelCall,
        tally: Tally,
        inner: Box<dyn Watch>,
    ) -> Box<dyn Watch> {
        let answer = checks.chosen(Stage::Answer, cx, Some(&call.model));
        let arguments = checks.chosen(Stage::Arguments, cx, Some(&call.model));
        if answer.is_empty() && arguments.is_empty() && tally.is_empty() {
            return inner;
        }
        let format = call.params.response_format.clone();
        let format = format.filter(|format| !matches!(format, ResponseFormat::Text));
        let whole =
            answer.iter().filter_map(|at| checks.list.get(*at)).any(|check| match &check.kind {
                Kind::Verdicts(_) => true,
                Kind::Shape(_) => format.is_some(),
                Kind::Match(_) | Kind::Unseen | Kind::Size(_) => false,
            });
        let denied = call.tools.iter().find(|tool| tool.name.ends_with(DENIED));
        let tools = if arguments.is_empty() { vec![] } else { call.tools.clone() };
        Box::new(Self {
            checks: checks.clone(),
            cx: cx.clone(),
            model: call.model.clone(),
            tools,
            denied_as: denied.map_or(DENIED, |tool| &tool.name).to_owned(),
            format,
            streams: Streams::new(answer.clone()),
            answer,
            tally,
            calls: (!arguments.is_empty()).then(HeldCalls::default),
            whole: whole.then(HeldAnswer::default),
            said: 0,
            ready: VecDeque::new(),
            calls_due: false,
            answer_due: false,
            inner_due: false,
            stop: None,
            inner,
        })
    }

    /// What goes on of a frame at once; the rest is kept back or ready.
    fn take(&mut self, frame: Frame) -> Result<Option<Frame>, CallError> {
        self.count(&frame).map_err(Stop::into_error)?;
        self.tally.at(Stage::Answer);
        let taken = self.streams.take(&self.checks, frame, &mut self.tally);
        let Some(frame) = taken.map_err(Stop::into_error)? else {
            return Ok(None);
        };
        let frame = match &mut self.calls {
            None => frame,
            Some(calls) => match calls.take(frame)? {
                Held::Passes(frame) => frame,
                Held::Waits => return Ok(None),
                Held::Due => {
                    self.calls_due = true;
                    return Ok(None);
                }
            },
        };
        self.keep_whole(frame)
    }

    /// Keeps a frame back where the answer is judged whole.
    fn keep_whole(&mut self, frame: Frame) -> Result<Option<Frame>, CallError> {
        let Some(whole) = &mut self.whole else { return Ok(Some(frame)) };
        let over = frame.events.iter().any(|event| matches!(event, ModelEvent::Done));
        whole.take(frame)?;
        self.answer_due |= over;
        Ok(None)
    }

    fn count(&mut self, frame: &Frame) -> Result<(), Stop> {
        let said = frame.events.iter().map(|event| match event {
            ModelEvent::Text { text, .. }
            | ModelEvent::Refusal { text, .. }
            | ModelEvent::Reasoning { text, .. }
            | ModelEvent::ToolDelta { json: text, .. } => text.len(),
            _ => 0,
        });
        let before = self.said;
        self.said = said.fold(self.said, usize::saturating_add);
        self.tally.at(Stage::Answer);
        for at in &self.answer {
            let Some(check) = self.checks.list.get(*at) else { continue };
            if let Kind::Size(most) = &check.kind
                // What is only observed is told once.
                && most.bytes.is_some_and(|most| before <= most)
            {
                self.checks.most(check, "bytes", most.bytes, self.said, &mut self.tally)?;
            }
        }
        Ok(())
    }

    /// Looks at the calls that are whole now.
    async fn judge_calls(&mut self) -> Result<Vec<Frame>, CallError> {
        let Some(calls) = &mut self.calls else { return Ok(vec![]) };
        self.tally.at(Stage::Arguments);
        for call in calls.open.values_mut() {
            let name = ToolName::new(call.name.as_str());
            let declared = self.tools.iter().find(|tool| tool.name == call.name);
            let empty = call.arguments.trim().is_empty();
            let arguments = if empty { "{}" } else { &call.arguments };
            let quoted = || serde_json::value::to_raw_value(arguments);
            // What is no JSON is looked at as one text.
            let json = RawValue::from_string(arguments.to_owned());
            let whole = json.is_ok();
            let json = json.or_else(|_| quoted()).map_err(CallError::internal)?;
            let question = Question {
                cx: &self.cx,
                stage: Stage::Arguments,
                model: Some(&self.model),
                tool: Some(ToolAsked {
                    name: &name,
                    description: declared.and_then(|tool| tool.description.as_deref()),
                    schema: declared.and_then(|tool| tool.schema.as_deref()),
                    arguments: None,
                }),
                content: Content::Json(&json),
            };
            match self.checks.screen_json(question, &name, &json, &mut self.tally).await {
                Ok(None) => {}
                Ok(Some(new)) => {
                    let text = if whole {
                        new.get().to_owned()
                    } else {
                        serde_json::from_str(new.get()).unwrap_or_default()
                    };
                    call.instead = Some((None, text));
                }
                Err(stop) => {
                    let told = words::refusal_arguments(name.as_str(), &stop.into_decision());
                    call.instead = Some((Some(self.denied_as.clone()), told));
                }
            }
        }
        let (mut frames, changed) = calls.release();
        if changed {
            self.streams.take_over();
            for frame in &mut frames {
                frame.raw = None;
            }
        }
        Ok(frames)
    }

    /// Looks at the whole answer.
    async fn judge_answer(&mut self) -> Result<Vec<Frame>, Stop> {
        let Some(mut whole) = self.whole.take() else { return Ok(vec![]) };
        self.tally.at(Stage::Answer);
        for at in self.answer.clone() {
            let Some(check) = self.checks.list.get(at) else { continue };
            match &check.kind {
                Kind::Verdicts(verdicts) => {
                    let told = whole.texts();
                    let texts: Vec<String> = told.iter().map(|(_, text)| text.clone()).collect();
                    if texts.iter().all(String::is_empty) {
                        continue;
                    }
                    let question = Question {
                        cx: &self.cx,
                        stage: Stage::Answer,
                        model: Some(&self.model),
                        tool: None,
                        content: Content::Texts(&texts),
                    };
                    let tally = &mut self.tally;
                    let new = self.checks.ask(check, &**verdicts, question, tally).await?;
                    if let Some(new) = new {
                        let choices = told.into_iter().map(|(choice, _)| choice);
                        whole.replace(choices.zip(new).collect());
                        self.streams.take_over();
                    }
                }
                Kind::Shape(_) => self.fits(at, &whole)?,
                Kind::Match(_) | Kind::Unseen | Kind::Size(_) => {}
            }
        }
        Ok(whole.frames)
    }

    /// Whether every choice has the form that was asked for. One that only calls tools has none.
    fn fits(&mut self, at: usize, whole: &HeldAnswer) -> Result<(), Stop> {
        let (Some(check), Some(format)) = (self.checks.list.get(at), &self.format) else {
            return Ok(());
        };
        let Kind::Shape(shapes) = &check.kind else { return Ok(()) };
        for (_, text) in whole.texts().iter().filter(|(_, text)| !text.trim().is_empty()) {
            let misfit = match (serde_json::from_str::<&RawValue>(text.trim()), format) {
                (Err(_), _) => Err(Misfit::Value("it is no JSON".to_owned())),
                (Ok(value), ResponseFormat::JsonSchema { schema, .. }) => {
                    shapes.check(schema, value)
                }
                (Ok(value), _) if value.get().starts_with('{') => Ok(()),
                (Ok(_), _) => Err(Misfit::Value("it is no JSON object".to_owned())),
            };
            match misfit {
                Ok(()) => {}
                Err(Misfit::Schema(why)) => self.tally.failed(&self.checks, check, &why)?,
                Err(Misfit::Value(why)) => {
                    let action = self.checks.action(check);
                    self.tally.note(check, "answer", action);
                    if action != Action::Observe {
                        let mut stop = Stop::found(check, "answer", Stage::Answer);
                        stop.reason =
                            format!("the answer does not have the form that was asked for: {why}");
                        return Err(stop);
                    }
                }
            }
        }
        Ok(())
    }

    /// Does what is due, and passes what is ready through the inner watch.
    async fn settle(&mut self) -> Result<Vec<Frame>, CallError> {
        if let Some(stop) = self.stop.take() {
            return Err(stop);
        }
        if std::mem::take(&mut self.calls_due) {
            for frame in self.judge_calls().await? {
                let frame = self.keep_whole(frame)?;
                self.ready.extend(frame);
            }
        }
        if std::mem::take(&mut self.answer_due) {
            let frames = self.judge_answer().await;
            let frames = frames.map_err(Stop::into_error)?;
            self.ready.extend(frames);
        }
        let mut out = Vec::new();
        if std::mem::take(&mut self.inner_due) {
            out.extend(self.inner.judge().await?);
        }
        while let Some(frame) = self.ready.pop_front() {
            match self.inner.frame(frame) {
                Flow::Pass(frame) => out.push(frame),
                Flow::Hold => {}
                Flow::Judge => out.extend(self.inner.judge().await?),
            }
        }
        Ok(out)
    }

    async fn end(&mut self) -> Result<Vec<Frame>, CallError> {
        self.tally.at(Stage::Answer);
        let rest = self.streams.finish(&self.checks, &mut self.tally);
        let rest = rest.map_err(Stop::into_error)?;
        if let Some(frame) = rest {
            let frame = self.keep_whole(frame)?;
            self.ready.extend(frame);
        }
        // Half a call goes nowhere: its frames are dropped with the watch.
        self.answer_due |= self.whole.is_some();
        let mut out = self.settle().await?;
        out.extend(self.inner.finish().await?);
        Ok(out)
    }
}

impl Watch for CheckWatch {
    fn frame(&mut self, frame: Frame) -> Flow {
        match self.take(frame) {
            Err(stop) => {
                self.stop = Some(stop);
                Flow::Judge
            }
            Ok(None) if self.calls_due || self.answer_due => Flow::Judge,
            Ok(None) => Flow::Hold,
            Ok(Some(frame)) => {
                let flow = self.inner.frame(frame);
                self.inner_due |= matches!(flow, Flow::Judge);
                flow
            }
        }
    }

    fn judge(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>> {
        Box::pin(self.settle())
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>> {
        Box::pin(self.end())
    }

    fn decided(&self) -> &[DecidedCall] {
        self.inner.decided()
    }

    fn found(&self) -> Vec<Decision> {
        let mut found = self.tally.decisions(&self.checks);
        found.extend(self.inner.found());
        found
    }
}
