//! The broker: one catalogue over many servers.

mod calls;
pub(crate) mod checks;
mod credential;
mod fetches;
mod listen;
mod lists;
mod offers;
mod outcome;
mod patience;
mod pins;
mod reading;
mod view;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{
    BoxFuture, BoxStream, CallError, Clock, Code, Credentials, Cx, Fetch, FetchCall, Interest,
    ItemKind, ItemList, Names, News, Offers, Pattern, Principal, RequestId, Scope, ToolCall,
    ToolList, ToolName, ToolReply, Tools, TurnId,
};
use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::names::Register;
use crate::pin::PinStore;
#[cfg(feature = "redact")]
use crate::redact::Redaction;
#[cfg(feature = "schema")]
use crate::schema::SchemaCache;
use crate::shelf::Member;
use crate::upstream::pages::Kind;
use crate::uris::Slugs;
use crate::{Builder, ServerStatus};

/// How long closing waits for calls that are running.
const DRAIN: Duration = Duration::from_secs(5);

/// Many MCP servers as one catalogue. Cheap to clone; all clones are the same broker.
///
/// Implements [`Tools`] (tools, prompts, resources, tasks and news of them) and [`Names`] (which
/// names are the broker's).
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) members: Vec<Arc<Member>>,
    /// The servers by the order of their names in a list.
    pub(crate) order: Vec<usize>,
    pub(crate) by_name: HashMap<Arc<str>, usize>,
    pub(crate) slugs: Slugs,
    pub(crate) profiles: HashMap<Arc<str>, Profile>,
    pub(crate) tool_names: Register,
    pub(crate) prompt_names: Register,
    /// Changes of lists that the broker itself found: which server's, and of what.
    pub(crate) news: broadcast::Sender<(usize, Kind)>,
    pub(crate) pins: Arc<dyn PinStore>,
    /// Tools that meddle with another server's: which server's, its own name for it, and why.
    pub(crate) shadowed: ArcSwap<HashMap<(usize, Arc<str>), String>>,
    /// Whether lists changed since such tools were last looked for.
    pub(crate) unlooked: AtomicBool,
    #[cfg(feature = "schema")]
    pub(crate) schemas: SchemaCache,
    /// `None` where no server wants it.
    #[cfg(feature = "redact")]
    pub(crate) redaction: Option<Redaction>,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) list_wait: Duration,
}

/// A part of the catalogue. An empty list of patterns is no limit.
pub(crate) struct Profile {
    /// In the order of [`Inner::order`].
    pub(crate) servers: Vec<usize>,
    pub(crate) patterns: Vec<Pattern>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.inner.members.iter().map(|member| &member.name).collect();
        f.debug_struct("Broker").field("servers", &servers).finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts putting a broker together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Connects to all servers and reads their lists of tools, so that names are known before the
    /// first client comes. Returns when all have answered or the list wait is over; slow servers
    /// go on in the background. Servers that fail are tried again when they are needed.
    pub async fn start(&self) {
        let cx = nobody();
        let all = self.inner.members.iter().map(|member| self.inner.tools(&cx, member));
        join_all(all).await;
    }

    /// Lets running calls end (for up to 5 s), then stops all servers. Calls that come later are
    /// refused.
    pub async fn close(&self) {
        join_all(self.inner.members.iter().map(|member| async {
            let all = u32::try_from(member.server.concurrency).unwrap_or(u32::MAX);
            tokio::time::timeout(DRAIN, member.room.acquire_many(all)).await.ok();
            member.room.close();
            member.link.close().await;
        }))
        .await;
    }

    /// Where each server stands, in the order of the configuration.
    pub fn status(&self) -> Vec<ServerStatus> {
        self.inner.overshadow();
        let member_status = |member: &Arc<Member>| {
            let condition = member.link.condition();
            let busy = member.server.concurrency.saturating_sub(member.room.available_permits());
            ServerStatus {
                name: member.name.clone(),
                state: condition.state,
                era: condition.era,
                tools: member.count(Kind::Tools),
                prompts: member.count(Kind::Items(ItemKind::Prompts)),
                resources: member.count(Kind::Items(ItemKind::Resources)),
                doubts: member.doubts(),
                restarts: condition.restarts,
                connections: condition.connections,
                in_flight: busy,
                last_failure: condition.last_failure,
            }
        };
        self.inner.members.iter().map(member_status).collect()
    }
}

/// Circumstances of what is asked on nobody's behalf: where a server wants a person's credential
/// there is none yet.
fn nobody() -> Cx {
    Cx {
        turn: TurnId::from_bytes([0; 16]),
        request: RequestId::from_bytes([0; 16]),
        principal: Arc::new(Principal::service("doorward")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

impl Tools for Broker {
    fn list<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        Box::pin(self.inner.list(cx, scope))
    }

    fn resolve<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        Box::pin(self.inner.resolve(cx, scope, name))
    }

    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(self.inner.call(cx, call))
    }

    fn offers<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        Box::pin(self.inner.offers(cx, scope))
    }

    fn items<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        Box::pin(self.inner.list_items(cx, scope, kind))
    }

    fn locate<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        fetch: Fetch,
        params: &'a RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        Box::pin(self.inner.locate(cx, scope, fetch, params))
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(self.inner.fetch(cx, scope, call))
    }

    fn listen<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        Box::pin(self.inner.listen(cx, scope, interest))
    }
}

impl Names for Broker {
    fn brokered(&self, declared: &str) -> Option<ToolName> {
        self.inner.tool_names.index().behind(declared)
    }
}

fn nowhere(scope: &Scope) -> CallError {
    let name = if let Scope::Profile(name) = scope { name } else { "" };
    CallError::new(Code::NotFound, format!("no server or profile `{name}`"))
}

/// That there is no such thing, by the name that the client wrote.
fn unknown(what: &str, name: &str) -> CallError {
    let shown: String = name.chars().take(128).collect();
    CallError::new(Code::NotFound, format!("no {what} `{shown}`"))
}

#[cfg(test)]
mod tests;
