//! The broker: one catalogue over many servers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{
    Audience, BoxFuture, CallError, Clock, Code, Credential, Credentials, Cx, Gap, Names, Pattern,
    Principal, RequestId, Scope, ToolCall, ToolList, ToolName, ToolReply, ToolSpec, Tools, TurnId,
};
use futures_util::future::join_all;
use serde_json::value::RawValue;

use crate::edit;
use crate::names::{Index, Place, Table};
use crate::shelf::{Member, Shelved, Stock};
use crate::upstream::pages::{self, Catalogue};
use crate::upstream::{self, Ask, Failure, Whose};
use crate::{Builder, Server, ServerKind, ServerStatus};

/// How long closing waits for calls that are running.
const DRAIN: Duration = Duration::from_secs(5);

/// Many MCP servers as one catalogue. Cheap to clone; all clones are the same broker.
///
/// Implements [`Tools`] (list, resolve, call) and [`Names`] (which names are the broker's).
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) by_name: HashMap<Arc<str>, usize>,
    pub(crate) profiles: HashMap<Arc<str>, Profile>,
    pub(crate) index: ArcSwap<Index>,
    pub(crate) tables: Mutex<Vec<Table>>,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) list_wait: Duration,
}

/// A part of the catalogue. An empty list of patterns is no limit.
pub(crate) struct Profile {
    pub(crate) servers: Vec<usize>,
    pub(crate) tools: Vec<Pattern>,
}

/// What a scope means.
struct View<'a> {
    servers: Vec<usize>,
    tools: &'a [Pattern],
    /// The one server whose own names are shown.
    bare: Option<usize>,
}

impl View<'_> {
    fn has(&self, place: &Place) -> bool {
        self.servers.contains(&place.server) && self.shows(place.name.as_str())
    }

    fn shows(&self, name: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|pattern| pattern.matches(name))
    }
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

    /// Connects to all servers and reads their lists, so that names are known before the first
    /// client comes. Returns when all have answered or the list wait is over; slow servers go on
    /// in the background. Servers that fail are tried again when they are needed.
    pub async fn start(&self) {
        // Asked on nobody's behalf: where a server wants a person's credential there is none yet.
        let cx = Cx {
            turn: TurnId::from_bytes([0; 16]),
            request: RequestId::from_bytes([0; 16]),
            principal: Arc::new(Principal::service("doorward")),
            agent: None,
            conversation_hint: None,
            deadline: None,
            trace: None,
        };
        let all = self.inner.members.iter().map(|member| self.inner.listing(&cx, member));
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
        let member_status = |member: &Arc<Member>| {
            let condition = member.link.condition();
            ServerStatus {
                name: member.name.clone(),
                state: condition.state,
                era: condition.era,
                tools: member.count(),
                restarts: condition.restarts,
                in_flight: member
                    .server
                    .concurrency
                    .saturating_sub(member.room.available_permits()),
                last_failure: condition.last_failure,
            }
        };
        self.inner.members.iter().map(member_status).collect()
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
}

impl Names for Broker {
    fn brokered(&self, declared: &str) -> Option<ToolName> {
        self.inner.index.load().behind(declared)
    }
}

impl Inner {
    /// What a scope means; `None` where nothing has its name.
    fn view(&self, scope: &Scope) -> Option<View<'_>> {
        let name = match scope {
            Scope::All => {
                let servers = (0..self.members.len()).collect();
                return Some(View { servers, tools: &[], bare: None });
            }
            Scope::Profile(name) => name,
        };
        if let Some(&at) = self.by_name.get(name) {
            let bare = (!self.members[at].server.prefix).then_some(at);
            return Some(View { servers: vec![at], tools: &[], bare });
        }
        let profile = self.profiles.get(name)?;
        Some(View { servers: profile.servers.clone(), tools: &profile.tools, bare: None })
    }

    async fn list(self: &Arc<Self>, cx: &Cx, scope: &Scope) -> Result<ToolList, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let asked = view.servers.iter().map(|&at| self.listing(cx, &self.members[at]));
        let stocks = join_all(asked).await;
        let mut list = ToolList::default();
        for (&at, stock) in view.servers.iter().zip(stocks) {
            let member = &self.members[at];
            match stock {
                Ok(stock) => {
                    let bare = view.bare == Some(at);
                    let shown = stock.iter().filter(|tool| view.shows(tool.spec.name.as_str()));
                    list.tools.extend(shown.map(|tool| match &tool.bare {
                        Some(bare_spec) if bare => bare_spec.clone(),
                        _ => tool.spec.clone(),
                    }));
                }
                Err(error) if member.server.required => {
                    let reason = format!("server `{}` is required: {error}", member.name);
                    return Err(CallError::new(error.code, reason));
                }
                Err(error) => {
                    let reason = error.public.clone().into_owned();
                    list.gaps.push(Gap { server: member.name.clone(), reason });
                }
            }
        }
        // By name: the same in every replica, whatever order the servers answer or list in.
        list.tools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    async fn resolve(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        name: &str,
    ) -> Result<ToolName, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        if let Some(known) = self.known(&view, name) {
            return Ok(known);
        }
        // Perhaps its server has not been listed yet, or has a new tool.
        let server = view.bare.or_else(|| self.prefix_of(name));
        if let Some(at) = server.filter(|at| view.servers.contains(at)) {
            self.listing(cx, &self.members[at]).await.ok();
        }
        self.known(&view, name).ok_or_else(|| unknown(name))
    }

    fn known(&self, view: &View<'_>, name: &str) -> Option<ToolName> {
        let index = self.index.load();
        match view.bare {
            Some(at) => index.of_server(at, name).cloned(),
            None => index.place(name).filter(|place| view.has(place)).map(|p| p.name.clone()),
        }
    }

    /// The server that a federated name starts with. No server's name holds `__`.
    fn prefix_of(&self, name: &str) -> Option<usize> {
        let (server, _) = name.split_once("__")?;
        self.by_name.get(server).copied()
    }

    async fn call(self: &Arc<Self>, cx: &Cx, call: ToolCall) -> Result<ToolReply, CallError> {
        let place = self.place(cx, &call.tool).await?;
        let member = &self.members[place.server];
        let left = cx.deadline.map(|end| end.saturating_duration_since(self.clock.instant()));
        let limit = left.unwrap_or(member.server.timeout).min(member.server.timeout);
        let run = async {
            let _room =
                member.room.acquire().await.map_err(|_| Failure::Closed.told(&member.name))?;
            let credential = self.credential(cx, member).await?;
            #[cfg(feature = "http")]
            let mirrors = member.mirrors(&place.own);
            let whose = Whose { principal: cx.principal.id.clone(), credential };
            let params = called(&place.own, &call.arguments)?;
            let ask = Ask {
                name: Some(&place.own),
                params: Some(&params),
                meta: call.meta.as_deref(),
                trace: cx.trace.as_ref(),
                exchange: Some(&call.exchange),
                #[cfg(feature = "http")]
                mirrors: &mirrors,
                ..Ask::new("tools/call", &whose)
            };
            match member.link.ask(ask).await.and_then(|answer| upstream::neutral(answer.result)) {
                Ok(reply) => Ok(reply),
                // In the server's words, so a labelled result and not an error of ours.
                Err(Failure::Rpc(error)) => Ok(ToolReply::error(&error.message)),
                Err(failure) => Err(failure.told(&member.name)),
            }
        };
        match tokio::time::timeout(limit, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Slow.told(&member.name)),
        }
    }

    async fn place(self: &Arc<Self>, cx: &Cx, tool: &ToolName) -> Result<Place, CallError> {
        let known = || self.index.load().place(tool.as_str()).cloned();
        if let Some(place) = known() {
            return Ok(place);
        }
        if let Some(at) = self.prefix_of(tool.as_str()) {
            self.listing(cx, &self.members[at]).await.ok();
        }
        known().ok_or_else(|| unknown(tool.as_str()))
    }

    async fn credential(&self, cx: &Cx, member: &Member) -> Result<Option<Credential>, CallError> {
        match (&self.credentials, &member.server.kind) {
            (Some(credentials), ServerKind::Http { .. }) => {
                credentials.credential(cx, Audience::Server(&member.name)).await
            }
            _ => Ok(None),
        }
    }

    /// A server's tools in the eyes of the caller: from the shelf while fresh, else read anew.
    /// Reading goes on in the background when it takes longer than a list may wait.
    async fn listing(self: &Arc<Self>, cx: &Cx, member: &Arc<Member>) -> Stock {
        let credential = self.credential(cx, member).await.map_err(Arc::new)?;
        let own = member.shelf(credential.as_ref());
        if let Some(stock) = own.fresh(self.clock.instant(), member.change()) {
            return stock;
        }
        let (inner, trace) = (self.clone(), cx.trace.clone());
        let principal = cx.principal.id.clone();
        let name = member.name.clone();
        let member = member.clone();
        let read = tokio::spawn(async move {
            let _gate = own.gate.lock().await;
            if let Some(stock) = own.fresh(inner.clock.instant(), member.change()) {
                return stock;
            }
            let whose = Whose { principal, credential };
            let ask = Ask { trace: trace.as_ref(), ..Ask::new("tools/list", &whose) };
            // What changes while we read is read the next time.
            let change = member.change();
            let limit = member.server.connect_timeout.saturating_add(member.server.timeout);
            let read = tokio::time::timeout(limit, pages::read(&*member.link, ask)).await;
            let catalogue = read.unwrap_or(Err(Failure::Slow));
            let ttl = catalogue.as_ref().ok().and_then(|catalogue| catalogue.ttl);
            let ttl = ttl.unwrap_or(Duration::MAX).min(member.server.list_ttl);
            let stock = match catalogue {
                Ok(catalogue) => Ok(inner.shelve(&member, catalogue)),
                Err(failure) => Err(Arc::new(failure.told(&member.name))),
            };
            own.put(stock.clone(), inner.clock.instant(), ttl, change);
            stock
        });
        match tokio::time::timeout(self.list_wait, read).await {
            Ok(Ok(stock)) => stock,
            Ok(Err(panicked)) => Err(Arc::new(CallError::internal(panicked))),
            Err(_) => Err(Arc::new(Failure::Slow.told(&name))),
        }
    }

    /// Names a server's tools and writes their definitions under those names.
    #[cfg_attr(not(feature = "http"), expect(unused_mut, reason = "only HTTP leaves tools out"))]
    fn shelve(&self, member: &Member, mut catalogue: Catalogue) -> Arc<[Shelved]> {
        #[cfg(feature = "http")]
        member.accept(&mut catalogue.tools);
        let Some(&at) = self.by_name.get(&member.name) else { return Arc::default() };
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables[at].learn(catalogue.tools.iter().map(|tool| &*tool.own)) {
            let servers = self.members.iter().map(|member| &member.server);
            let bare = servers.map(|server: &Server| !server.prefix);
            self.index.store(Arc::new(Index::of(tables.iter().zip(bare))));
        }
        let tools = catalogue.tools.into_iter().filter_map(|tool| {
            let name = tables[at].federated(&tool.own)?.clone();
            let renamed = edit::replace(tool.json.get(), "name", &edit::quote(name.as_str()))?;
            let definition = RawValue::from_string(renamed).ok()?;
            let server = member.name.clone();
            let bare = (!member.server.prefix).then(|| {
                let (name, server) = (name.clone(), server.clone());
                Arc::new(ToolSpec { name, server, definition: tool.json })
            });
            Some(Shelved { spec: Arc::new(ToolSpec { name, server, definition }), bare })
        });
        tools.collect()
    }
}

/// The parameters of a tool call.
fn called(own: &str, arguments: &RawValue) -> Result<Box<RawValue>, CallError> {
    let params = [r#"{"name":"#, &edit::quote(own), r#","arguments":"#, arguments.get(), "}"];
    RawValue::from_string(params.concat()).map_err(CallError::internal)
}

fn nowhere(scope: &Scope) -> CallError {
    let name = if let Scope::Profile(name) = scope { name } else { "" };
    CallError::new(Code::NotFound, format!("no server or profile `{name}`"))
}

fn unknown(name: &str) -> CallError {
    let shown: String = name.chars().take(128).collect();
    CallError::new(Code::NotFound, format!("no tool `{shown}`"))
}
