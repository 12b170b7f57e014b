//! The tool plane behind the policy.

use std::sync::Arc;

use doorward_core::{
    Action, Ask, BoxFuture, BoxStream, CallError, Code, Cx, Decision, Digest, Fetch, FetchCall,
    Interest, ItemKind, ItemList, Kind, Label, News, Offers, RpcFault, SEARCH_TOOLS, Scope,
    ToolCall, ToolList, ToolName, ToolReply, Tools,
};
use doorward_mcp_broker::Witness;
use serde_json::value::RawValue;

use super::{Enforced, failed};
use crate::around::{Around, RecordTools, by};
use crate::own::DENIED;

/// JSON-RPC 2.0 §5.1.
const INVALID_PARAMS: i64 = -32602;

/// What became of a call.
enum Judged {
    Ran(ToolReply),
    Refused(Decision),
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

    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            let judged = call.clone();
            let run = |arguments| self.inner.call(cx, ToolCall { arguments, ..call });
            match self.judged(cx, judged, run).await? {
                Judged::Ran(reply) => Ok(reply),
                Judged::Refused(decision) => Ok(ToolReply::error(&words(&decision))),
            }
        })
    }

    fn offers<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        self.inner.offers(cx, scope)
    }

    /// What the principal may ask for, and nothing else.
    fn items<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        Box::pin(async move {
            let mut list = self.inner.items(cx, scope, kind).await?;
            list.items.retain(|item| self.may_fetch(cx, kind.fetch(), &item.server));
            Ok(list)
        })
    }

    fn locate<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        fetch: Fetch,
        params: &'a RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        self.inner.locate(cx, scope, fetch, params)
    }

    /// The same steps as around a tool call, under a name of its own
    /// ([`Fetch::tool_name`]).
    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            let judged = ToolCall {
                meta: call.meta.clone(),
                exchange: call.exchange.clone(),
                ..ToolCall::new(call.fetch.tool_name(&call.server), call.params.clone())
            };
            let run = |params| self.inner.fetch(cx, scope, FetchCall { params, ..call });
            match self.judged(cx, judged, run).await? {
                Judged::Ran(reply) => Ok(reply),
                // Only tools' results have words for a refusal.
                Judged::Refused(decision) => {
                    Ok(ToolReply::fault(&RpcFault::new(INVALID_PARAMS, words(&decision))))
                }
            }
        })
    }

    /// News of what the principal may ask for. That a list changed tells nothing of what is on it.
    fn listen<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        mut interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        Box::pin(async move {
            let mut updates = Vec::with_capacity(interest.updates.len());
            for uri in std::mem::take(&mut interest.updates) {
                let params = serde_json::value::to_raw_value(&serde_json::json!({ "uri": uri }));
                let params = params.map_err(CallError::internal)?;
                let server = self.inner.locate(cx, scope, Fetch::Resource, &params).await;
                if server.is_ok_and(|server| self.may_fetch(cx, Fetch::Resource, &server)) {
                    updates.push(uri);
                }
            }
            interest.updates = updates;
            self.inner.listen(cx, scope, interest).await
        })
    }
}

/// A search is a call like any other, but that its result was made before the policy.
impl Witness for Enforced<dyn Tools> {
    fn found<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
        reply: ToolReply,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            let run = |_| -> BoxFuture<'a, _> { Box::pin(std::future::ready(Ok(reply))) };
            match self.judged(cx, call, run).await? {
                Judged::Ran(reply) => Ok(reply),
                Judged::Refused(decision) => Ok(ToolReply::error(&words(&decision))),
            }
        })
    }
}

impl Enforced<dyn Tools> {
    fn may_fetch(&self, cx: &Cx, fetch: Fetch, server: &str) -> bool {
        let name = fetch.tool_name(server);
        self.policy.authorizer.authorize(cx, Action::Tool(&name)).is_allowed()
    }

    /// One call: room for the record → may they → grant and guard → may they with these arguments →
    /// screen the arguments → limits → record → call → screen and label the result → settle →
    /// record.
    async fn judged<'a>(
        &'a self,
        cx: &'a Cx,
        mut call: ToolCall,
        run: impl FnOnce(Box<RawValue>) -> BoxFuture<'a, Result<ToolReply, CallError>> + Send,
    ) -> Result<Judged, CallError> {
        let kind = Kind::Tool {
            tool: call.tool.clone(),
            arguments: Digest::from_bytes([0; 32]),
            cause: None,
            grant: None,
            result: None,
        };
        let mut around = Around::open(&self.policy, cx, kind).await?;
        // Why a call was refused, anyone may hear whose call it was; and what they may call.
        let own = matches!(call.tool.as_str(), DENIED | SEARCH_TOOLS);
        if !own && around.authorise(cx, Action::Tool(&call.tool)).is_err() {
            // What cannot be seen is not there: the answer does not tell the two apart.
            return Err(CallError::new(Code::NotFound, format!("unknown tool: {}", call.tool)));
        }

        let mut verdict = match self.policy.guard.judge(cx, &call).await {
            Ok(verdict) => verdict,
            Err(error) => return Err(failed(around, error)),
        };
        if verdict.decision.is_allowed() && !own {
            // Nobody knows what led to a call without a decision: a stranger may have.
            let stranger;
            let label = if verdict.cause.is_some() {
                &verdict.label
            } else {
                stranger = Label::untrusted("a call without a known decision");
                &stranger
            };
            let arguments = &*call.arguments;
            let action = Action::Call { tool: &call.tool, arguments, label };
            let decision = self.policy.authorizer.authorize(cx, action);
            if !decision.is_allowed() {
                verdict.decision = decision;
            }
        }
        // What was judged is the call as its client knows it; what runs is what may leave.
        let written = call.clone();
        if verdict.decision.is_allowed() {
            match self.policy.guard.screen_arguments(cx, &mut call, &mut verdict).await {
                Ok(found) => around.event.checks = found,
                Err(error) => return Err(failed(around, error)),
            }
        }
        note_verdict(&mut around, &verdict);
        if !verdict.decision.is_allowed() {
            // The refusal is our own text: filed, so that it taints nobody who reads it.
            let refusal = ToolReply::error(&words(&verdict.decision));
            if let Err(error) = self.policy.guard.file(cx, &written, &verdict, &refusal).await {
                return Err(failed(around, error));
            }
            around.deny(verdict.decision.clone());
            return Ok(Judged::Refused(verdict.decision));
        }
        around.event.decision = verdict.decision.clone();

        around.reserve(cx, Ask::Tool(&call.tool)).await?;
        if self.policy.record_tools == RecordTools::Before {
            around.start().await?;
        }
        around.spent().reached = true;
        let mut reply = match run(call.arguments).await {
            Ok(reply) => reply,
            Err(error) => return Err(failed(around, error)),
        };
        let found = match self.policy.guard.screen_result(cx, &written, &mut reply).await {
            Ok(found) => found,
            Err(error) => return Err(failed(around, error)),
        };
        let withheld = found.iter().find(|decision| !decision.is_allowed()).cloned();
        around.event.checks.extend(found);
        if let Some(decision) = &withheld {
            reply = ToolReply::error(&words(decision));
        }
        match self.policy.guard.file(cx, &written, &verdict, &reply).await {
            Ok(label) => note_result(&mut around, label),
            Err(error) => return Err(failed(around, error)),
        }
        let receipt = around.complete();
        if let (RecordTools::After, Some(receipt)) = (self.policy.record_tools, receipt) {
            by(cx.deadline, receipt).await.map_err(CallError::internal)?;
        }
        Ok(match withheld {
            None => Judged::Ran(reply),
            Some(decision) => Judged::Refused(decision),
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

/// A refusal in words, so that the turn goes on.
fn words(decision: &Decision) -> String {
    let mut text = format!("Refused by policy ({}): {}", decision.rule, decision.reason);
    for remedy in &decision.remedies {
        text.push_str("\n- ");
        text.push_str(remedy);
    }
    text
}
