//! Where answers are kept: by key, the least recently used first out.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use doorward_core::{DialectId, Frame, ModelEvent};

type Key = [u8; 32];

/// A kept answer.
pub(super) struct Kept {
    pub(super) dialect: DialectId,
    pub(super) streaming: bool,
    pub(super) target: String,
    pub(super) frames: Vec<Frame>,
    pub(super) bytes: usize,
    pub(super) until: Instant,
}

/// The kept answers.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    kept: HashMap<Key, (u64, Arc<Kept>)>,
    /// The keys by when they were used last.
    used: BTreeMap<u64, Key>,
    tick: u64,
    bytes: usize,
}

impl fmt::Debug for Shelf {
    /// How many, and never what they say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, bytes) = self.held();
        f.debug_struct("Shelf").field("answers", &answers).field("bytes", &bytes).finish()
    }
}

impl Shelf {
    /// The answer under a key, if it still holds.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Arc<Kept>> {
        let mut rows = self.rows();
        let (_, kept) = rows.kept.get(key).cloned()?;
        rows.take(key);
        if kept.until <= now {
            return None;
        }
        rows.give(*key, kept.clone());
        Some(kept)
    }

    /// Puts an answer under a key and takes others out until all fit in `most` bytes.
    pub(super) fn put(&self, key: Key, kept: Kept, most: usize) {
        let mut rows = self.rows();
        rows.take(&key);
        rows.give(key, Arc::new(kept));
        while rows.bytes > most {
            let Some((_, oldest)) = rows.used.first_key_value() else { break };
            let oldest = *oldest;
            rows.take(&oldest);
        }
    }

    pub(super) fn held(&self) -> (usize, usize) {
        let rows = self.rows();
        (rows.kept.len(), rows.bytes)
    }

    pub(super) fn clear(&self) {
        *self.rows() = Rows::default();
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn give(&mut self, key: Key, kept: Arc<Kept>) {
        self.tick += 1;
        self.bytes += kept.bytes;
        self.used.insert(self.tick, key);
        self.kept.insert(key, (self.tick, kept));
    }

    fn take(&mut self, key: &Key) {
        if let Some((used, kept)) = self.kept.remove(key) {
            self.used.remove(&used);
            self.bytes -= kept.bytes;
        }
    }
}

/// About what a frame takes in memory, in bytes.
pub(super) fn weight(frame: &Frame) -> usize {
    let said = |event: &ModelEvent| match event {
        ModelEvent::Text { text, .. }
        | ModelEvent::Refusal { text, .. }
        | ModelEvent::Reasoning { text, .. } => text.len(),
        ModelEvent::ToolDelta { json, .. } | ModelEvent::Logprobs { json, .. } => json.len(),
        // Rare ones are weighed by what they print as.
        other => format!("{other:?}").len(),
    };
    let events = frame.events.iter().map(|event| size_of::<ModelEvent>() + said(event));
    size_of::<Frame>() + frame.raw.as_ref().map_or(0, bytes::Bytes::len) + events.sum::<usize>()
}
