//! The router: names to targets, targets to answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use doorward_core::{
    Attempt, BoxFuture, CallError, Clock, Code, Credentials, Cx, EmbedCall, EmbedReply, Model,
    ModelCall, ModelReply, Models, RelayCall, RelayReply, Route, SystemClock, TokenCount,
};

use crate::Upstream;
use crate::answer::Refused;
use crate::exchange::{Exchanged, told};
use crate::route::{self, Alias, Target};
use crate::transport::Transport;

/// Routes model calls. See the crate's example.
pub struct Router {
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) clock: Arc<dyn Clock>,
    discovered: RwLock<BTreeMap<Arc<str>, Vec<String>>>,
    #[cfg(feature = "vertex")]
    pub(crate) tokens: crate::auth::google::Tokens,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("upstreams", &self.upstreams)
            .field("aliases", &self.aliases)
            .finish_non_exhaustive()
    }
}

/// A router cannot be built like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two upstreams have one name.
    #[error("two upstreams are called `{0}`")]
    SameName(Arc<str>),
    /// An alias leads to an upstream that is not there.
    #[error("alias `{alias}` names an unknown upstream `{upstream}`")]
    UnknownUpstream {
        /// The alias.
        alias: String,
        /// The missing upstream.
        upstream: Arc<str>,
    },
    /// An alias leads nowhere.
    #[error("alias `{0}` has no targets")]
    NoTargets(String),
}

/// Gathers a router's parts.
#[derive(Debug)]
pub struct RouterBuilder {
    router: Router,
}

impl RouterBuilder {
    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.router.upstreams.push(Arc::new(upstream));
        self
    }

    /// Adds an alias.
    #[must_use]
    pub fn alias(mut self, alias: Alias) -> Self {
        self.router.aliases.push(alias);
        self
    }

    /// Replaces the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.router.clock = clock;
        self
    }

    /// Checks the parts against each other.
    ///
    /// # Errors
    ///
    /// Where names collide or lead nowhere.
    pub fn build(self) -> Result<Router, BuildError> {
        let router = self.router;
        for (at, upstream) in router.upstreams.iter().enumerate() {
            if router.upstreams[..at].iter().any(|other| other.name == upstream.name) {
                return Err(BuildError::SameName(upstream.name.clone()));
            }
        }
        for alias in &router.aliases {
            if alias.targets.is_empty() {
                return Err(BuildError::NoTargets(alias.name.to_string()));
            }
            let missing = alias.targets.iter().find(|target| router.upstream(target).is_none());
            if let Some(target) = missing {
                return Err(BuildError::UnknownUpstream {
                    alias: alias.name.to_string(),
                    upstream: target.upstream.clone(),
                });
            }
        }
        Ok(router)
    }
}

impl Router {
    /// Starts a router over a transport, showing what `credentials` finds for each upstream.
    pub fn builder(
        transport: Arc<dyn Transport>,
        credentials: Arc<dyn Credentials>,
    ) -> RouterBuilder {
        let router = Self {
            upstreams: Vec::new(),
            aliases: Vec::new(),
            transport,
            credentials,
            clock: Arc::new(SystemClock),
            discovered: RwLock::default(),
            #[cfg(feature = "vertex")]
            tokens: crate::auth::google::Tokens::default(),
        };
        RouterBuilder { router }
    }

    pub(crate) fn upstream(&self, target: &Target) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.name == target.upstream)
    }

    /// Tries the call's targets in order, until one answers or none is left.
    async fn route(&self, cx: &Cx, call: ModelCall) -> Result<ModelReply, CallError> {
        let targets = route::targets(&call.model, &self.aliases, &self.upstreams);
        let mut route = Route { requested: call.model.clone(), ..Route::default() };
        let mut last = None;
        for target in &targets {
            let began = self.clock.instant();
            match self.attempt(cx, &call, target, 0).await {
                Ok(Exchanged { dialect, opened, dropped }) => {
                    route.target = target.to_string();
                    route.dropped = told(&dropped);
                    return Ok(ModelReply {
                        dialect,
                        streaming: opened.streaming,
                        route: Arc::new(route),
                        headers: opened.headers,
                        usage_asked: call.ask_usage,
                        hold: None,
                        frames: opened.frames,
                    });
                }
                Err(refused) => {
                    route.tried.push(self.failed(target, &refused, began));
                    let another = may_differ_elsewhere(refused.error.code);
                    last = Some(refused.error);
                    if !another {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            let public =
                format!("no model `{}` here; GET /v1/models lists what there is", call.model);
            CallError::new(Code::NotFound, public)
        }))
    }

    fn failed(&self, target: &Target, refused: &Refused, began: Instant) -> Attempt {
        let took = self.clock.instant().saturating_duration_since(began);
        let error = &refused.error;
        tracing::warn!(%target, code = error.code.as_str(), status = refused.status, "attempt failed");
        Attempt {
            target: target.to_string(),
            code: error.code,
            status: refused.status,
            took,
            maybe_billed: false,
        }
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

/// Whether another target may answer where this one did not. A wrong request is wrong anywhere;
/// a caller that left wants no answer.
fn may_differ_elsewhere(code: Code) -> bool {
    match code {
        Code::Upstream
        | Code::Overloaded
        | Code::Timeout
        | Code::RateLimited
        | Code::BudgetExhausted
        | Code::NotFound
        | Code::Internal
        | Code::Unauthenticated
        | Code::Forbidden => true,
        Code::InvalidRequest | Code::TooLarge | Code::Cancelled => false,
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
        let aliases = self.aliases.iter().filter(|alias| alias.name.is_exact());
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
