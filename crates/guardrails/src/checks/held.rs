//! Frames that are kept back: those of calls until the calls are whole, and all of an answer that
//! can only be judged whole.

use std::collections::{BTreeMap, BTreeSet};

use doorward_core::{CallError, Code, Frame, ModelEvent};

/// The most bytes that are kept back.
const MOST: usize = 8 << 20;

/// One call as it came.
#[derive(Debug, Default)]
pub(super) struct HeldCall {
    pub(super) name: String,
    pub(super) arguments: String,
    ended: bool,
    /// What goes on in its place: another name where the call is refused, other arguments.
    pub(super) instead: Option<(Option<String>, String)>,
}

/// The calls of an answer and the frames that they came in.
#[derive(Debug, Default)]
pub(super) struct HeldCalls {
    frames: Vec<Frame>,
    bytes: usize,
    pub(super) open: BTreeMap<u32, HeldCall>,
    /// Calls that went on: nothing more is heard of them.
    closed: BTreeSet<u32>,
}

/// What becomes of a frame.
pub(super) enum Held {
    /// It goes on.
    Passes(Frame),
    /// It is kept back.
    Waits,
    /// It is kept back, and all calls are whole.
    Due,
}

impl HeldCalls {
    pub(super) fn take(&mut self, frame: Frame) -> Result<Held, CallError> {
        let mut of_call = false;
        let mut over = false;
        for event in &frame.events {
            of_call |= self.note(event);
            over |= matches!(event, ModelEvent::Finish { .. } | ModelEvent::Done);
        }
        if over {
            self.open.values_mut().for_each(|call| call.ended = true);
        }
        if !of_call && self.frames.is_empty() {
            return Ok(Held::Passes(frame));
        }
        // Text flows on beside a call that is kept back; the end does not overtake it.
        if !of_call && !over {
            return Ok(Held::Passes(frame));
        }
        self.bytes = self.bytes.saturating_add(size(&frame));
        if self.bytes > MOST {
            return Err(too_large());
        }
        self.frames.push(frame);
        let waits = self.open.values().any(|call| !call.ended);
        Ok(if waits { Held::Waits } else { Held::Due })
    }

    fn note(&mut self, event: &ModelEvent) -> bool {
        match event {
            ModelEvent::ToolStart { call, name, .. } => {
                let fresh = HeldCall { name: name.clone(), ..HeldCall::default() };
                // A second start of one call voids it.
                if !self.closed.contains(call) && self.open.insert(*call, fresh).is_some() {
                    self.open.remove(call);
                    self.closed.insert(*call);
                }
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(open) = self.open.get_mut(call).filter(|open| !open.ended) {
                    open.arguments.push_str(json);
                }
            }
            ModelEvent::ToolEnd { call } => {
                if let Some(open) = self.open.get_mut(call) {
                    open.ended = true;
                }
            }
            _ => return false,
        }
        true
    }

    /// Lets the frames go, as was decided on the calls in them. Whether any was changed.
    pub(super) fn release(&mut self) -> (Vec<Frame>, bool) {
        let calls = std::mem::take(&mut self.open);
        self.closed.extend(calls.keys().copied());
        self.bytes = 0;
        let changed = calls.values().any(|call| call.instead.is_some());
        let frames = std::mem::take(&mut self.frames).into_iter();
        (frames.map(|frame| rewrite(frame, &calls)).collect(), changed)
    }
}

/// Writes what goes on in the place of changed calls; what belongs to no known call drops out.
fn rewrite(frame: Frame, calls: &BTreeMap<u32, HeldCall>) -> Frame {
    let number = |event: &ModelEvent| match event {
        ModelEvent::ToolStart { call, .. }
        | ModelEvent::ToolDelta { call, .. }
        | ModelEvent::ToolEnd { call } => Some(*call),
        _ => None,
    };
    let stays = |event: &ModelEvent| {
        number(event)
            .is_none_or(|number| calls.get(&number).is_some_and(|call| call.instead.is_none()))
    };
    if frame.events.iter().all(stays) {
        return frame;
    }
    let mut events = Vec::with_capacity(frame.events.len() + 1);
    for event in frame.events {
        if stays(&event) {
            events.push(event);
            continue;
        }
        let held = number(&event).and_then(|number| calls.get(&number));
        let Some((name, json)) = held.and_then(|call| call.instead.as_ref()) else { continue };
        match event {
            ModelEvent::ToolStart { call, choice, id, name: own, state } => {
                let name = name.clone().unwrap_or(own);
                events.push(ModelEvent::ToolStart { call, choice, id, name, state });
                events.push(ModelEvent::ToolDelta { call, json: json.clone() });
            }
            ModelEvent::ToolEnd { .. } => events.push(event),
            _ => {}
        }
    }
    Frame::of(events)
}

/// A whole answer, until somebody has judged it.
#[derive(Debug, Default)]
pub(super) struct HeldAnswer {
    pub(super) frames: Vec<Frame>,
    bytes: usize,
}

impl HeldAnswer {
    pub(super) fn take(&mut self, frame: Frame) -> Result<(), CallError> {
        self.bytes = self.bytes.saturating_add(size(&frame));
        if self.bytes > MOST {
            return Err(too_large());
        }
        self.frames.push(frame);
        Ok(())
    }

    /// The texts of its choices, in their order.
    pub(super) fn texts(&self) -> Vec<(u32, String)> {
        let mut texts: BTreeMap<u32, String> = BTreeMap::new();
        for event in self.frames.iter().flat_map(|frame| &frame.events) {
            if let ModelEvent::Text { choice, text } = event {
                texts.entry(*choice).or_default().push_str(text);
            }
        }
        texts.into_iter().collect()
    }

    /// Puts other texts in their place, each where its choice first says something.
    pub(super) fn replace(&mut self, texts: Vec<(u32, String)>) {
        let mut texts: BTreeMap<u32, String> = texts.into_iter().collect();
        let mut done = BTreeSet::new();
        for frame in &mut self.frames {
            frame.raw = None;
            frame.events.retain_mut(|event| match event {
                ModelEvent::Text { choice, text } => match texts.remove(choice) {
                    Some(new) => {
                        *text = new;
                        done.insert(*choice)
                    }
                    None => !done.contains(choice),
                },
                ModelEvent::Logprobs { .. } => false,
                _ => true,
            });
        }
    }
}

fn size(frame: &Frame) -> usize {
    let raw = frame.raw.as_deref().map_or(0, <[u8]>::len);
    frame.events.iter().fold(raw + 64, |size, event| match event {
        ModelEvent::ToolDelta { json: text, .. }
        | ModelEvent::Text { text, .. }
        | ModelEvent::Reasoning { text, .. } => size + text.len() + 64,
        _ => size + 128,
    })
}

fn too_large() -> CallError {
    let public = "the answer is larger than the checks of this gateway keep back";
    CallError::new(Code::TooLarge, public).with_rule("check.held")
}
