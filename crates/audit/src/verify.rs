//! Finding what was changed, taken out or moved.

use doorward_core::Digest;

use crate::chain::{leaf_of, seq_within};
use crate::{
    Block, Checkpoint, Cut, Fault, Head, LinkedCheckpoint, Log, LogError, Sealed, Tree, TreeHead,
    VerifyingKey,
};

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// A log as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has had, all of them covered by the checkpoint.
    pub records: u64,
    /// The last record's link.
    pub link: Digest,
    /// The tree's root.
    pub root: Digest,
    /// How many of the first records are gone, as a signed statement says.
    pub pruned: u64,
    /// How many further records have kept only their hashes.
    pub bare: u64,
    /// How many of the checkpoints kept elsewhere hold. Those that reach less far than what was
    /// pruned cannot be checked and do not count.
    pub witnessed: usize,
    /// The checkpoint; `None` where the log is empty, or of version 1. Keep it elsewhere: with
    /// it, a later [`Verifier::witness`] shows that nothing up to here was changed or cut off.
    pub checkpoint: Option<Checkpoint>,
}

/// Checks a whole log against the key that signed it.
///
/// # Errors
///
/// The first fault found.
pub fn verify(log: &mut dyn Log, key: &VerifyingKey) -> Result<Verified, Fault> {
    Verifier::new(*key).log(log)
}

/// Checks logs, with what else is known of them.
///
/// ```
/// use doorward_audit::{Fault, Memory, SigningKey, TreeHead, Verifier};
/// use doorward_core::{Digest, Timestamp};
///
/// let key = SigningKey::from_bytes(&[7; 32]);
/// let head = TreeHead { size: 9, root: Digest::from_bytes([1; 32]) };
/// let seen = key.checkpoint("a", head, Timestamp::from_micros(0));
///
/// // An emptied log looks like a new one, unless somebody kept a checkpoint.
/// let verifier = Verifier::new(key.verifying_key());
/// assert!(verifier.log(&mut Memory::default()).is_ok());
/// let fault = verifier.witness(seen).log(&mut Memory::default()).unwrap_err();
/// assert!(matches!(fault, Fault::TruncatedTail { expected: 9, size: 0 }));
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    key: VerifyingKey,
    origin: Option<String>,
    /// By size.
    witnessed: Vec<Checkpoint>,
    cosigners: Vec<(String, VerifyingKey)>,
    quorum: usize,
}

impl Verifier {
    /// Checks against this key.
    pub fn new(key: VerifyingKey) -> Self {
        Self { key, origin: None, witnessed: vec![], cosigners: vec![], quorum: 0 }
    }

    /// Also checks whose log it is.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Also checks that the log still holds what this checkpoint, kept elsewhere, was signed
    /// over. May be said of several.
    #[must_use]
    pub fn witness(mut self, checkpoint: Checkpoint) -> Self {
        let at = self.witnessed.partition_point(|known| known.size <= checkpoint.size);
        self.witnessed.insert(at, checkpoint);
        self
    }

    /// Also asks that so many of these witnesses, each by name and key, have signed the log's
    /// checkpoint, or one that was kept elsewhere and holds.
    #[must_use]
    pub fn quorum(
        mut self,
        needed: usize,
        witnesses: impl IntoIterator<Item = (String, VerifyingKey)>,
    ) -> Self {
        self.quorum = needed;
        self.cosigners = witnesses.into_iter().collect();
        self
    }

    /// Checks a log. It may be written to meanwhile: what is there at the end is covered.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn log(&self, log: &mut dyn Log) -> Result<Verified, Fault> {
        loop {
            let cut = log.cut()?;
            let next = cut.as_ref().map_or(1, |cut| cut.base.saturating_add(1));
            let found = self.check(&mut Pages { log: &mut *log, cut: cut.clone(), next });
            // Pruned meanwhile: what is gone was allowed to go.
            if found.is_err() && log.cut()? != cut {
                continue;
            }
            return found;
        }
    }

    /// Checks what [`export`](crate::export) wrote.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn export(&self, lines: impl std::io::BufRead) -> Result<Verified, Fault> {
        self.check(&mut crate::export::Lines::new(lines)?)
    }

    /// Checks that a checkpoint is this log's: origin, signature, witnesses.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        self.signed(checkpoint)?;
        let found = self.cosigned(checkpoint);
        if found < self.quorum {
            let (size, needed) = (checkpoint.size, self.quorum);
            return Err(Fault::Unwitnessed { size, found, needed });
        }
        Ok(())
    }

    pub(crate) fn key(&self) -> &VerifyingKey {
        &self.key
    }

    pub(crate) fn of_origin(&self, found: &str) -> Result<(), Fault> {
        match &self.origin {
            Some(expected) if expected != found => {
                Err(Fault::WrongOrigin { found: found.to_owned(), expected: expected.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, source: &mut dyn Source) -> Result<Verified, Fault> {
        for witnessed in &self.witnessed {
            self.signed(witnessed)?;
        }
        let mut walk = self.begin(source.cut())?;
        self.walk(source, &mut walk)?;
        let checkpoint = source.checkpoint()?;
        if let Some(checkpoint) = &checkpoint {
            self.signed(checkpoint)?;
            // Written while this walked: go on to where the checkpoint reaches.
            while walk.head.size < checkpoint.size
                && self.walk_to(source, &mut walk, checkpoint.size)?
            {}
        }
        let linked = if checkpoint.is_none() { source.linked()? } else { None };
        if let Some(linked) = &linked {
            self.of_origin(&linked.origin)?;
            if !self.key.accepts_linked(linked) {
                return Err(Fault::BadSignature { size: linked.size });
            }
        }
        agree(walk.head, walk.tree.head(), checkpoint.as_ref(), linked.as_ref())?;
        self.finish(&walk, checkpoint)
    }

    /// Where the walk begins: at the first record, or after what was pruned.
    fn begin(&self, cut: Option<&Cut>) -> Result<Walk, Fault> {
        let Some(cut) = cut else { return Ok(Walk::default()) };
        self.of_origin(&cut.origin)?;
        let tree = cut.tree().filter(|_| cut.signed_by(&self.key));
        let tree = tree.ok_or(Fault::BadCut { base: cut.base })?;
        let head = Head { size: cut.base, link: cut.link };
        let next = self.witnessed.partition_point(|seen| seen.size < cut.base);
        let (base, upto) = (cut.base, cut.upto);
        let mut walk = Walk { head, tree, base, upto, next, ..Walk::default() };
        self.look_back(&mut walk)?;
        Ok(walk)
    }

    fn finish(&self, walk: &Walk, checkpoint: Option<Checkpoint>) -> Result<Verified, Fault> {
        let size = walk.head.size;
        if let Some(beyond) = self.witnessed.get(walk.next) {
            return Err(Fault::TruncatedTail { expected: beyond.size, size });
        }
        let shown = checkpoint.iter().chain(&self.witnessed);
        let found = shown.map(|checkpoint| self.cosigned(checkpoint)).max().unwrap_or(0);
        if found < self.quorum {
            return Err(Fault::Unwitnessed { size, found, needed: self.quorum });
        }
        Ok(Verified {
            records: size,
            link: walk.head.link,
            root: walk.tree.root(),
            pruned: walk.base,
            bare: walk.bare,
            witnessed: walk.seen,
            checkpoint,
        })
    }

    fn signed(&self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        self.of_origin(&checkpoint.origin)?;
        if self.key.accepts(checkpoint) {
            Ok(())
        } else {
            Err(Fault::BadSignature { size: checkpoint.size })
        }
    }

    fn cosigned(&self, checkpoint: &Checkpoint) -> usize {
        self.cosigners.iter().filter(|(name, key)| key.witnessed(name, checkpoint)).count()
    }

    /// Walks over all there is.
    fn walk(&self, source: &mut dyn Source, walk: &mut Walk) -> Result<(), Fault> {
        loop {
            let page = source.page()?;
            if page.is_empty() {
                return Ok(());
            }
            self.steps(&page, walk, u64::MAX, source)?;
        }
    }

    /// Walks over one more page, up to this size; `false` where there is none.
    fn walk_to(&self, source: &mut dyn Source, walk: &mut Walk, until: u64) -> Result<bool, Fault> {
        let page = source.page()?;
        self.steps(&page, walk, until, source)?;
        Ok(!page.is_empty())
    }

    fn steps(
        &self,
        page: &[Sealed],
        walk: &mut Walk,
        until: u64,
        source: &mut dyn Source,
    ) -> Result<(), Fault> {
        for (at, sealed) in page.iter().enumerate() {
            if walk.head.size >= until {
                return Ok(());
            }
            let seq = walk.head.size + 1;
            if sealed.is_bare() && sealed.seq == seq {
                if seq > walk.upto {
                    return Err(Fault::Stripped { seq });
                }
                walk.bare += 1;
            } else {
                let leaf = leaf_of(&sealed.entry);
                let in_place = sealed.seq == seq && seq_within(&sealed.entry) == Some(seq);
                if !in_place || leaf != sealed.leaf {
                    let place = Place { seq, leaf, found: sealed };
                    return Err(place.judge(&page[at + 1..], source)?);
                }
            }
            if !sealed.follows(&walk.head) {
                return Err(Fault::BadLink { seq });
            }
            walk.head = Head { size: seq, link: sealed.link };
            for block in walk.tree.push(sealed.leaf) {
                same_as_kept(&block, source)?;
            }
            self.look_back(walk)?;
        }
        Ok(())
    }

    /// Compares with what witnesses saw when the log was this long.
    fn look_back(&self, walk: &mut Walk) -> Result<(), Fault> {
        while let Some(seen) = self.witnessed.get(walk.next)
            && seen.size <= walk.head.size
        {
            if seen.size == walk.head.size && seen.root != walk.tree.root() {
                return Err(Fault::Forked { size: seen.size });
            }
            walk.next += 1;
            walk.seen += 1;
        }
        Ok(())
    }
}

/// How far a check has come.
#[derive(Default)]
struct Walk {
    head: Head,
    tree: Tree,
    /// So many of the first records are gone.
    base: u64,
    /// Up to here a record may lack its text.
    upto: u64,
    bare: u64,
    /// The next checkpoint that was kept elsewhere.
    next: usize,
    seen: usize,
}

fn same_as_kept(block: &Block, source: &mut dyn Source) -> Result<(), Fault> {
    match source.block(block.level, block.number)? {
        Some(kept) if kept != block.root => {
            Err(Fault::BadBlock { first: block.first(), last: block.last() })
        }
        _ => Ok(()),
    }
}

/// Whether a log ends where its checkpoint, already known to be signed, says.
pub(crate) fn agree(
    head: Head,
    tree: TreeHead,
    checkpoint: Option<&Checkpoint>,
    linked: Option<&LinkedCheckpoint>,
) -> Result<(), Fault> {
    let size = head.size;
    let (expected, same) = match (checkpoint, linked) {
        (Some(signed), _) => (signed.size, signed.root == tree.root),
        (None, Some(signed)) => (signed.size, signed.link == head.link),
        (None, None) if size == 0 => return Ok(()),
        (None, None) => return Err(Fault::NoCheckpoint { size }),
    };
    match expected {
        expected if expected > size => Err(Fault::TruncatedTail { expected, size }),
        expected if expected < size => Err(Fault::Unsigned { from: expected + 1 }),
        _ if same => Ok(()),
        size => Err(Fault::BadCheckpoint { size }),
    }
}

/// Entries in the order they are kept in, and the checkpoint after them.
pub(crate) trait Source {
    /// What was pruned.
    fn cut(&self) -> Option<&Cut>;
    /// The next entries; none at the end.
    fn page(&mut self) -> Result<Vec<Sealed>, LogError>;
    /// The last checkpoint. Asked for when the entries are at their end.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError>;
    /// The one of version 1, where there is no other.
    fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError>;
    /// The root of a block, where it is kept.
    fn block(&mut self, _level: u8, _number: u64) -> Result<Option<Digest>, LogError> {
        Ok(None)
    }
}

struct Pages<'a> {
    log: &'a mut dyn Log,
    cut: Option<Cut>,
    next: u64,
}

impl Source for Pages<'_> {
    fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    fn page(&mut self) -> Result<Vec<Sealed>, LogError> {
        let page = self.log.read(self.next, PAGE)?;
        if let Some(last) = page.last() {
            self.next = last.seq.saturating_add(1);
        }
        Ok(page)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        self.log.checkpoint()
    }

    fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError> {
        self.log.linked()
    }

    fn block(&mut self, level: u8, number: u64) -> Result<Option<Digest>, LogError> {
        self.log.block(level, number)
    }
}

/// A place where the wrong thing stands.
struct Place<'a> {
    /// The number that belongs here.
    seq: u64,
    /// The hash of the text found here.
    leaf: Digest,
    /// What is found here.
    found: &'a Sealed,
}

impl Place<'_> {
    /// Tells altered, missing and reordered apart by what stands further on.
    fn judge(&self, rest: &[Sealed], source: &mut dyn Source) -> Result<Fault, LogError> {
        let seq = self.seq;
        let within = seq_within(&self.found.entry);
        if self.found.seq == seq && within == Some(seq) {
            return Ok(Fault::Altered { seq });
        }
        if self.stands_in(rest) {
            return Ok(Fault::Reordered { seq });
        }
        loop {
            let page = source.page()?;
            if page.is_empty() {
                break;
            }
            if self.stands_in(&page) {
                return Ok(Fault::Reordered { seq });
            }
        }
        let whole = self.leaf == self.found.leaf;
        Ok(if self.found.seq > seq || (whole && within > Some(seq)) {
            Fault::Missing { seq }
        } else if self.found.seq < seq || whole {
            Fault::Reordered { seq }
        } else {
            Fault::Altered { seq }
        })
    }

    /// Whether among these is what belongs here, or the place of what is found here.
    fn stands_in(&self, entries: &[Sealed]) -> bool {
        entries.iter().any(|other| {
            other.seq == self.seq
                || seq_within(&other.entry) == Some(self.seq)
                || (other.leaf == self.leaf && self.leaf != self.found.leaf)
        })
    }
}
