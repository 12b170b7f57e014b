//! Following what is forwarded: it may yet have to be told here.

use doorward_core::ModelEvent;

use super::Telling;
use crate::openai_responses::output::{Kind, part_of};

impl Telling {
    /// Takes note of what an event says of the answer as a whole.
    pub(in crate::openai_responses) fn note(&mut self, event: &ModelEvent) {
        match event {
            ModelEvent::Start { id, model, created, usage } => {
                id.clone_into(&mut self.id);
                model.clone_into(&mut self.model);
                self.created = *created;
                self.usage = usage.or(self.usage);
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Billed(billed) => self.billed = Some(billed.clone()),
            ModelEvent::Finish { choice: 0, reason, .. } => self.finish = Some(*reason),
            _ => {}
        }
    }

    /// Takes note of what a forwarded event says of the open item: it may yet have to be told
    /// here.
    pub(in crate::openai_responses) fn follow(&mut self, event: &ModelEvent) {
        self.note(event);
        match event {
            ModelEvent::ToolStart { call, .. } => {
                if let Some(open) = self.open {
                    self.calls.insert(*call, open);
                }
            }
            ModelEvent::ToolDelta { call, json } => {
                let at = self.calls.get(call).copied();
                if let Some(Kind::Call(called)) = at.and_then(|at| self.kind(at)) {
                    called.push(json);
                }
            }
            ModelEvent::Error { .. } | ModelEvent::Done => self.ended = true,
            event => {
                let Some(kind) = self.open.and_then(|at| self.kind(at)) else { return };
                match (event, kind) {
                    (ModelEvent::Text { text, .. }, Kind::Message(parts)) => {
                        part_of(parts, false).text.push_str(text);
                    }
                    (ModelEvent::Refusal { text, .. }, Kind::Message(parts)) => {
                        part_of(parts, true).text.push_str(text);
                    }
                    (ModelEvent::Citation { citation, .. }, Kind::Message(parts)) => {
                        part_of(parts, false).citations.push(citation.clone());
                    }
                    (ModelEvent::Logprobs { json, .. }, Kind::Message(parts)) => {
                        part_of(parts, false).logprobs.push(json.clone());
                    }
                    (ModelEvent::Reasoning { text, .. }, Kind::Thought(thought)) => {
                        thought.push(text);
                    }
                    _ => {}
                }
            }
        }
    }
}
