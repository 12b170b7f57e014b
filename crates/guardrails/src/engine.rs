//! The tool engine: one guard over both planes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{
    Admission, BoxFuture, CallError, Clock, Cx, Decision, Entropy, Guard, Label, ModelCall, Names,
    Principal, SystemClock, SystemEntropy, Timestamp, ToolCall, ToolName, ToolReply, Verdict,
};
use serde_json::value::RawValue;

use crate::contract::{Contract, Contracts};
use crate::fold::Recognised;
use crate::history::History;
use crate::memory::Memory;
use crate::rollout::{Rollout, Stance};
use crate::scope::{self, Scope};
use crate::turn_store::{StoreError, TurnStore};
use crate::watch::ToolWatch;
use crate::{broker, fold};

/// How long things are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// A conversation after its last request. Default: a day.
    pub conversation: Duration,
    /// A result and its fingerprints. Keep it no shorter than that of conversations. Default: a
    /// day.
    pub result: Duration,
    /// A grant or a refusal until the broker sees the call. Default: 15 minutes.
    pub grant: Duration,
    /// How long a conversation that holds untrusted data lowers its principal's floor after its
    /// last request. Default: an hour.
    pub tainted: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            conversation: Duration::from_secs(24 * HOUR),
            result: Duration::from_secs(24 * HOUR),
            grant: Duration::from_secs(HOUR / 4),
            tainted: Duration::from_secs(HOUR),
        }
    }
}

/// What a text in the user's name is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UserRole {
    /// The person's own words, except where it repeats untrusted text on file.
    #[default]
    Trusted,
    /// Anybody's words: for an application that puts strangers' texts into the user's messages.
    Untrusted,
}

/// Judges both planes by contracts and one memory of trust.
///
/// It holds even where the model is under an attacker's control: labels come from what was served
/// and from contracts, never from what a model says.
///
/// Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct ToolEngine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for ToolEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolEngine")
            .field("denied_tool", &self.inner.denied_tool)
            .field("lifetimes", &self.inner.lifetimes)
            .field("user_role", &self.inner.user_role)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    contracts: ArcSwap<Contracts>,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) store: Arc<dyn TurnStore>,
    clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    master: [u8; 32],
    pub(crate) denied_tool: Arc<str>,
    denials: Contract,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) user_role: UserRole,
    rollout: Rollout,
}

impl Inner {
    /// A decision as it is carried out.
    pub(crate) fn carried_out(
        &self,
        principal: &Principal,
        tool: &str,
        decision: Decision,
    ) -> Decision {
        self.rollout.carried_out(principal, tool, decision)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn scope(&self, cx: &Cx) -> Scope {
        Scope::new(&self.master, &cx.principal.id)
    }

    /// The tool behind a declared name, and whether the broker runs it.
    pub(crate) fn identify(&self, declared: &str) -> (ToolName, bool) {
        match self.names.brokered(declared) {
            Some(name) => (name, true),
            None => (ToolName::new(declared), false),
        }
    }

    /// The tool that a call is really of, whether the broker runs it, and its arguments where they
    /// are not the call's own.
    pub(crate) fn meant(
        &self,
        declared: &str,
        arguments: &str,
    ) -> (ToolName, bool, Option<Box<RawValue>>) {
        match self.names.meant(declared, arguments) {
            Some((name, arguments)) => (name, true, arguments),
            None => (ToolName::new(declared), false, None),
        }
    }

    /// The contract of a tool, the gateway's own included.
    pub(crate) fn contract<'a>(&'a self, contracts: &'a Contracts, tool: &str) -> &'a Contract {
        if tool == &*self.denied_tool { &self.denials } else { contracts.of(tool) }
    }

    pub(crate) fn contracts(&self) -> Arc<Contracts> {
        self.contracts.load_full()
    }
}

/// Builds a [`ToolEngine`].
#[derive(Default)]
pub struct ToolEngineBuilder {
    contracts: Contracts,
    names: Option<Arc<dyn Names>>,
    store: Option<Arc<dyn TurnStore>>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    key: Option<[u8; 32]>,
    denied_tool: Option<Arc<str>>,
    lifetimes: Lifetimes,
    user_role: UserRole,
    rollout: Rollout,
}

impl std::fmt::Debug for ToolEngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolEngineBuilder").finish_non_exhaustive()
    }
}

/// No broker: every tool is the client's own.
struct Unbrokered;

impl Names for Unbrokered {
    fn brokered(&self, _declared: &str) -> Option<ToolName> {
        None
    }
}

impl ToolEngineBuilder {
    /// The contracts to begin with. Default: none, so that every tool is a way out.
    #[must_use]
    pub fn contracts(mut self, contracts: Contracts) -> Self {
        self.contracts = contracts;
        self
    }

    /// Which tools run through the broker. Default: none.
    #[must_use]
    pub fn names(mut self, names: Arc<dyn Names>) -> Self {
        self.names = Some(names);
        self
    }

    /// Who keeps the memory of trust. Default: a [`Memory`] in this process.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn TurnStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The source of randomness. Default: the machine's.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// The key of all hashes: the same on every replica that shares a store. Default: a random
    /// one, so that nothing is recognised after a restart.
    #[must_use]
    pub fn key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(key);
        self
    }

    /// The tool that takes the place of a client's refused call. Default: `doorward__denied`.
    #[must_use]
    pub fn denied_tool(mut self, name: impl Into<Arc<str>>) -> Self {
        self.denied_tool = Some(name.into());
        self
    }

    /// How long things are remembered.
    #[must_use]
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Whether decisions are carried out; [`Stance::Enforce`] unless set.
    #[must_use]
    pub fn stance(self, stance: Stance) -> Self {
        self.rollout(Rollout::new(stance))
    }

    /// For whom decisions are carried out already; for all unless set.
    #[must_use]
    pub fn rollout(mut self, rollout: Rollout) -> Self {
        self.rollout = rollout;
        self
    }

    /// What a text in the user's name is worth.
    #[must_use]
    pub fn user_role(mut self, role: UserRole) -> Self {
        self.user_role = role;
        self
    }

    /// The engine.
    pub fn build(self) -> ToolEngine {
        let entropy = self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy));
        let key = self.key.unwrap_or_else(|| {
            let mut key = [0; 32];
            entropy.fill(&mut key);
            key
        });
        let inner = Inner {
            contracts: ArcSwap::from_pointee(self.contracts),
            names: self.names.unwrap_or_else(|| Arc::new(Unbrokered)),
            store: self.store.unwrap_or_else(|| Arc::new(Memory::default())),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            entropy,
            master: scope::master(&key),
            denied_tool: self.denied_tool.unwrap_or_else(|| "doorward__denied".into()),
            denials: Contract::of_denials(),
            lifetimes: self.lifetimes,
            user_role: self.user_role,
            rollout: self.rollout,
        };
        ToolEngine { inner: Arc::new(inner) }
    }
}

impl ToolEngine {
    /// Begins with defaults for everything.
    pub fn builder() -> ToolEngineBuilder {
        ToolEngineBuilder::default()
    }

    /// Puts other contracts in force. Answers on their way are judged by the contracts that they
    /// were admitted under.
    pub fn replace(&self, contracts: Contracts) {
        self.inner.contracts.store(Arc::new(contracts));
    }

    /// The contracts in force.
    pub fn contracts(&self) -> Arc<Contracts> {
        self.inner.contracts()
    }

    async fn admit_call(&self, cx: &Cx, call: &mut ModelCall) -> Result<Admission, CallError> {
        let contracts = self.inner.contracts();
        let scope = self.inner.scope(cx);
        let recognised = {
            let history = History::of(&call.messages);
            let tools = &call.tools;
            let recognised = fold::recognise(&self.inner, &contracts, &scope, cx, &history, tools);
            recognised.await.map_err(failed)?
        };
        let label = recognised.standing.label.clone();
        let (hidden, denied_as) = self.hide(&contracts, call, &label, &cx.principal);
        let Recognised { standing, .. } = &recognised;
        Ok(Admission {
            turn: standing.turn,
            conversation: standing.conversation,
            label,
            hidden,
            watch: Box::new(ToolWatch::new(
                self.inner.clone(),
                contracts,
                scope,
                cx,
                &call.tools,
                denied_as,
                recognised,
            )),
        })
    }

    /// Takes tools out of sight that this label cannot meet. Nothing else of the call changes:
    /// writing it without them, and a tool choice that names one, is the dialect's part. Says too
    /// what the client calls the tool that tells of refusals, if it declares one.
    fn hide(
        &self,
        contracts: &Contracts,
        call: &mut ModelCall,
        label: &Label,
        principal: &Principal,
    ) -> (Vec<String>, Option<String>) {
        let (mut hidden, mut denied_as) = (Vec::new(), None);
        for tool in &mut call.tools {
            let brokered = self.inner.names.brokered(&tool.name);
            let name = brokered.as_ref().map_or(tool.name.as_str(), ToolName::as_str);
            if name == &*self.inner.denied_tool && denied_as.is_none() {
                denied_as = Some(tool.name.clone());
            }
            let enforced = self.inner.rollout.of(principal, name) == Stance::Enforce;
            if enforced && self.inner.contract(contracts, name).hides_under(label) {
                tool.hidden = true;
                hidden.push(tool.name.clone());
            }
        }
        (hidden, denied_as)
    }
}

/// A store that does not answer: nothing can be said about trust, so nothing goes on.
pub(crate) fn failed(error: StoreError) -> CallError {
    CallError::internal(error)
}

impl Guard for ToolEngine {
    fn admit<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut ModelCall,
    ) -> BoxFuture<'a, Result<Admission, CallError>> {
        Box::pin(self.admit_call(cx, call))
    }

    fn judge<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Verdict, CallError>> {
        Box::pin(async move { broker::judge(&self.inner, cx, call).await.map_err(failed) })
    }

    fn file<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
        verdict: &'a Verdict,
        reply: &'a ToolReply,
    ) -> BoxFuture<'a, Result<Label, CallError>> {
        Box::pin(async move {
            broker::file(&self.inner, cx, call, verdict, reply).await.map_err(failed)
        })
    }
}
