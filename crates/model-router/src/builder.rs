//! A router's parts, gathered and checked against each other.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

use doorward_core::{Clock, Credentials, Entropy, PooledEntropy, SystemClock};

use crate::candidate::Roster;
use crate::order::Prices;
use crate::plan::Entry;
use crate::policy::Labels;
use crate::recent::Recent;
use crate::transport::Transport;
use crate::{Alias, Patience, Pause, Router, Upstream};

/// How many conversations are remembered for their targets at least.
const CONVERSATIONS: usize = 1 << 14;

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
    /// Timeouts, retries or a hedge are set, and nobody can wait.
    #[error("`{0}` has timeouts, retries or a hedge, and the router has nothing to wait with")]
    NoPause(String),
}

/// Gathers a router's parts.
pub struct RouterBuilder {
    transport: Arc<dyn Transport>,
    credentials: Arc<dyn Credentials>,
    upstreams: Vec<Arc<Upstream>>,
    aliases: Vec<Alias>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pause: Option<Arc<dyn Pause>>,
    prices: Option<Arc<Prices>>,
    teams: BTreeMap<String, Labels>,
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("upstreams", &self.upstreams)
            .field("aliases", &self.aliases)
            .finish_non_exhaustive()
    }
}

impl RouterBuilder {
    pub(crate) fn new(transport: Arc<dyn Transport>, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            transport,
            credentials,
            upstreams: Vec::new(),
            aliases: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(PooledEntropy::default()),
            pause: None,
            prices: None,
            teams: BTreeMap::new(),
        }
    }

    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(Arc::new(upstream));
        self
    }

    /// Adds an alias.
    #[must_use]
    pub fn alias(mut self, alias: Alias) -> Self {
        self.aliases.push(alias);
        self
    }

    /// Replaces the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Replaces the machine's randomness, with which targets are drawn and pauses varied.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Gives it something to wait with (`TokioPause` with the feature `http`). Without it a
    /// refusal is never waited out, and only the transport limits how long a target may take.
    #[must_use]
    pub fn pause(mut self, pause: Arc<dyn Pause>) -> Self {
        self.pause = Some(pause);
        self
    }

    /// Tells what a target (`upstream/model`) costs, in billionths of a US dollar for a token of
    /// prompt and of answer; [`Ledger::price`](doorward_core::Ledger::price) is meant for this.
    #[must_use]
    pub fn prices(mut self, prices: Arc<Prices>) -> Self {
        self.prices = Some(prices);
        self
    }

    /// Requires labels of every upstream that a team's calls go to, each one of the values. What
    /// a key and a request require must hold as well.
    #[must_use]
    pub fn require_for_team(
        mut self,
        team: impl Into<String>,
        labels: BTreeMap<String, Vec<String>>,
    ) -> Self {
        self.teams.entry(team.into()).or_default().extend(labels);
        self
    }

    /// Checks the parts against each other.
    ///
    /// # Errors
    ///
    /// Where names collide or lead nowhere, or something must be waited for and nobody can.
    pub fn build(self) -> Result<Router, BuildError> {
        self.check()?;
        let roster = Roster::new(&self.upstreams);
        let entries: Vec<_> =
            self.aliases.into_iter().map(|alias| Entry::new(alias, &roster)).collect();
        let mut exact = HashMap::new();
        for (at, Entry { alias, .. }) in entries.iter().enumerate() {
            if alias.name.is_exact() {
                exact.entry(alias.name.as_str().into()).or_insert(at);
            }
        }
        Ok(Router {
            upstreams: self.upstreams,
            entries,
            exact,
            roster,
            transport: self.transport,
            credentials: self.credentials,
            clock: self.clock,
            entropy: self.entropy,
            pause: self.pause,
            prices: self.prices,
            teams: self.teams,
            pins: Arc::default(),
            sticky: Recent::new(CONVERSATIONS),
            discovered: RwLock::default(),
            #[cfg(feature = "vertex")]
            tokens: crate::auth::google::Tokens::default(),
        })
    }

    fn check(&self) -> Result<(), BuildError> {
        let waits = self.pause.is_some();
        for (at, upstream) in self.upstreams.iter().enumerate() {
            if self.upstreams[..at].iter().any(|other| other.name == upstream.name) {
                return Err(BuildError::SameName(upstream.name.clone()));
            }
            if !waits && upstream.patience != Patience::default() {
                return Err(BuildError::NoPause(upstream.name.to_string()));
            }
        }
        for alias in &self.aliases {
            let empty = alias.rules.iter().any(|rule| rule.targets.is_empty());
            if alias.targets.is_empty() || empty {
                return Err(BuildError::NoTargets(alias.name.to_string()));
            }
            if !waits && alias.waits() {
                return Err(BuildError::NoPause(alias.name.to_string()));
            }
            let known = |name: &str| self.upstreams.iter().any(|upstream| &*upstream.name == name);
            let missing = alias.all_targets().find(|it| !known(&it.target.upstream));
            if let Some(missing) = missing {
                return Err(BuildError::UnknownUpstream {
                    alias: alias.name.to_string(),
                    upstream: missing.target.upstream.clone(),
                });
            }
        }
        Ok(())
    }
}
