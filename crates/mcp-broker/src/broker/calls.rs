//! Calls: each finds its server, runs in its caller's name, and ends in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_core::{
    BoxFuture, CallError, Code, Cx, Exchange, Scope, Stage, ToolCall, ToolName, ToolReply,
};
use serde_json::value::RawValue;
use tokio::sync::SemaphorePermit;

use super::credential::Missed;
use super::patience::Patience;
use super::{Inner, outcome, pins, unknown};
use crate::edit;
use crate::names::Place;
use crate::rewrite::Of;
use crate::shelf::{Age, Member, Shelved, Shelves};
#[cfg(feature = "http")]
use crate::upstream::mirror::Mirror;
use crate::upstream::pages::Kind;
use crate::upstream::{Ask, Failure, Whose};

/// How many calls may wait for room on one server.
const MOST_WAITING: usize = 4096;

/// A request on its way to a server, in the server's own names.
pub(super) struct Errand<'a> {
    pub(super) method: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) params: &'a RawValue,
    pub(super) meta: Option<&'a RawValue>,
    #[cfg(feature = "http")]
    pub(super) mirrors: &'a [Mirror],
}

impl Inner {
    pub(super) async fn call(
        self: &Arc<Self>,
        cx: &Cx,
        call: ToolCall,
    ) -> Result<ToolReply, CallError> {
        let place = self.place(cx, &call.tool).await?;
        let member = &self.members[place.server];
        let run = async |whose: Whose, exchange: &Exchange| {
            // Whatever credential is shown in the end, it is this one's list that was seen.
            let shelves = &*member.shelves(whose.credential.as_ref());
            let attempt = |whose: Whose| -> BoxFuture<'_, Result<ToolReply, Missed>> {
                let (place, call) = (&place, &call);
                Box::pin(async move {
                    // First the connection: one that has to be started again may lead to other
                    // tools.
                    member.link.hello(&whose).await?;
                    let tool = self.tool(cx, member, shelves, place).await?;
                    self.call_as(cx, member, &whose, exchange, &tool, call).await
                })
            };
            self.with_credential(cx, member, whose, attempt).await
        };
        let reply = self.attend(cx, member, call.exchange.clone(), run).await?;
        Ok(self.inscribed(member, place.server, &call.scope, reply, Of::Call))
    }

    /// One attempt at a call, in one name.
    async fn call_as(
        &self,
        cx: &Cx,
        member: &Member,
        whose: &Whose,
        exchange: &Exchange,
        tool: &Shelved,
        call: &ToolCall,
    ) -> Result<ToolReply, Missed> {
        #[cfg(feature = "schema")]
        if let Some(refusal) = self.unfit(member, tool, call) {
            return Ok(refusal);
        }
        let params = called(&tool.own, &call.arguments)?;
        let errand = Errand {
            method: "tools/call",
            name: Some(&tool.own),
            params: &params,
            meta: call.meta.as_deref(),
            #[cfg(feature = "http")]
            mirrors: &tool.mirrors,
        };
        match self.ask(cx, member, whose, exchange, &errand).await {
            Err(Failure::TooLarge(limit)) => Ok(ToolReply::error(&outcome::too_large(limit))),
            #[cfg(feature = "schema")]
            reply => Ok(self.fitted(member, tool, reply?)),
            #[cfg(not(feature = "schema"))]
            reply => Ok(reply?),
        }
    }

    async fn place(self: &Arc<Self>, cx: &Cx, tool: &ToolName) -> Result<Place, CallError> {
        let known = || self.tool_names.index().place(tool.as_str()).cloned();
        if let Some(place) = known() {
            return Ok(place);
        }
        if let Some(at) = self.prefix_of(tool.as_str()) {
            // What it brings, or why it brings nothing, is looked at next.
            self.tools(cx, &self.members[at]).await.map_err(|error| again(&error))?;
        }
        known().ok_or_else(|| unknown("tool", tool.as_str()))
    }

    /// The tool as the caller sees it: listed first where it never was, where the server said that
    /// its tools changed, or where that was long ago. Where a list cannot be read again, what was
    /// read last counts.
    async fn tool(
        self: &Arc<Self>,
        cx: &Cx,
        member: &Arc<Member>,
        shelves: &Shelves,
        place: &Place,
    ) -> Result<Shelved, CallError> {
        let change = member.change(Kind::Tools);
        let age = shelves.tools.age(self.clock.instant(), change);
        let (mut read, mut failed) = (None, None);
        match age {
            Age::Since(age) if age < member.server.list_ttl => {}
            // With another credential than it was begun with, it lies on another shelf.
            Age::Unread | Age::Outdated | Age::Since(_) => match self.tools(cx, member).await {
                Ok(stock) => read = Some(stock),
                Err(error) => failed = Some(error),
            },
        }
        let stock = read.or_else(|| shelves.tools.last()).or_else(|| member.public.tools.last());
        match (stock, failed) {
            (Some(stock), _) => {
                self.overshadow();
                if let Some(reason) = self.held(place.server, &stock, &place.own) {
                    return Err(pins::refused(place.name.as_str(), &reason));
                }
                let found = stock.tool(&place.own).cloned();
                found.ok_or_else(|| unknown("tool", place.name.as_str()))
            }
            (None, Some(error)) => Err(again(&error)),
            (None, None) => Err(unknown("tool", place.name.as_str())),
        }
    }

    /// Asks a server in somebody's name and reads the answer.
    pub(super) async fn ask(
        &self,
        cx: &Cx,
        member: &Member,
        whose: &Whose,
        exchange: &Exchange,
        errand: &Errand<'_>,
    ) -> Result<ToolReply, Failure> {
        let ask = Ask {
            name: errand.name,
            params: Some(errand.params),
            meta: errand.meta,
            trace: cx.trace.as_ref(),
            exchange: Some(exchange),
            #[cfg(feature = "http")]
            mirrors: errand.mirrors,
            ..Ask::new(errand.method, whose)
        };
        match member.link.ask(ask).await {
            Ok(answer) => outcome::read(answer.result, exchange),
            // In the server's words, so a labelled result and not an error of ours.
            Err(Failure::Rpc(error)) => Ok(outcome::fault(&error)),
            Err(failure) => Err(failure),
        }
    }

    /// Runs a request on a server: when there is room, in the caller's name, within its time.
    pub(super) async fn attend<F>(
        self: &Arc<Self>,
        cx: &Cx,
        member: &Arc<Member>,
        exchange: Exchange,
        run: F,
    ) -> Result<ToolReply, CallError>
    where
        F: AsyncFnOnce(Whose, &Exchange) -> Result<ToolReply, CallError>,
    {
        let patience = Patience::new();
        let exchange = patience.overhear(exchange);
        let left = cx.deadline.map(|end| end.saturating_duration_since(self.clock.instant()));
        let longest = left.unwrap_or(Duration::MAX).min(member.server.hard_timeout);
        let run = async {
            let _room = room(member).await?;
            let whose = self.whose(cx, member).await?;
            run(whose, &exchange).await
        };
        let done = patience.run(member.server.timeout, longest, run).await;
        let reply = done.unwrap_or_else(|_| Err(Failure::Slow.told(&member.name)))?;
        Ok(self.redacted(member, reply))
    }

    /// A reply in the names of the scope it goes to.
    pub(super) fn inscribed(
        &self,
        member: &Member,
        server: usize,
        scope: &Scope,
        reply: ToolReply,
        of: Of,
    ) -> ToolReply {
        if self.view(scope).is_some_and(|view| view.bare == Some(server)) {
            return reply;
        }
        let of = match reply.stage {
            Stage::Complete => of,
            Stage::Task => Of::Task,
            Stage::InputRequired | Stage::Fault => return reply,
        };
        ToolReply { result: member.lettering.inscribe(reply.result, of), ..reply }
    }
}

/// Room for one more call on a server. So many may wait for it and no more.
async fn room(member: &Member) -> Result<SemaphorePermit<'_>, CallError> {
    let closed = |_| Failure::Closed.told(&member.name);
    if let Ok(permit) = member.room.try_acquire() {
        return Ok(permit);
    }
    let _place = Waiting::new(&member.waiting).ok_or_else(|| {
        let text = format!("server `{}` has too many calls waiting", member.name);
        CallError::new(Code::Overloaded, text).with_retry_after(Duration::from_secs(1))
    })?;
    member.room.acquire().await.map_err(closed)
}

/// A place among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A failure told once more, to another who met it.
fn again(error: &CallError) -> CallError {
    let mut told = CallError::new(error.code, error.public.clone());
    told.rule.clone_from(&error.rule);
    told.consent.clone_from(&error.consent);
    match error.retry_after {
        Some(wait) => told.with_retry_after(wait),
        None => told,
    }
}

/// The parameters of a tool call.
fn called(own: &str, arguments: &RawValue) -> Result<Box<RawValue>, CallError> {
    let params = [r#"{"name":"#, &edit::quote(own), r#","arguments":"#, arguments.get(), "}"];
    RawValue::from_string(params.concat()).map_err(CallError::internal)
}
