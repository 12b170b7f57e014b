//! Targets with what is known of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::keys::Keys;
use crate::vitals::Vitals;
use crate::{Target, Upstream};

/// The most targets that are remembered. Clients may name any model of an upstream.
const MOST: usize = 4096;

/// A target that can be tried.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) target: Target,
    /// `upstream/model`.
    pub(crate) name: Arc<str>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) vitals: Vitals,
}

/// The upstreams, and the targets at them that were asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    places: Vec<(Arc<Upstream>, Arc<Keys>)>,
    known: RwLock<HashMap<Arc<str>, Arc<Candidate>>>,
}

impl Roster {
    pub(crate) fn new(upstreams: &[Arc<Upstream>]) -> Self {
        let place = |upstream: &Arc<Upstream>| (upstream.clone(), Arc::default());
        Self { places: upstreams.iter().map(place).collect(), known: RwLock::default() }
    }

    /// The target of this name, `upstream/model`, if there is such an upstream.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Candidate>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(candidate) = known.get(name) {
            return Some(candidate.clone());
        }
        drop(known);
        let target = name.parse().ok()?;
        self.add(&target, name.into())
    }

    /// This target, if there is such an upstream.
    pub(crate) fn at(&self, target: &Target) -> Option<Arc<Candidate>> {
        self.named(&target.to_string())
    }

    fn add(&self, target: &Target, name: Arc<str>) -> Option<Arc<Candidate>> {
        let (upstream, keys) =
            self.places.iter().find(|(upstream, _)| upstream.name == target.upstream)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Aliases and running calls hold theirs.
            known.retain(|_, candidate| Arc::strong_count(candidate) > 1);
        }
        let made = Candidate {
            target: Target { upstream: upstream.name.clone(), model: target.model.clone() },
            name: name.clone(),
            upstream: upstream.clone(),
            keys: keys.clone(),
            vitals: Vitals::default(),
        };
        Some(known.entry(name).or_insert_with(|| Arc::new(made)).clone())
    }

    /// Every target known, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Candidate>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.values().cloned().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provider;

    #[test]
    fn made_up_model_names_do_not_fill_the_memory() {
        let provider = Provider::named("openai").unwrap();
        let upstream = Arc::new(Upstream::new("openai", provider, None).unwrap());
        let roster = Roster::new(&[upstream]);
        let held = roster.named("openai/gpt-5").unwrap();
        for made_up in 0..3 * MOST {
            assert!(roster.named(&format!("openai/{made_up}")).is_some());
        }
        assert!(roster.all().len() <= MOST);
        assert!(Arc::ptr_eq(&held, &roster.named("openai/gpt-5").unwrap()), "what is held stays");
        assert!(roster.named("elsewhere/gpt-5").is_none());
    }
}
