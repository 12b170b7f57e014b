//! The router: names to targets, targets to answers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use doorward_core::{
    BoxFuture, CallError, Clock, Credentials, Cx, EmbedCall, EmbedReply, Entropy, Model, ModelCall,
    ModelReply, Models, RelayCall, RelayReply, TokenCount,
};

use crate::alias::Alias;
use crate::candidate::Roster;
use crate::order::Prices;
use crate::pause::Pause;
use crate::pins::{Pin, Pins};
use crate::plan::Entry;
use crate::policy::Labels;
use crate::recent::Recent;
use crate::transport::Transport;
use crate::vitals::TargetHealth;
use crate::{RouterBuilder, Upstream};

/// Routes model calls. See the crate's example.
pub struct Router {
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// Aliases with patterns and without, in the order they were given.
    pub(crate) entries: Vec<Entry>,
    /// Which entry a plain name is.
    pub(crate) exact: HashMap<Box<str>, usize>,
    pub(crate) roster: Roster,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) pause: Option<Arc<dyn Pause>>,
    pub(crate) prices: Option<Arc<Prices>>,
    pub(crate) teams: BTreeMap<String, Labels>,
    pub(crate) pins: Arc<Pins>,
    pub(crate) sticky: Recent<Pin>,
    pub(crate) discovered: RwLock<BTreeMap<Arc<str>, Vec<String>>>,
    #[cfg(feature = "vertex")]
    pub(crate) tokens: crate::auth::google::Tokens,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("upstreams", &self.upstreams)
            .field("aliases", &self.aliases().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Router {
    /// Starts a router over a transport, showing what `credentials` finds for each upstream.
    pub fn builder(
        transport: Arc<dyn Transport>,
        credentials: Arc<dyn Credentials>,
    ) -> RouterBuilder {
        RouterBuilder::new(transport, credentials)
    }

    /// The aliases, as they were given.
    pub fn aliases(&self) -> impl Iterator<Item = &Alias> {
        self.entries.iter().map(|entry| &entry.alias)
    }

    /// How the targets do: those of aliases, and the others that have answered.
    pub fn health(&self) -> Vec<TargetHealth> {
        let now = self.clock.instant();
        let of_alias = |name: &str| {
            let mut targets = self.aliases().flat_map(Alias::all_targets);
            targets.any(|it| name.split_once('/') == Some((&it.target.upstream, &it.target.model)))
        };
        let mut all = self.roster.all();
        all.retain(|candidate| {
            candidate.vitals.answered.load(Ordering::Relaxed) > 0 || of_alias(&candidate.name)
        });
        let health = all.iter().map(|candidate| TargetHealth {
            target: candidate.name.to_string(),
            state: candidate.vitals.standing(now).into(),
            first_token: candidate.vitals.first_token(now),
            tokens_per_second: candidate.vitals.rate(),
            in_flight: candidate.vitals.in_flight.load(Ordering::Relaxed),
            answered: candidate.vitals.answered.load(Ordering::Relaxed),
            failed: candidate.vitals.failed.load(Ordering::Relaxed),
            keys_resting: candidate.keys.count(&candidate.target.model, now),
        });
        health.collect()
    }

    /// Asks every upstream without declared models which it has, for [`Models::models`]. An
    /// upstream that does not tell keeps what it told before.
    pub async fn discover(&self, cx: &Cx) {
        for upstream in self.upstreams.iter().filter(|upstream| upstream.models.is_empty()) {
            match self.list(cx, upstream).await {
                Ok(models) => {
                    let mut known = self.discovered.write().unwrap_or_else(PoisonError::into_inner);
                    known.insert(upstream.name.clone(), models);
                }
                Err(error) => {
                    tracing::debug!(upstream = %upstream.name, %error, "tells no models");
                }
            }
        }
    }
}

impl Models for Router {
    fn complete<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<ModelReply, CallError>> {
        Box::pin(self.route(cx, call))
    }

    fn models(&self) -> Vec<Model> {
        let aliases = self.aliases().filter(|alias| alias.name.is_exact());
        let mut models: Vec<Model> = aliases
            .map(|alias| Model { id: alias.name.to_string(), owner: "doorward".to_owned() })
            .collect();
        let known = self.discovered.read().unwrap_or_else(PoisonError::into_inner);
        for upstream in &self.upstreams {
            let told = known.get(&upstream.name).into_iter().flatten();
            models.extend(upstream.models.iter().chain(told).map(|model| Model {
                id: format!("{}/{model}", upstream.name),
                owner: upstream.name.to_string(),
            }));
        }
        models
    }

    fn embed<'a>(
        &'a self,
        cx: &'a Cx,
        call: EmbedCall,
    ) -> BoxFuture<'a, Result<EmbedReply, CallError>> {
        Box::pin(self.embeddings(cx, call))
    }

    fn count<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<TokenCount, CallError>> {
        Box::pin(self.counted(cx, call))
    }

    fn relay<'a>(
        &'a self,
        cx: &'a Cx,
        call: RelayCall,
    ) -> BoxFuture<'a, Result<RelayReply, CallError>> {
        Box::pin(self.relayed(cx, call))
    }
}
