//! The memory of trust in this process.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::{Label, Timestamp};

use crate::keyed::KeyedMap;
use crate::turn_store::{
    Claim, Denial, FiledLeaf, FiledText, Filing, Grant, Mark, Standing, Stored, TurnStore,
};

/// How many results one value is remembered from.
const LEAF_RESULTS: usize = 8;
/// How many decisions on one call are remembered.
const SLOT_CLAIMS: usize = 64;

/// Keeps the memory of trust in this process, within bounds. Each kind of entry has two halves:
/// when the young half is full, the old one is dropped and what is used moves back, so that the
/// least used goes first and no insertion ever walks the whole.
///
/// Size it so that fingerprints outlive their lifetime: one takes about 32 bytes, and about eight
/// bytes of untrusted text make one.
pub struct Memory {
    inner: Mutex<Inner>,
}

struct Inner {
    standings: Halves<Mark, Arc<Standing>>,
    texts: Halves<Mark, FiledText>,
    leaves: Halves<Mark, Vec<FiledLeaf>>,
    prints: Halves<u64, Arc<Label>>,
    printed: Owners,
    slots: Halves<Mark, Vec<Kept>>,
    tainted: Halves<Mark, Label>,
}

#[derive(Clone)]
struct Kept {
    claim: Claim,
    expires: Timestamp,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(1 << 20)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// A memory of at most `entries` fingerprints, as many values, a quarter as many texts and
    /// conversation prefixes, and an eighth as many open calls.
    pub fn new(entries: usize) -> Self {
        let entries = entries.max(64);
        Self {
            inner: Mutex::new(Inner {
                standings: Halves::new(entries / 4),
                texts: Halves::new(entries / 4),
                leaves: Halves::new(entries),
                prints: Halves::new(entries),
                printed: Owners::new(entries / 8),
                slots: Halves::new(entries / 8),
                tainted: Halves::new(entries / 8),
            }),
        }
    }

    /// A panic elsewhere leaves no entry half written, so its poison is ignored.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at_once<'a, T: Send + 'a>(value: T) -> Stored<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl TurnStore for Memory {
    fn recall<'a>(
        &'a self,
        prefixes: &'a [Mark],
        now: Timestamp,
    ) -> Stored<'a, Option<(usize, Standing)>> {
        let mut inner = self.lock();
        let known = prefixes
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, prefix)| inner.standings.get(prefix, now).map(|s| (at, s.clone())));
        drop(inner);
        at_once(known.map(|(at, standing)| (at, Arc::unwrap_or_clone(standing))))
    }

    fn remember<'a>(
        &'a self,
        prefix: Mark,
        standing: &'a Standing,
        expires: Timestamp,
    ) -> Stored<'a, ()> {
        let standing = Arc::new(standing.clone());
        self.lock().standings.put(prefix, standing, expires);
        at_once(())
    }

    fn file(&self, filing: Filing, expires: Timestamp) -> Stored<'_, ()> {
        let mut inner = self.lock();
        for (mark, text) in filing.texts {
            inner.texts.merge(mark, text, expires, |old, new| {
                new.label = Arc::new(old.label.join(&new.label));
            });
        }
        for (mark, leaf) in filing.leaves {
            inner.leaves.merge(mark, vec![leaf], expires, |old, new| {
                new.extend(old.into_iter().filter(|one| *one != leaf));
                // The most trusted go first, the older ones among equals.
                new.sort_by_key(|leaf| leaf.integrity);
                new.truncate(LEAF_RESULTS);
            });
        }
        if !filing.prints.is_empty() {
            inner.printed.note(filing.owner, expires);
        }
        for print in filing.prints {
            inner.prints.merge(print, filing.printed.clone(), expires, |old, new| {
                if !Arc::ptr_eq(&old, new) {
                    *new = Arc::new(old.join(new));
                }
            });
        }
        at_once(())
    }

    fn texts<'a>(
        &'a self,
        marks: &'a [Mark],
        now: Timestamp,
    ) -> Stored<'a, Vec<Option<FiledText>>> {
        let mut inner = self.lock();
        let texts = marks.iter().map(|mark| inner.texts.get(mark, now).cloned()).collect();
        drop(inner);
        at_once(texts)
    }

    fn leaves<'a>(&'a self, marks: &'a [Mark], now: Timestamp) -> Stored<'a, Vec<Vec<FiledLeaf>>> {
        let mut inner = self.lock();
        let leaves = marks
            .iter()
            .map(|mark| inner.leaves.get(mark, now).cloned().unwrap_or_default())
            .collect();
        drop(inner);
        at_once(leaves)
    }

    fn prints_of(&self, owner: Mark, now: Timestamp) -> Stored<'_, bool> {
        at_once(self.lock().printed.may_have(owner, now))
    }

    fn printed<'a>(&'a self, prints: &'a [u64], now: Timestamp) -> Stored<'a, Option<Label>> {
        let mut inner = self.lock();
        let mut last: Option<Arc<Label>> = None;
        let mut joined: Option<Label> = None;
        for print in prints {
            let Some(label) = inner.prints.get(print, now) else { continue };
            if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, label)) {
                continue;
            }
            match &mut joined {
                Some(joined) => joined.absorb(label),
                None => joined = Some((**label).clone()),
            }
            last = Some(label.clone());
        }
        drop(inner);
        at_once(joined)
    }

    fn grant(&self, slot: Mark, grant: Grant, expires: Timestamp) -> Stored<'_, ()> {
        let conversation = grant.conversation;
        self.lock().keep(slot, Claim::Grant(grant), expires, |claim| match claim {
            Claim::Denial(denial) => denial.conversation != conversation,
            Claim::Grant(_) => true,
        });
        at_once(())
    }

    fn refuse(&self, slot: Mark, denial: Denial, expires: Timestamp) -> Stored<'_, ()> {
        let conversation = denial.conversation;
        self.lock().keep(slot, Claim::Denial(denial), expires, |claim| match claim {
            Claim::Denial(denial) => denial.conversation != conversation,
            Claim::Grant(grant) => grant.conversation != conversation,
        });
        at_once(())
    }

    fn claim<'a>(
        &'a self,
        slot: Mark,
        hint: Option<&'a str>,
        now: Timestamp,
    ) -> Stored<'a, Option<Claim>> {
        let mut inner = self.lock();
        let claim = inner.slots.get_mut(&slot, now).and_then(|kept| take(kept, hint, now));
        drop(inner);
        at_once(claim)
    }

    fn taint<'a>(&'a self, owner: Mark, label: &'a Label, expires: Timestamp) -> Stored<'a, ()> {
        self.lock().tainted.merge(owner, label.clone(), expires, |old, new| new.absorb(&old));
        at_once(())
    }

    fn tainted(&self, owner: Mark, now: Timestamp) -> Stored<'_, Option<Label>> {
        at_once(self.lock().tainted.get(&owner, now).cloned())
    }
}

impl Inner {
    fn keep(
        &mut self,
        slot: Mark,
        claim: Claim,
        expires: Timestamp,
        stays: impl Fn(&Claim) -> bool,
    ) {
        self.slots.merge(slot, vec![Kept { claim, expires }], expires, |old, new| {
            new.extend(old.into_iter().filter(|kept| stays(&kept.claim)));
            // The newest is first, so the oldest are cut; a cut grant is a call refused.
            new.truncate(SLOT_CLAIMS);
        });
    }
}

fn take(kept: &mut Vec<Kept>, hint: Option<&str>, now: Timestamp) -> Option<Claim> {
    kept.retain(|kept| kept.expires > now);
    let hinted = |claim: &Claim| {
        let (own, conversation) = match claim {
            Claim::Grant(grant) => (&grant.hint, grant.conversation),
            Claim::Denial(denial) => (&denial.hint, denial.conversation),
        };
        hint.is_some_and(|hint| own.as_deref() == Some(hint) || conversation.to_string() == hint)
    };
    let any_hinted = kept.iter().any(|kept| hinted(&kept.claim));
    let lowest = kept
        .iter()
        .enumerate()
        .filter(|(_, kept)| !any_hinted || hinted(&kept.claim))
        .min_by_key(|(at, kept)| {
            // The oldest of equals: they are kept newest first.
            let age = std::cmp::Reverse(*at);
            match &kept.claim {
                Claim::Denial(denial) => (false, denial.label.integrity, denial.label.choice, age),
                Claim::Grant(grant) => (true, grant.label.integrity, grant.label.choice, age),
            }
        });
    let (at, found) = lowest?;
    match found.claim {
        Claim::Denial(_) => Some(found.claim.clone()),
        Claim::Grant(_) => Some(kept.remove(at).claim),
    }
}

/// A map in two halves: the young one takes what is new or used, the old one is dropped when the
/// young one is full.
struct Halves<K, V> {
    young: KeyedMap<K, (V, Timestamp)>,
    old: KeyedMap<K, (V, Timestamp)>,
    most: usize,
}

impl<K: Eq + Hash + Clone, V> Halves<K, V> {
    fn new(entries: usize) -> Self {
        let (young, old) = (KeyedMap::default(), KeyedMap::default());
        Self { young, old, most: (entries / 2).max(8) }
    }

    fn put(&mut self, key: K, value: V, expires: Timestamp) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        if !self.old.is_empty() {
            self.old.remove(&key);
        }
        self.young.insert(key, (value, expires));
    }

    /// Puts a value in the place of the old one, of which `merge` takes over what must stay. The
    /// later expiry holds.
    fn merge(&mut self, key: K, mut value: V, expires: Timestamp, merge: impl FnOnce(V, &mut V)) {
        let mut until = expires;
        if let Some((old, expires)) = self.young.remove(&key).or_else(|| self.old.remove(&key)) {
            merge(old, &mut value);
            until = until.max(expires);
        }
        self.put(key, value, until);
    }

    fn get(&mut self, key: &K, now: Timestamp) -> Option<&V> {
        self.get_mut(key, now).map(|value| &*value)
    }

    fn get_mut(&mut self, key: &K, now: Timestamp) -> Option<&mut V> {
        if !self.old.is_empty()
            && let Some((value, expires)) = self.old.remove(key)
            && expires > now
        {
            self.put(key.clone(), value, expires);
        }
        self.young.get_mut(key).filter(|(_, expires)| *expires > now).map(|(value, _)| value)
    }
}

/// Who has fingerprints on file, and until when. Nobody may drop out of it early, or what they
/// repeat would pass as their own: when it is full, everybody counts as having some until the last
/// of the dropped ones would have expired.
#[derive(Default)]
struct Owners {
    young: KeyedMap<Mark, Timestamp>,
    old: KeyedMap<Mark, Timestamp>,
    /// The last expiry of the young ones.
    young_until: Option<Timestamp>,
    old_until: Option<Timestamp>,
    everybody_until: Option<Timestamp>,
    most: usize,
}

impl Owners {
    fn new(entries: usize) -> Self {
        Self { most: (entries / 2).max(8), ..Self::default() }
    }

    fn note(&mut self, owner: Mark, expires: Timestamp) {
        if self.young.len() >= self.most && !self.young.contains_key(&owner) {
            self.old = std::mem::take(&mut self.young);
            let dropped = std::mem::replace(&mut self.old_until, self.young_until.take());
            self.everybody_until = self.everybody_until.max(dropped);
        }
        let until = self.young.entry(owner).or_insert(expires);
        *until = expires.max(*until);
        self.young_until = self.young_until.max(Some(expires));
    }

    fn may_have(&self, owner: Mark, now: Timestamp) -> bool {
        self.everybody_until.is_some_and(|until| until > now)
            || [&self.young, &self.old]
                .iter()
                .any(|half| half.get(&owner).is_some_and(|until| *until > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn used_entries_outlive_unused_ones_and_room_is_bounded() {
        let mut map = Halves::new(16);
        for n in 0..1000 {
            map.put(n, n, at(10));
            assert_eq!(map.get(&0, at(1)), Some(&0), "{n}");
        }
        assert_eq!(map.get(&1, at(1)), None);
        assert!(map.young.len() + map.old.len() <= 16);
    }

    #[test]
    fn a_refusal_counts_before_any_grant_of_another_conversation() {
        use doorward_core::{ConversationId, Decision, GrantId, RequestId, TurnId};
        let (slot, turn) = (Mark::from_bytes([1; 16]), TurnId::from_bytes([0; 16]));
        let (cause, hint) = (RequestId::from_bytes([0; 16]), None);
        let [one, two] = [1, 2].map(|n| ConversationId::from_bytes([n; 16]));
        let grant = |conversation| Grant {
            id: GrantId::from_bytes([0; 16]),
            conversation,
            turn,
            cause,
            label: Label::untrusted("web"),
            hint: hint.clone(),
        };
        let decision = Decision::deny("rule", "");
        let label = Label::user();
        let hint = hint.clone();
        let denial = Denial { decision, conversation: one, turn, cause, label, hint };
        let memory = Memory::new(64);
        let claim = || memory.lock().slots.get_mut(&slot, at(1)).and_then(|k| take(k, None, at(1)));
        drop(memory.refuse(slot, denial, at(10)));
        drop(memory.grant(slot, grant(two), at(10)));
        assert!(matches!(claim(), Some(Claim::Denial(_))));
        assert!(matches!(claim(), Some(Claim::Denial(_))), "it stays");
        // A later decision in its own conversation lifts it.
        drop(memory.grant(slot, grant(one), at(10)));
        let conversations: Vec<_> = std::iter::from_fn(claim).collect();
        assert_eq!(conversations, [two, one].map(|c| Claim::Grant(grant(c))), "oldest first");
    }

    #[test]
    fn nothing_past_its_expiry_is_given_out() {
        let mut map = Halves::new(16);
        map.put(1, "one", at(10));
        assert_eq!(map.get(&1, at(9)), Some(&"one"));
        assert_eq!(map.get(&1, at(10)), None);
    }

    #[test]
    fn no_owner_of_fingerprints_is_forgotten_before_they_expire() {
        let owner = |n: u128| Mark::from_bytes(n.to_le_bytes());
        let mut owners = Owners::new(16);
        owners.note(owner(0), at(20));
        owners.note(owner(0), at(10));
        assert!(owners.may_have(owner(0), at(19)) && !owners.may_have(owner(0), at(20)));
        assert!(!owners.may_have(owner(1), at(1)), "nothing was filed for them");
        for n in 1..100 {
            owners.note(owner(n), at(10));
            assert!((0..=n).all(|n| owners.may_have(owner(n), at(9))), "{n}");
        }
        assert!(owners.may_have(owner(0), at(19)));
        assert!(!owners.may_have(owner(50), at(20)), "all has expired");
        assert!(owners.young.len() + owners.old.len() <= 16);
    }
}
