//! The two planes behind the policy. The whole way of a call can be read here.

mod beside;

use std::fmt;
use std::sync::Arc;

use doorward_core::{
    Action, Ask, BoxFuture, BoxStream, CallError, Code, ConversationId, Cx, Decision, Digest,
    Frame, Kind, Label, Model, ModelCall, Models, Operation, Principal, Route, Scope, ToolCall,
    ToolList, ToolName, ToolReply, Tools, TurnId,
};

use crate::answer::Answer;
use crate::around::{Around, Policy, RecordTools, by};
use crate::estimate::Worst;
use crate::own::DENIED;

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

impl Tools for Enforced<dyn Tools> {
    /// What the principal may call, and nothing else: the same question decides both.
    fn list<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        Box::pin(async move {
            let mut list = self.inner.list(cx, scope).await?;
            let authorizer = &self.policy.authorizer;
            list.tools.retain(|t| authorizer.authorize(cx, Action::Tool(&t.name)).is_allowed());
            Ok(list)
        })
    }

    fn resolve<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        self.inner.resolve(cx, scope, name)
    }

    /// One tool call: room for the record → may they → grant and guard → limits → record →
    /// call → label the result → settle → record.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            let kind = Kind::Tool {
                tool: call.tool.clone(),
                arguments: Digest::from_bytes([0; 32]),
                cause: None,
                grant: None,
                result: None,
            };
            let mut around = Around::open(&self.policy, cx, kind).await?;
            // Why a call was refused, anyone may hear whose call it was.
            let own = call.tool.as_str() == DENIED;
            if !own && around.authorise(cx, Action::Tool(&call.tool)).is_err() {
                // What cannot be seen is not there: the answer does not tell the two apart.
                return Err(CallError::new(Code::NotFound, format!("unknown tool: {}", call.tool)));
            }

            let verdict = match self.policy.guard.judge(cx, &call).await {
                Ok(verdict) => verdict,
                Err(error) => return Err(failed(around, error)),
            };
            note_verdict(&mut around, &verdict);
            if !verdict.decision.is_allowed() {
                // The refusal is our own text: filed, so that it taints nobody who reads it.
                let refusal = refusal(&verdict.decision);
                if let Err(error) = self.policy.guard.file(cx, &call, &verdict, &refusal).await {
                    return Err(failed(around, error));
                }
                around.deny(verdict.decision);
                return Ok(refusal);
            }
            around.event.decision = verdict.decision.clone();

            around.reserve(cx, Ask::Tool(&call.tool)).await?;
            if self.policy.record_tools == RecordTools::Before {
                around.start().await?;
            }
            around.spent().reached = true;
            let reply = match self.inner.call(cx, call.clone()).await {
                Ok(reply) => reply,
                Err(error) => return Err(failed(around, error)),
            };
            match self.policy.guard.file(cx, &call, &verdict, &reply).await {
                Ok(label) => note_result(&mut around, label),
                Err(error) => return Err(failed(around, error)),
            }
            let receipt = around.complete();
            if let (RecordTools::After, Some(receipt)) = (self.policy.record_tools, receipt) {
                by(cx.deadline, receipt).await.map_err(CallError::internal)?;
            }
            Ok(reply)
        })
    }
}

fn note_verdict(around: &mut Around, verdict: &doorward_core::Verdict) {
    let event = &mut around.event;
    event.turn = verdict.turn.unwrap_or(event.turn);
    event.conversation = verdict.conversation;
    event.label = Some(verdict.label.clone());
    if let Kind::Tool { arguments, cause, grant, .. } = &mut event.kind {
        *arguments = verdict.arguments;
        *cause = verdict.cause;
        *grant = verdict.grant;
    }
}

fn note_result(around: &mut Around, label: Label) {
    if let Kind::Tool { result, .. } = &mut around.event.kind {
        *result = Some(label);
    }
}

/// A refusal told as a tool result, so that the turn goes on.
fn refusal(decision: &Decision) -> ToolReply {
    let mut text = format!("Refused by policy ({}): {}", decision.rule, decision.reason);
    for remedy in &decision.remedies {
        text.push_str("\n- ");
        text.push_str(remedy);
    }
    ToolReply::error(&text)
}
