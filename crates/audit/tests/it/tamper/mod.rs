//! Whatever is done to a log, its check finds it and says what: in the log, and in an export made
//! of it.

mod checkpoints;
mod evidence;
mod exports;
mod history;
mod pruned;
mod records;

use doorward_audit::{
    Chain, Checkpoint, Fault, Head, Log, Memory, Record, Sealed, Tree, TreeHead, Verifier, export,
};
use doorward_testkit::log::{append, signing_key};

const SIZE: u64 = 12;

/// A log as an attacker finds it.
#[derive(Clone)]
struct Parts {
    entries: Vec<Sealed>,
    checkpoint: Option<Checkpoint>,
}

fn whole() -> Parts {
    grown(SIZE)
}

fn grown(size: u64) -> Parts {
    let mut log = Memory::default();
    append(&mut log, 0, size).unwrap();
    Parts { entries: log.entries().cloned().collect(), checkpoint: log.checkpoint().unwrap() }
}

impl Parts {
    fn log(&self) -> Memory {
        Memory::from_parts(self.entries.clone(), self.checkpoint.clone())
    }

    fn check(&self, verifier: &Verifier) -> Result<u64, String> {
        let mut log = self.log();
        let by_log = verifier.log(&mut log).map(|v| v.records).map_err(|fault| shown(&fault));
        let mut lines = Vec::new();
        export(&mut log, &mut lines).unwrap();
        let by_export = verifier.export(&*lines).map(|v| v.records).map_err(|fault| shown(&fault));
        assert_eq!(by_log, by_export, "the export tells another story");
        by_log
    }

    fn renumber(&mut self) {
        for (seq, sealed) in (1..).zip(&mut self.entries) {
            sealed.seq = seq;
        }
    }

    /// The chain up to before this entry.
    fn before(&self, at: usize) -> Chain {
        let link = at.checked_sub(1).map_or(Head::EMPTY.link, |before| self.entries[before].link);
        Chain::new(Head { size: at as u64, link }, self.tree(at))
    }

    fn tree(&self, size: usize) -> Tree {
        let mut tree = Tree::default();
        for sealed in &self.entries[..size] {
            tree.push(sealed.leaf);
        }
        tree
    }

    fn tree_head(&self) -> TreeHead {
        self.tree(self.entries.len()).head()
    }

    /// Seals everything from `at` on again, as somebody who knows the format would.
    fn reseal(&mut self, at: usize) {
        let mut chain = self.before(at);
        for sealed in &mut self.entries[at..] {
            let record: Record = serde_json::from_slice(&sealed.entry).unwrap();
            *sealed = chain.seal(&record.event).unwrap();
        }
    }
}

fn shown(fault: &Fault) -> String {
    format!("{fault:?}")
}

fn verifier() -> Verifier {
    Verifier::new(signing_key().verifying_key())
}

/// Does something to a whole log and names what must be found.
fn finds(case: &str, expected: &Fault, change: impl FnOnce(&mut Parts)) {
    let mut parts = whole();
    change(&mut parts);
    assert_eq!(parts.check(&verifier()), Err(shown(expected)), "{case}");
}
