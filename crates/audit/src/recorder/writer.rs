//! The thread that seals and stores.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Clock, Event};

use super::Options;
use super::queue::{CLOSED, Shared};
use crate::{Chain, Checkpoint, Head, Log, LogError, Sealed, Signer, sign_checkpoint};

pub(super) struct Writer {
    log: Box<dyn Log>,
    key: Box<dyn Signer>,
    clock: Arc<dyn Clock>,
    options: Options,
    chain: Chain,
    shared: Arc<Shared>,
}

/// Tells the others when the thread ends, even by a panic in the log.
struct Ending {
    shared: Arc<Shared>,
    why: Option<&'static str>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.end(self.why);
    }
}

impl Writer {
    pub(super) fn new(
        log: Box<dyn Log>,
        key: Box<dyn Signer>,
        clock: Arc<dyn Clock>,
        options: Options,
        chain: Chain,
        shared: Arc<Shared>,
    ) -> Self {
        Self { log, key, clock, options, chain, shared }
    }

    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut ending = Ending { shared, why: Some("the recorder's thread broke off") };
        let mut events = Vec::new();
        let mut sealed = Vec::new();
        while self.shared.take(&mut events, self.options.linger) {
            if !self.write(&mut events, &mut sealed) {
                // The last failure stands as the reason.
                ending.why = None;
                return;
            }
            events.shrink_to(self.options.batch);
        }
        ending.why = Some(CLOSED);
    }

    /// Writes the events, in transactions of at most one batch.
    fn write(&mut self, events: &mut Vec<Event>, sealed: &mut Vec<Sealed>) -> bool {
        let mut events = events.drain(..);
        loop {
            sealed.clear();
            let before = self.chain.head();
            for event in events.by_ref().take(self.options.batch) {
                match self.chain.seal(&event) {
                    Ok(entry) => sealed.push(entry),
                    Err(error) => {
                        tracing::error!(%error, event = %event.id, "an event has no JSON form");
                        return false;
                    }
                }
            }
            if sealed.is_empty() {
                return true;
            }
            let Some(checkpoint) = self.sign() else { return false };
            if !self.store(before, sealed, &checkpoint) {
                return false;
            }
            self.shared.settle(sealed.len());
        }
    }

    /// Signs what was sealed, however often it takes; `None` where the end came first.
    fn sign(&self) -> Option<Checkpoint> {
        let mut pause = self.options.retry_first;
        loop {
            let (origin, head) = (&self.options.origin, self.chain.tree_head());
            match sign_checkpoint(&*self.key, origin, head, self.clock.now()) {
                Ok(checkpoint) => return Some(checkpoint),
                Err(error) => {
                    let why = explain(&error);
                    tracing::error!(error = %why, "nothing is recorded without a signature");
                    if !self.shared.fall_sick(&why, pause) {
                        return None;
                    }
                    pause = self.longer(pause);
                }
            }
        }
    }

    fn longer(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.options.retry_most)
    }

    /// Stores one batch, however often it takes; `false` where the end came first.
    fn store(&mut self, before: Head, sealed: &[Sealed], checkpoint: &Checkpoint) -> bool {
        let mut pause = self.options.retry_first;
        let blocks = self.chain.take_blocks();
        let mut result =
            self.log.keep_blocks(&blocks).and_then(|()| self.log.append(sealed, checkpoint));
        let mut healthy = true;
        while let Err(error) = result {
            let why = explain(&error);
            if healthy {
                tracing::error!(error = %why, "the audit log takes no records; calls are refused");
                healthy = false;
            }
            if !self.shared.fall_sick(&why, pause) {
                return false;
            }
            pause = self.longer(pause);
            result = self.store_again(before, sealed, checkpoint);
        }
        if !healthy {
            tracing::info!("the audit log takes records again");
        }
        true
    }

    /// A failed append may have become durable after all: asks before it tries again.
    fn store_again(
        &mut self,
        before: Head,
        sealed: &[Sealed],
        checkpoint: &Checkpoint,
    ) -> Result<(), LogError> {
        let found = self.log.last()?;
        if found == self.chain.head() {
            return Ok(());
        }
        if found != before {
            return Err(LogError::Conflict { found: found.size, expected: before.size });
        }
        self.log.append(sealed, checkpoint)
    }
}

/// The error with its causes, in one line.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
