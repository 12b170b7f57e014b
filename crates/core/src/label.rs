//! How far data is trusted, who chose it, who may see it, and where it came from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How far content is trusted; higher is more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Anyone may have written it.
    #[default]
    Untrusted,
    /// A source that the operator vouches for.
    Trusted,
    /// The person's own words.
    User,
    /// The operator's own words.
    System,
}

impl Integrity {
    /// The word used in config and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Trusted => "trusted",
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// Who may see a value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readers {
    /// Anyone.
    #[default]
    Public,
    /// Only these, sorted and without repeats. Empty: nobody.
    Only(Arc<[Arc<str>]>),
}

impl Readers {
    /// Only these may see it.
    pub fn only<I: IntoIterator<Item: Into<Arc<str>>>>(readers: I) -> Self {
        let mut readers: Vec<Arc<str>> = readers.into_iter().map(Into::into).collect();
        readers.sort();
        readers.dedup();
        Self::Only(readers.into())
    }

    /// Those who may see both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Public, one) | (one, Self::Public) => one.clone(),
            (Self::Only(a), Self::Only(b)) if Arc::ptr_eq(a, b) => self.clone(),
            (Self::Only(a), Self::Only(b)) => {
                Self::Only(a.iter().filter(|r| b.binary_search(r).is_ok()).cloned().collect())
            }
        }
    }
}

/// Where data came from: up to [`Sources::MOST`] names, then only that there are more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sources {
    names: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Sources {
    /// How many names are kept.
    pub const MOST: usize = 16;

    /// One source.
    pub fn one(name: impl Into<Arc<str>>) -> Self {
        Self { names: vec![name.into()], more: false }
    }

    /// The names, in the order they were met.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether names were dropped for want of room.
    pub fn has_more(&self) -> bool {
        self.more
    }

    fn absorb(&mut self, other: &Self) {
        self.more |= other.more;
        for name in &other.names {
            if self.names.contains(name) {
                continue;
            }
            if self.names.len() == Self::MOST {
                self.more = true;
                return;
            }
            self.names.push(name.clone());
        }
    }
}

/// What is known of a value or of a whole context. Joining only ever tightens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Label {
    /// How far the content is trusted.
    pub integrity: Integrity,
    /// Who selected this value among its peers: a model that has read untrusted data can only
    /// have chosen untrustedly.
    pub choice: Integrity,
    /// Who may see it.
    #[serde(default)]
    pub readers: Readers,
    /// Where the worst of it came from.
    #[serde(default)]
    pub sources: Sources,
}

impl Label {
    /// The operator's own words.
    pub fn system() -> Self {
        Self { integrity: Integrity::System, choice: Integrity::System, ..Self::default() }
    }

    /// The person's own words.
    pub fn user() -> Self {
        Self { integrity: Integrity::User, choice: Integrity::User, ..Self::default() }
    }

    /// A vouched-for source.
    pub fn trusted(source: impl Into<Arc<str>>) -> Self {
        Self {
            integrity: Integrity::Trusted,
            choice: Integrity::User,
            sources: Sources::one(source),
            ..Self::default()
        }
    }

    /// Anyone may have written it, and anyone may have had it chosen.
    pub fn untrusted(source: impl Into<Arc<str>>) -> Self {
        Self { sources: Sources::one(source), ..Self::default() }
    }

    /// Whether a context with this label may still steer: nothing untrusted in it, nothing
    /// untrustedly chosen.
    pub fn is_trusted(&self) -> bool {
        self.integrity > Integrity::Untrusted && self.choice > Integrity::Untrusted
    }

    /// The worse of both: least integrity, least choice, common readers, all sources. Sources of
    /// the better side are dropped where the worse side is strictly worse, so that they name what
    /// tainted.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        joined.absorb(other);
        joined
    }

    /// [`join`](Self::join) in place.
    pub fn absorb(&mut self, other: &Self) {
        let (mine, theirs) = (self.is_trusted(), other.is_trusted());
        if mine && !theirs {
            self.sources = other.sources.clone();
        } else if mine == theirs {
            self.sources.absorb(&other.sources);
        }
        self.integrity = self.integrity.min(other.integrity);
        self.choice = self.choice.min(other.choice);
        self.readers = self.readers.intersect(&other.readers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Label> {
        let mut secret = Label::trusted("crm");
        secret.readers = Readers::only(["alice", "bob"]);
        vec![Label::system(), Label::user(), secret, Label::untrusted("web")]
    }

    #[test]
    fn joining_only_tightens_and_does_not_depend_on_order() {
        for a in samples() {
            for b in samples() {
                let (ab, ba) = (a.join(&b), b.join(&a));
                assert!(ab.integrity <= a.integrity && ab.choice <= a.choice);
                assert_eq!((ab.integrity, ab.choice), (ba.integrity, ba.choice));
                assert_eq!(ab.readers, ba.readers);
                assert_eq!(ab.join(&a), ab, "idempotent");
            }
        }
    }

    #[test]
    fn sources_name_what_tainted() {
        let context = Label::trusted("crm").join(&Label::untrusted("web"));
        assert_eq!(context.sources.names(), [Arc::from("web")]);
    }

    #[test]
    fn sources_are_bounded() {
        let mut label = Label::untrusted("0");
        for n in 1..100 {
            label.absorb(&Label::untrusted(n.to_string()));
        }
        assert_eq!(label.sources.names().len(), Sources::MOST);
        assert!(label.sources.has_more());
    }
}
