//! Frames into a client's stream, or one whole answer.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Finish, Frame, ModelEvent};

use super::output::{
    Called, Head, Item, Kind, Part, Thought, items_of, text_of, write_items, write_response,
};
use super::place::{self, ItemAt, Place};
use super::telling::Telling;
use super::{incomplete_word, write_error};
use crate::answer::{Answer, Bodies, Choice, Collected, cut, told};
use crate::custom::Unwrapping;
use crate::emit;
use crate::sse::Event;
use crate::stream::Tail;
use crate::{Writer, WriterOptions};

pub(super) fn new(options: WriterOptions) -> Box<dyn Writer> {
    if options.streaming {
        Box::new(Streaming { telling: Telling::new(options), ..Streaming::default() })
    } else {
        let error = |error: &CallError, out: &mut BytesMut| {
            emit::object(out, |body| write_error(body, error));
        };
        Box::new(Collected::new(options, Bodies { answer: write_answer, error }))
    }
}

/// Writes stream events. Events of the same dialect go through as they came, and are followed
/// closely enough that others can stand among them. A whole answer is repeated item by item and
/// at the end: where an item is told otherwise here, all its later tellings are.
#[derive(Debug, Default)]
struct Streaming {
    telling: Telling,
    /// The items that began upstream, by its index, with their places here.
    upstream: Vec<(u64, usize)>,
    /// Whether any frame came without the upstream's bytes: events of items that never began for
    /// the client may follow.
    disturbed: bool,
    /// Whether the upstream's own error was forwarded.
    failed: bool,
    tail: Tail,
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.telling.ended {
            return self.afterwards(frame, out);
        }
        match &frame.raw {
            Some(raw) if self.telling.options.same_dialect => self.take(frame, raw, out),
            _ => {
                if !frame.events.is_empty() {
                    self.tail.seal(out);
                }
                self.disturbed = true;
                self.tell(frame, out);
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if !self.telling.ended {
            self.error(&cut(), out);
        }
    }

    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if !self.telling.ended {
            self.tail.seal(out);
            self.telling.fail(error, out);
        }
    }
}

impl Streaming {
    fn tell(&mut self, frame: &Frame, out: &mut BytesMut) {
        frame.events.iter().for_each(|event| self.telling.tell(event, out));
    }

    /// After the end: the upstream's own end mark goes through, and the second telling of a
    /// failure. Nobody judges what else comes.
    fn afterwards(&mut self, frame: &Frame, out: &mut BytesMut) {
        let Some(raw) = frame.raw.as_ref().filter(|_| self.telling.options.same_dialect) else {
            return;
        };
        let data = Event::whole(raw.clone()).data().map(Cow::into_owned);
        let is_mark = data.is_none_or(|data| data.trim() == "[DONE]");
        if is_mark || self.failed && place::kind(raw) == Some("failed") {
            self.tail.forward(frame, raw, out);
        }
    }

    fn follow(&mut self, frame: &Frame) {
        let fails = |event: &ModelEvent| matches!(event, ModelEvent::Error { .. });
        self.failed |= frame.events.iter().any(fails);
        frame.events.iter().for_each(|event| self.telling.follow(event));
    }

    /// Takes an upstream's event: forwards it, or tells what it means where it does not fit.
    fn take(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        match place::kind(raw) {
            Some("output_item.added") => self.added(frame, raw, out),
            Some("output_item.done") => self.done(frame, raw, out),
            Some("completed" | "incomplete" | "done") => self.terminal(frame, raw, out),
            Some("content_part.added" | "content_part.done" | "reasoning_summary_part.added") => {
                self.piece(frame, raw, out);
            }
            Some(_) if self.telling.counted || self.disturbed => {
                let place = Place::of(raw);
                self.fit(frame, raw, &place, out);
            }
            Some(_) => self.forward(frame, raw, out),
            // A comment, or what is no event of an answer.
            None => {
                self.tail.forward(frame, raw, out);
                self.follow(frame);
            }
        }
    }

    /// Forwards an event as it came.
    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        self.telling.begun = true;
        self.telling.last = Some(raw.clone());
        self.tail.forward(frame, raw, out);
        self.follow(frame);
    }

    /// Forwards an event under this place's numbers.
    fn renumber(
        &mut self,
        frame: &Frame,
        raw: &Bytes,
        (place, at): (&Place, Option<usize>),
        out: &mut BytesMut,
    ) {
        if !self.telling.counted {
            return self.forward(frame, raw, out);
        }
        self.telling.begun = true;
        let number = self.telling.count();
        self.tail.forward(frame, &place.rewrite(raw, number, at, None), out);
        self.follow(frame);
    }

    /// The item here that an upstream's index means, if it is still the upstream's.
    fn forwarded(&self, place: &Place) -> Option<usize> {
        let index = place.index?;
        let (_, at) = self.upstream.iter().rev().find(|(upstream, _)| *upstream == index)?;
        self.telling.items.get(*at).filter(|item| item.forwarded).map(|_| *at)
    }

    /// Forwards an event of an item that is still the upstream's; tells it otherwise.
    fn fit(&mut self, frame: &Frame, raw: &Bytes, place: &Place, out: &mut BytesMut) {
        match (place.index, self.forwarded(place)) {
            (None, _) => self.renumber(frame, raw, (place, None), out),
            (Some(_), Some(at)) => self.renumber(frame, raw, (place, Some(at)), out),
            (Some(_), None) => {
                self.tail.seal(out);
                self.tell(frame, out);
            }
        }
    }

    fn added(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let place = Place::of(raw);
        let (Some(index), Some(item)) = (place.index, &place.item) else {
            return self.forward(frame, raw, out);
        };
        let own = |at: usize| self.telling.items.get(at).is_some_and(|item| !item.forwarded);
        if self.telling.open.is_some_and(own) {
            self.tail.seal(out);
            self.telling.close(out);
        }
        let at = self.telling.items.len();
        if u64::try_from(at) != Ok(index) {
            // From here on all numbers differ.
            self.telling.take_count();
        }
        self.telling.items.push(begun(item));
        self.telling.open = Some(at);
        self.upstream.push((index, at));
        self.renumber(frame, raw, (&place, Some(at)), out);
    }

    fn done(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let place = Place::of(raw);
        let Some(index) = place.index else { return self.forward(frame, raw, out) };
        let Some(at) = self.forwarded(&place) else {
            self.tail.seal(out);
            self.tell(frame, out);
            let began = self.upstream.iter().rev().find(|(upstream, _)| *upstream == index);
            if began.is_some_and(|(_, at)| self.telling.open == Some(*at)) {
                self.telling.close(out);
            }
            return;
        };
        self.renumber(frame, raw, (&place, Some(at)), out);
        if let Some(item) = self.telling.items.get_mut(at) {
            item.done = true;
            item.raw = place.item.map(|item| item.raw);
        }
        if self.telling.open == Some(at) {
            self.telling.open = None;
        }
    }

    /// Pieces that begin and end upstream are those that more is told of here.
    fn piece(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let place = Place::of(raw);
        if let Some(at) = self.forwarded(&place)
            && let Some(item) = self.telling.items.get_mut(at)
        {
            match (place::kind(raw), &mut item.kind) {
                (Some("content_part.added"), Kind::Message(parts)) => {
                    parts.push(Part::new(place.refusal));
                }
                (Some("content_part.done"), Kind::Message(parts)) => {
                    if let Some(last) = parts.last_mut() {
                        last.done = true;
                    }
                }
                (Some("reasoning_summary_part.added"), Kind::Thought(thought)) => {
                    thought.paragraphs += 1;
                }
                _ => {}
            }
        }
        self.fit(frame, raw, &place, out);
    }

    /// The whole answer once more: without what was left out, and with what was told otherwise.
    fn terminal(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let place = Place::of(raw);
        let is_call = |item: &&Item| matches!(item.kind, Kind::Call(_));
        let begins = |event: &&ModelEvent| matches!(event, ModelEvent::ToolStart { .. });
        let calls = self.telling.items.iter().filter(is_call).count()
            + frame.events.iter().filter(begins).count();
        if self.telling.open.is_some() && self.telling.made {
            self.tail.seal(out);
            self.telling.close(out);
        }
        if self.telling.made || place.calls > calls {
            let cut = raw_is_incomplete(frame);
            let output = text_of(&self.telling.items, cut);
            let number = self.telling.count();
            self.tail.forward(frame, &place.rewrite(raw, number, None, Some(output)), out);
            self.follow(frame);
        } else {
            self.renumber(frame, raw, (&place, None), out);
        }
    }
}

fn raw_is_incomplete(frame: &Frame) -> bool {
    frame.events.iter().any(|event| {
        matches!(event, ModelEvent::Finish { reason, .. } if incomplete_word(*reason).is_some())
    })
}

/// An item of the upstream's, as it begins.
fn begun(item: &ItemAt) -> Item {
    let kind = match item.kind.as_str() {
        "message" => Kind::Message(Vec::new()),
        "reasoning" => Kind::Thought(Thought::default()),
        kind @ ("function_call" | "custom_tool_call") => Kind::Call(Called {
            id: item.call_id.clone(),
            name: item.name.clone(),
            arguments: String::new(),
            free: (kind == "custom_tool_call").then(Unwrapping::default),
        }),
        _ => Kind::Hosted,
    };
    Item { id: item.id.clone(), kind, raw: None, forwarded: true, done: false }
}

fn write_answer(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (id, model) = told(options, &answer.id, &answer.model);
    let nothing = Choice::default();
    let choice = answer.choices.get(&0).unwrap_or(&nothing);
    let finish = choice.finish.as_ref().map_or(Finish::Stop, |(reason, _)| *reason);
    let incomplete = incomplete_word(finish);
    let items = items_of(id, choice, options);
    let head = Head {
        id,
        model,
        created: answer.created.unwrap_or(options.created),
        status: if incomplete.is_some() { "incomplete" } else { "completed" },
        error: None,
        incomplete,
        usage: answer.usage.as_ref(),
        billed: answer.billed.as_deref(),
    };
    emit::object(out, |body| {
        write_response(body, &head, options, |list| {
            write_items(list, &items, incomplete.is_some());
        });
    });
}
