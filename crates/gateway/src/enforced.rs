//! The two planes behind the policy. The whole way of a call can be read here.

mod beside;
mod tools;

use std::fmt;
use std::sync::Arc;

use doorward_core::{
    Action, Ask, BoxStream, CallError, ConversationId, Cx, Frame, Kind, Label, Model, ModelCall,
    Models, Operation, Principal, Route, TurnId,
};

use crate::answer::Answer;
use crate::around::{Around, Policy};
use crate::estimate::Worst;

/// A plane that nothing unpoliced reaches. Edges take nothing else, so a bare router or broker
/// cannot be bound to a listener:
///
/// ```compile_fail
/// # use std::sync::Arc;
/// # fn edge(models: Arc<dyn doorward_core::Models>, tools: Arc<dyn doorward_core::Tools>,
/// #     rest: doorward_gateway::EdgeParts) {
/// // expected `Enforced<dyn Models>`, found `Arc<dyn Models>`
/// let edge = doorward_gateway::Edge::new(models, tools, rest);
/// # }
/// ```
pub struct Enforced<S: ?Sized> {
    inner: Arc<S>,
    policy: Policy,
}

impl<S: ?Sized> Enforced<S> {
    /// Puts the policy around a plane.
    pub fn new(inner: Arc<S>, policy: Policy) -> Self {
        Self { inner, policy }
    }
}

impl<S: ?Sized> Clone for Enforced<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), policy: self.policy.clone() }
    }
}

impl<S: ?Sized> fmt::Debug for Enforced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforced").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A model's answer that has passed every check, still under the guard's watch.
pub struct Completion {
    /// The turn it belongs to.
    pub turn: TurnId,
    /// The conversation, as recognised.
    pub conversation: ConversationId,
    /// How it was routed.
    pub route: Arc<Route>,
    /// Whose wire the frames' bytes are.
    pub dialect: doorward_core::DialectId,
    /// Whether it is a stream of events or one body.
    pub streaming: bool,
    /// Whether usage was asked for by the gateway and must be taken out of the stream again.
    pub strip_usage: bool,
    /// Upstream headers that a client of the same dialect expects.
    pub headers: Vec<(String, String)>,
    /// The answer.
    pub frames: BoxStream<'static, Result<Frame, CallError>>,
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("turn", &self.turn)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl Enforced<dyn Models> {
    /// One model call: room for the record → may they → guard → limits → call → guard the
    /// answer → settle → record.
    ///
    /// # Errors
    ///
    /// Whatever refused or failed; the record is made either way.
    pub async fn complete(&self, cx: &Cx, mut call: ModelCall) -> Result<Completion, CallError> {
        let kind = asked(Operation::Complete, &call.model);
        let mut around = Around::open(&self.policy, cx, kind).await?;
        around.authorise(cx, Action::Model(&call.model))?;
        for other in &call.preferences.models {
            around.authorise(cx, Action::Model(other))?;
        }

        let admission = match self.policy.guard.admit(cx, &mut call).await {
            Ok(admission) => admission,
            Err(error) => return Err(failed(around, error)),
        };
        around.event.turn = admission.turn;
        around.event.conversation = Some(admission.conversation);
        around.event.checks = admission.watch.found();
        if self.inner.caches() {
            call.cache = cache_scope(cx, &admission.label);
        }
        around.event.label = Some(admission.label);
        if let Kind::Model { hidden, .. } = &mut around.event.kind {
            hidden.clone_from(&admission.hidden);
        }

        around.reserve(cx, Ask::Model { model: &call.model }).await?;
        // Without usage nobody could say what a stream cost.
        call.ask_usage = call.stream && !call.stream_usage;
        call.purse = Some(around.purse(cx, &call.model, Worst::of(&call)));
        let tell_cost = call.preferences.tell_cost;

        let reply = match self.inner.complete(cx, call).await {
            Ok(reply) => reply,
            Err(error) => return Err(failed(around, error)),
        };
        if let Kind::Model { route, .. } = &mut around.event.kind {
            *route = Some(reply.route.clone());
        }
        around.spent().target = Some(reply.route.target.clone());
        around.spent().reached = !reply.route.cached;
        around.take_hold(reply.hold);
        Ok(Completion {
            turn: admission.turn,
            conversation: admission.conversation,
            route: reply.route,
            dialect: reply.dialect,
            streaming: reply.streaming,
            strip_usage: reply.usage_asked && !tell_cost,
            headers: reply.headers,
            frames: Answer::new(around, admission.watch, reply.frames, tell_cost).into_stream(),
        })
    }

    /// The models this principal may call.
    pub fn models(&self, cx: &Cx) -> Vec<Model> {
        let mut models = self.inner.models();
        let authorizer = &self.policy.authorizer;
        models.retain(|model| authorizer.authorize(cx, Action::Model(&model.id)).is_allowed());
        models
    }
}

/// For whom an answer may be given again: the same principal by the same key, told no worse and
/// no better things. `None` where that cannot be said: nothing is cached then.
fn cache_scope(cx: &Cx, label: &Label) -> Option<Arc<str>> {
    let Principal { id, key, .. } = &*cx.principal;
    serde_json::to_string(&(id, key, label)).ok().map(Arc::from)
}

fn failed(mut around: Around, error: CallError) -> CallError {
    around.fail(&error);
    error
}

/// The record of a model call before anything is known of it.
fn asked(operation: Operation, model: &str) -> Kind {
    Kind::Model {
        operation,
        model: model.to_owned(),
        route: None,
        usage: None,
        billed: None,
        settled: None,
        hidden: vec![],
        calls: vec![],
    }
}
