//! A model's answer on its way to the client: watched by the guard, counted, recorded at its end.

use std::collections::VecDeque;

use doorward_core::{
    Billed, BoxStream, CallError, Code, Flow, Frame, Kind, ModelEvent, Usage, Watch,
};
use futures_util::{StreamExt, stream};

use crate::around::Around;

/// The state of one answer.
pub(crate) struct Answer {
    around: Around,
    watch: Box<dyn Watch>,
    frames: BoxStream<'static, Result<Frame, CallError>>,
    ready: VecDeque<Frame>,
    /// The provider reported an error within the answer.
    fault: Option<Code>,
    /// Whether the client wants to be told what the call cost.
    tell_cost: bool,
    /// Bytes of text, thought and arguments that came: at most so many tokens.
    came: u64,
    ended: bool,
}

impl Answer {
    pub(crate) fn new(
        around: Around,
        watch: Box<dyn Watch>,
        frames: BoxStream<'static, Result<Frame, CallError>>,
        tell_cost: bool,
    ) -> Self {
        Self {
            around,
            watch,
            frames,
            ready: VecDeque::new(),
            fault: None,
            tell_cost,
            came: 0,
            ended: false,
        }
    }

    /// The frames that may go on. Dropping the stream cancels the upstream exchange and records
    /// the call as cancelled.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Frame, CallError>> {
        // Boxed, so that each step moves a pointer and not the whole state.
        Box::pin(stream::unfold(Box::new(self), |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        }))
    }

    async fn next(&mut self) -> Option<Result<Frame, CallError>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if self.ended {
                return None;
            }
            let step = match self.frames.next().await {
                Some(Ok(frame)) => self.take(frame).await,
                Some(Err(error)) => Err(error),
                None => self.finish().await,
            };
            if let Err(error) = step {
                return Some(Err(self.fail(error).await));
            }
        }
    }

    /// Passes a frame through the guard. The record is made when the protocol's own end is seen,
    /// before the client sees it: a client that leaves then has not cancelled anything.
    async fn take(&mut self, mut frame: Frame) -> Result<(), CallError> {
        let last = self.note(&frame);
        if self.tell_cost {
            self.tell_cost(&mut frame);
        }
        match self.watch.frame(frame) {
            Flow::Pass(frame) => self.ready.push_back(frame),
            Flow::Hold => {}
            Flow::Judge => self.ready.extend(self.watch.judge().await?),
        }
        if last { self.finish().await } else { Ok(()) }
    }

    /// Notes usage and faults; says whether the frame is the last.
    fn note(&mut self, frame: &Frame) -> bool {
        let mut last = false;
        for event in &frame.events {
            match event {
                ModelEvent::Usage(usage) | ModelEvent::Start { usage: Some(usage), .. } => {
                    self.use_up(*usage);
                }
                ModelEvent::Billed(said) => self.note_bill(said),
                ModelEvent::Error { code, .. } => self.fault = Some(*code),
                ModelEvent::Done => last = true,
                ModelEvent::Text { text, .. }
                | ModelEvent::Reasoning { text, .. }
                | ModelEvent::Refusal { text, .. }
                | ModelEvent::ToolDelta { json: text, .. } => {
                    self.came += u64::try_from(text.len()).unwrap_or(0);
                }
                _ => {}
            }
        }
        last
    }

    fn note_bill(&mut self, said: &Billed) {
        self.around.spent().billed = Some(said.clone());
        if let Kind::Model { billed, .. } = &mut self.around.event.kind {
            *billed = Some(Box::new(said.clone()));
        }
    }

    /// Puts the cost before the usage. The provider's own word counts where it gave one.
    fn tell_cost(&self, frame: &mut Frame) {
        let usage = |event: &ModelEvent| matches!(event, ModelEvent::Usage(_));
        let Some(at) = frame.events.iter().position(usage) else { return };
        let told = frame
            .events
            .iter()
            .any(|event| matches!(event, ModelEvent::Billed(billed) if billed.cost_usd.is_some()));
        if let (false, Some(cost)) = (told, self.around.cost_usd()) {
            let billed = Billed { cost_usd: Some(cost), ..Billed::default() };
            frame.events.insert(at, ModelEvent::Billed(Box::new(billed)));
            frame.raw = None;
        }
    }

    fn use_up(&mut self, counted: Usage) {
        self.around.spent().usage = Some(counted);
        if let Kind::Model { usage, .. } = &mut self.around.event.kind {
            *usage = Some(counted);
        }
    }

    async fn finish(&mut self) -> Result<(), CallError> {
        if self.ended {
            return Ok(());
        }
        self.ready.extend(self.watch.finish().await?);
        self.ended = true;
        self.note_calls();
        match self.fault {
            Some(code) => self.around.fail(&CallError::new(code, "the provider reported an error")),
            None => drop(self.around.complete()),
        }
        Ok(())
    }

    /// What was said until the fault is remembered; calls still held back are never let go.
    async fn fail(&mut self, error: CallError) -> CallError {
        self.ended = true;
        drop(self.watch.finish().await);
        self.note_calls();
        self.note_cut();
        self.around.fail(&error);
        error
    }

    /// An answer that broke off was used up to where it came. Where the provider counted the
    /// prompt at the start, the rest is known well enough; else the worst case stands.
    fn note_cut(&mut self) {
        let came = self.came;
        if let Some(usage) = &mut self.around.spent().usage
            && usage.output < came
        {
            usage.output = came;
        }
    }

    fn note_calls(&mut self) {
        if let Kind::Model { calls, .. } = &mut self.around.event.kind {
            calls.extend_from_slice(self.watch.decided());
        }
        self.around.event.checks = self.watch.found();
    }
}

impl Drop for Answer {
    /// A record of a cancelled call tells what was decided until then.
    fn drop(&mut self) {
        if !self.ended {
            self.note_calls();
            self.note_cut();
        }
    }
}
