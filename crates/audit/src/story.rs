//! What happened in a turn, put together from its records.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_core::{
    ConversationId, Event, EventId, Kind, Outcome, RequestId, Timestamp, TurnId, Who,
};
use serde::Serialize;

use crate::Record;

/// One turn: who asked, what was decided, what ran, how it ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The turn.
    pub turn: TurnId,
    /// The conversation, where any record names it.
    pub conversation: Option<ConversationId>,
    /// Who called; one, unless the turn passed between identities.
    pub who: Vec<Who>,
    /// The agents as clients named them.
    pub agents: Vec<Arc<str>>,
    /// When its first call was admitted or refused.
    pub began: Timestamp,
    /// When its last known call ended.
    pub ended: Timestamp,
    /// Its calls, in the order of their first records.
    pub steps: Vec<Step>,
}

/// One call: its record, or both of them as one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Number of its first record.
    pub first: u64,
    /// Number of its last record; the same where it has one.
    pub last: u64,
    /// Which step of the story decided on it, where known.
    pub cause: Option<usize>,
    /// What happened: the last record's content, with the time of the first. Its outcome is
    /// [`Outcome::Started`] where no record tells how it ended.
    pub event: Event,
}

impl Step {
    /// Whether a record tells how it ended.
    pub fn is_finished(&self) -> bool {
        self.event.outcome != Outcome::Started
    }
}

/// The stories of all turns in these records, in the order they began.
pub fn turns(records: impl IntoIterator<Item = Record>) -> Vec<Story> {
    let mut at: HashMap<TurnId, usize> = HashMap::new();
    let mut stories: Vec<Unfinished> = Vec::new();
    for record in records {
        let next = stories.len();
        let place = *at.entry(record.event.turn).or_insert(next);
        if place == next {
            stories.push(Unfinished::begin(&record.event));
        }
        if let Some(story) = stories.get_mut(place) {
            story.take(record);
        }
    }
    stories.into_iter().map(Unfinished::finish).collect()
}

/// The story of one turn, if any of these records belongs to it.
pub fn turn(records: impl IntoIterator<Item = Record>, turn: TurnId) -> Option<Story> {
    turns(records.into_iter().filter(|record| record.event.turn == turn)).pop()
}

/// A story while its records come in.
struct Unfinished {
    story: Story,
    steps: HashMap<EventId, usize>,
}

impl Unfinished {
    fn begin(event: &Event) -> Self {
        let story = Story {
            turn: event.turn,
            conversation: None,
            who: vec![],
            agents: vec![],
            began: event.at,
            ended: event.at,
            steps: vec![],
        };
        Self { story, steps: HashMap::new() }
    }

    fn take(&mut self, Record { seq, mut event }: Record) {
        let story = &mut self.story;
        story.conversation = story.conversation.or(event.conversation);
        if !story.who.contains(&event.who) {
            story.who.push(event.who.clone());
        }
        if let Some(agent) = &event.agent
            && !story.agents.contains(agent)
        {
            story.agents.push(agent.clone());
        }
        let next = story.steps.len();
        let place = *self.steps.entry(event.id).or_insert(next);
        match story.steps.get_mut(place) {
            Some(step) => {
                event.at = event.at.min(step.event.at);
                step.last = seq;
                step.event = event;
            }
            None => story.steps.push(Step { first: seq, last: seq, cause: None, event }),
        }
    }

    fn finish(self) -> Story {
        let mut story = self.story;
        let decided: HashMap<RequestId, usize> = story
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| matches!(step.event.kind, Kind::Model { .. }))
            .map(|(at, step)| (step.event.request, at))
            .collect();
        for step in &mut story.steps {
            let event = &step.event;
            let took = std::time::Duration::from_micros(event.took_us.unwrap_or(0));
            story.began = story.began.min(event.at);
            story.ended = story.ended.max(event.at.after(took));
            if let Kind::Tool { cause: Some(request), .. } = &event.kind {
                step.cause = decided.get(request).copied();
            }
        }
        story
    }
}
