//! The texts of an answer on their way: each voice of each choice is one text.

use std::collections::BTreeMap;

use doorward_core::{Citation, Frame, ModelEvent};

use super::scan::{Scans, Stop, Tally, Until};
use super::{Action, Checks};

/// How something is said. Clients join what one voice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voice {
    Text,
    Refusal,
    Thought,
}

impl Voice {
    const fn event(self, choice: u32, text: String) -> ModelEvent {
        match self {
            Self::Text => ModelEvent::Text { choice, text },
            Self::Refusal => ModelEvent::Refusal { choice, text },
            Self::Thought => ModelEvent::Reasoning { choice, text },
        }
    }

    /// What an event says, in which voice.
    fn of(event: &ModelEvent) -> Option<(Self, u32)> {
        match event {
            ModelEvent::Text { choice, .. } => Some((Self::Text, *choice)),
            ModelEvent::Refusal { choice, .. } => Some((Self::Refusal, *choice)),
            ModelEvent::Reasoning { choice, .. } => Some((Self::Thought, *choice)),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Stream {
    scans: Scans,
    /// Whether anything was taken out of it.
    changed: bool,
    /// What is said of words that are kept back.
    logprobs: Vec<String>,
}

/// All texts of one answer.
#[derive(Debug)]
pub(super) struct Streams {
    chosen: Vec<usize>,
    voices: BTreeMap<(u32, Voice), Stream>,
    /// Whether the answer differs from the upstream's: its bytes tell too much from then on, for
    /// dialects repeat at the end what they said.
    taken_over: bool,
}

/// One frame at work.
struct Work<'a> {
    checks: &'a Checks,
    tally: &'a mut Tally,
    out: Vec<ModelEvent>,
    changed: bool,
}

impl Streams {
    pub(super) const fn new(chosen: Vec<usize>) -> Self {
        Self { chosen, voices: BTreeMap::new(), taken_over: false }
    }

    /// From here on nothing of the upstream's bytes goes on.
    pub(super) fn take_over(&mut self) {
        self.taken_over = true;
    }

    /// Takes a frame; hands on what may go on of it. `None`: nothing does yet.
    pub(super) fn take(
        &mut self,
        checks: &Checks,
        frame: Frame,
        tally: &mut Tally,
    ) -> Result<Option<Frame>, Stop> {
        let Frame { events, raw } = frame;
        let was_empty = events.is_empty();
        let ends = ends(&events);
        let room = Vec::with_capacity(events.len());
        let mut work = Work { checks, tally, out: room, changed: false };
        for (event, until) in events.into_iter().zip(ends) {
            self.event(event, until, &mut work)?;
        }
        let Work { out, changed, .. } = work;
        self.taken_over |= changed;
        if self.taken_over && out.is_empty() && !was_empty {
            return Ok(None);
        }
        Ok(Some(Frame { events: out, raw: raw.filter(|_| !self.taken_over) }))
    }

    /// The answer is over: what is kept back.
    pub(super) fn finish(
        &mut self,
        checks: &Checks,
        tally: &mut Tally,
    ) -> Result<Option<Frame>, Stop> {
        let mut work = Work { checks, tally, out: vec![], changed: false };
        self.end(None, &mut work)?;
        let events = work.out;
        Ok((!events.is_empty()).then(|| Frame::of(events)))
    }

    fn event(&mut self, event: ModelEvent, until: Until, work: &mut Work<'_>) -> Result<(), Stop> {
        match event {
            ModelEvent::Text { choice, text } => self.say(Voice::Text, choice, &text, until, work),
            ModelEvent::Refusal { choice, text } => {
                self.say(Voice::Refusal, choice, &text, until, work)
            }
            ModelEvent::Reasoning { choice, text } => {
                self.say(Voice::Thought, choice, &text, until, work)
            }
            ModelEvent::Logprobs { choice, json } => {
                self.logprobs(choice, json, work);
                Ok(())
            }
            ModelEvent::Citation { choice, citation } => {
                let citation = cited(citation, &self.chosen, work)?;
                work.out.push(ModelEvent::Citation { choice, citation });
                Ok(())
            }
            ModelEvent::ReasoningSignature { .. } => {
                self.cut(|(_, voice)| voice == Voice::Thought, work)?;
                // What was signed is not what was said here: the signature goes.
                let mut thoughts =
                    self.voices.iter_mut().filter(|((_, voice), _)| *voice == Voice::Thought);
                if thoughts.any(|(_, stream)| std::mem::take(&mut stream.changed)) {
                    work.changed = true;
                } else {
                    work.out.push(event);
                }
                Ok(())
            }
            ModelEvent::ToolStart { choice, .. } | ModelEvent::Media { choice, .. } => {
                self.cut(|(of, _)| of == choice, work)?;
                work.out.push(event);
                Ok(())
            }
            ModelEvent::Finish { choice, .. } => {
                self.end(Some(choice), work)?;
                work.out.push(event);
                Ok(())
            }
            ModelEvent::Done => {
                self.end(None, work)?;
                work.out.push(event);
                Ok(())
            }
            _ => {
                work.out.push(event);
                Ok(())
            }
        }
    }

    fn say(
        &mut self,
        voice: Voice,
        choice: u32,
        text: &str,
        until: Until,
        work: &mut Work<'_>,
    ) -> Result<(), Stop> {
        self.cut(|(of, other)| of == choice && other != voice, work)?;
        let (checks, chosen) = (work.checks, &self.chosen);
        let stream = self
            .voices
            .entry((choice, voice))
            .or_insert_with(|| Stream { scans: Scans::of(checks, chosen), ..Stream::default() });
        let edits = work.tally.edits();
        let told = stream.scans.step(checks, text.to_owned(), until, work.tally)?;
        stream.changed |= work.tally.edits() != edits;
        work.changed |= told != text;
        if !told.is_empty() || text.is_empty() {
            work.out.push(voice.event(choice, told));
        }
        Ok(())
    }

    /// Something comes between: what these voices keep back goes on, as far as it is safe.
    fn cut(
        &mut self,
        which: impl Fn((u32, Voice)) -> bool,
        work: &mut Work<'_>,
    ) -> Result<(), Stop> {
        let streams = self.voices.iter_mut().filter(|(key, _)| which(**key));
        for ((choice, voice), stream) in streams {
            if stream.scans.is_empty() {
                continue;
            }
            let edits = work.tally.edits();
            let rest = stream.scans.step(work.checks, String::new(), Until::Cut, work.tally)?;
            stream.changed |= work.tally.edits() != edits;
            if !rest.is_empty() {
                work.changed = true;
                work.out.push(voice.event(*choice, rest));
            }
        }
        Ok(())
    }

    /// A choice is over, or all are.
    fn end(&mut self, which: Option<u32>, work: &mut Work<'_>) -> Result<(), Stop> {
        let keys: Vec<(u32, Voice)> = self.voices.keys().copied().collect();
        for (choice, voice) in keys {
            if which.is_some_and(|which| which != choice) {
                continue;
            }
            let Some(mut stream) = self.voices.remove(&(choice, voice)) else { continue };
            let edits = work.tally.edits();
            let rest = stream.scans.step(work.checks, String::new(), Until::End, work.tally)?;
            if !rest.is_empty() {
                work.changed = true;
                work.out.push(voice.event(choice, rest));
            }
            if !stream.changed && work.tally.edits() == edits {
                let kept = stream.logprobs.into_iter();
                work.out.extend(kept.map(|json| ModelEvent::Logprobs { choice, json }));
            }
        }
        Ok(())
    }

    /// Probabilities name the words: they go on no sooner than these, and not where any of these
    /// were taken out.
    fn logprobs(&mut self, choice: u32, json: String, work: &mut Work<'_>) {
        let Some(stream) = self.voices.get_mut(&(choice, Voice::Text)) else {
            return work.out.push(ModelEvent::Logprobs { choice, json });
        };
        if stream.changed {
            stream.logprobs.clear();
            work.changed = true;
        } else if stream.scans.is_empty() {
            let kept = std::mem::take(&mut stream.logprobs).into_iter().chain([json]);
            work.out.extend(kept.map(|json| ModelEvent::Logprobs { choice, json }));
        } else {
            stream.logprobs.push(json);
            work.changed = true;
        }
    }
}

/// For each event, what its frame says of the end of its text: so a whole body is looked at as
/// such, and keeps its bytes where nothing is found.
fn ends(events: &[ModelEvent]) -> Vec<Until> {
    let ends = |at: usize, event: &ModelEvent| {
        let Some(of) = Voice::of(event) else { return Until::More };
        let rest = events.get(at + 1..).unwrap_or_default();
        let over = rest.iter().any(|event| match event {
            ModelEvent::Finish { choice, .. } => *choice == of.1,
            ModelEvent::Done => true,
            _ => false,
        });
        let more = rest.iter().any(|event| Voice::of(event) == Some(of));
        if over && !more { Until::End } else { Until::More }
    };
    events.iter().enumerate().map(|(at, event)| ends(at, event)).collect()
}

fn cited(citation: Citation, chosen: &[usize], work: &mut Work<'_>) -> Result<Citation, Stop> {
    let mut citation = citation;
    let texts = [&mut citation.url, &mut citation.title, &mut citation.text];
    for text in texts.into_iter().flatten() {
        for check in chosen.iter().filter_map(|at| work.checks.list.get(*at)) {
            if !check.scans() || work.checks.action(check) == Action::Observe {
                continue;
            }
            if let Some(new) = Scans::whole(work.checks, check, text, work.tally)? {
                *text = new;
                work.changed = true;
            }
        }
    }
    Ok(citation)
}
