//! Reading what servers list, once for all who have the same eyes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_core::{BoxFuture, CallError, Cx, Item, ItemKind, ToolName, ToolSpec, TraceContext};
use serde_json::value::RawValue;

use super::Inner;
use super::credential::Missed;
use super::pins::Judged;
use crate::edit;
use crate::rewrite::Of;
use crate::shelf::{
    ItemStock, Member, Put, Same, Shelf, Shelved, ShelvedItem, Shelves, Stock, ToolStock,
};
#[cfg(feature = "http")]
use crate::upstream::mirror::Mirror;
use crate::upstream::pages::{self, Catalogue, Definition, Kind};
use crate::upstream::{Ask, Failure, Hello, Whose};

/// What a reading brought.
struct Reading<T> {
    stock: Arc<T>,
    /// How long the server wants it kept.
    ttl: Option<Duration>,
    /// Whether it is the same for everybody.
    public: bool,
}

type Read<T> = BoxFuture<'static, Result<Reading<T>, Missed>>;

impl Inner {
    /// A server's tools in the eyes of the caller.
    pub(super) async fn tools(self: &Arc<Self>, cx: &Cx, member: &Arc<Member>) -> Stock<ToolStock> {
        let (inner, owner) = (self.clone(), member.clone());
        let read = move |whose: Whose, trace: Option<TraceContext>| -> Read<ToolStock> {
            let (inner, owner) = (inner.clone(), owner.clone());
            Box::pin(async move {
                let catalogue = read_all(&owner, &whose, trace.as_ref(), Kind::Tools).await?;
                let (ttl, public) = (catalogue.ttl, catalogue.public);
                let last = owner.shelves(whose.credential.as_ref()).tools.last();
                let fingerprint = inner.fingerprint(&owner, &catalogue.entries).await?;
                // The same list by the same pins: judged and named before.
                if let Some(stock) = last.filter(|stock| stock.fingerprint == fingerprint) {
                    return Ok(Reading { stock, ttl, public });
                }
                let judged = inner.judge(&owner, &catalogue.entries).await?;
                // Judging may have written pins.
                let fingerprint = inner.fingerprint(&owner, &catalogue.entries).await?;
                let stock = Arc::new(inner.shelve(&owner, catalogue, judged, fingerprint));
                Ok(Reading { stock, ttl, public })
            })
        };
        self.shelved(cx, member, Kind::Tools, |shelves| &shelves.tools, read).await
    }

    /// A server's prompts, resources or templates in the eyes of the caller.
    pub(super) async fn items(
        self: &Arc<Self>,
        cx: &Cx,
        member: &Arc<Member>,
        kind: ItemKind,
    ) -> Stock<ItemStock> {
        let (inner, owner) = (self.clone(), member.clone());
        let read = move |whose: Whose, trace: Option<TraceContext>| -> Read<ItemStock> {
            let (inner, owner) = (inner.clone(), owner.clone());
            Box::pin(async move {
                // One that says it has none is not asked.
                let has = owner.link.hello(&whose).await.map_or(true, |hello| offers(&hello, kind));
                let catalogue = if has {
                    read_all(&owner, &whose, trace.as_ref(), Kind::Items(kind)).await?
                } else {
                    Catalogue::default()
                };
                let (ttl, public) = (catalogue.ttl, catalogue.public);
                let stock = Arc::new(inner.shelve_items(&owner, catalogue, kind));
                Ok(Reading { stock, ttl, public })
            })
        };
        self.shelved(cx, member, Kind::Items(kind), move |shelves| shelves.items(kind), read).await
    }

    /// Who a server is. Asked once for all who show the same credential, so that a client that
    /// merely looks does not start a process of its own on every server.
    pub(super) async fn hello(self: &Arc<Self>, cx: &Cx, member: &Arc<Member>) -> Stock<Hello> {
        let owner = member.clone();
        let read = move |whose: Whose, _| -> Read<Hello> {
            let owner = owner.clone();
            Box::pin(async move {
                let stock = owner.link.hello(&whose).await?;
                Ok(Reading { stock, ttl: None, public: false })
            })
        };
        self.shelved(cx, member, Kind::Tools, |shelves| &shelves.hello, read).await
    }

    /// From the shelf while fresh, else read anew. Reading goes on in the background when it
    /// takes longer than a list may wait.
    async fn shelved<T: Same + Send + Sync + 'static>(
        self: &Arc<Self>,
        cx: &Cx,
        member: &Arc<Member>,
        kind: Kind,
        pick: impl Fn(&Shelves) -> &Shelf<T> + Send + Copy + 'static,
        read: impl Fn(Whose, Option<TraceContext>) -> Read<T> + Send + Sync + 'static,
    ) -> Stock<T> {
        let whose = self.whose(cx, member).await.map_err(Arc::new)?;
        let shelves = member.shelves(whose.credential.as_ref());
        let (now, change) = (self.clock.instant(), member.change(kind));
        if let Some(stock) = pick(&shelves).fresh(now, change) {
            return stock;
        }
        if let Some(stock @ Ok(_)) = pick(&member.public).fresh(now, change) {
            return stock;
        }
        // Who comes while it is being read waits no longer than who came first.
        let waited = now.saturating_duration_since(pick(&shelves).begin(now));
        let (inner, cx, owner) = (self.clone(), cx.clone(), member.clone());
        let task = tokio::spawn(async move {
            let place = pick(&shelves);
            let _gate = place.gate.lock().await;
            if let Some(stock) = place.fresh(inner.clock.instant(), owner.change(kind)) {
                return stock;
            }
            // What changes while we read is read the next time.
            let change = owner.change(kind);
            let limit = owner.server.connect_timeout.saturating_add(owner.server.timeout);
            let shown = Arc::new(Mutex::new(whose.credential.clone()));
            let refused = Arc::new(AtomicBool::new(false));
            let attempt = |whose: Whose| -> Read<T> {
                shown.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&whose.credential);
                let (reading, refused) = (read(whose, cx.trace.clone()), refused.clone());
                Box::pin(async move {
                    let outcome = reading.await;
                    refused.store(is_refused(&outcome), Ordering::Relaxed);
                    outcome
                })
            };
            let attempts = inner.with_credential(&cx, &owner, whose, attempt);
            let outcome = tokio::time::timeout(limit, attempts).await;
            let slow = |_| Err(Failure::Slow.told(&owner.name));
            let (stock, ttl, public) = match outcome.unwrap_or_else(slow) {
                Ok(Reading { stock, ttl, public }) => (Ok(stock), ttl, public),
                // That one was refused who showed nothing says nothing of the next: they may have a
                // page of their own to go to.
                Err(error) if refused.load(Ordering::Relaxed) => {
                    place.give_up();
                    return Err(Arc::new(error));
                }
                Err(error) => (Err(Arc::new(error)), None, false),
            };
            let ttl = ttl.unwrap_or(Duration::MAX).min(owner.server.list_ttl);
            let at = inner.clock.instant();
            if public {
                pick(&owner.public).put(stock.clone(), at, ttl, change);
            }
            // Seen with another credential's eyes than it was begun with: shown to nobody else.
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let eyes = owner.shelves(shown.as_ref());
            if !Arc::ptr_eq(&eyes, &shelves) {
                place.give_up();
            }
            let Put { differs, untold } = pick(&eyes).put(stock.clone(), at, ttl, change);
            if differs && kind == Kind::Tools {
                inner.unlooked.store(true, Ordering::Release);
            }
            if let (true, Some(&server)) = (untold, inner.by_name.get(&owner.name)) {
                // The server said nothing of it; whoever listens is told all the same.
                inner.news.send((server, kind)).ok();
            }
            stock
        });
        match tokio::time::timeout(self.list_wait.saturating_sub(waited), task).await {
            Ok(Ok(stock)) => stock,
            Ok(Err(panicked)) => Err(Arc::new(CallError::internal(panicked))),
            Err(_) => Err(Arc::new(Failure::Slow.told(&member.name))),
        }
    }

    /// Names a server's tools and writes their definitions under those names.
    fn shelve(
        &self,
        member: &Member,
        catalogue: Catalogue,
        judged: Judged,
        fingerprint: [u8; 32],
    ) -> ToolStock {
        let Judged { held, vouched, .. } = judged;
        let entries = catalogue.entries;
        let names = self.names_of(member, Kind::Tools, &entries);
        let tools = entries.into_iter().zip(names).filter_map(|(entry, name)| {
            #[cfg(feature = "http")]
            let mirrors = mirrors(member, &entry)?;
            let name = name?;
            if held.contains_key(entry.own.as_str()) {
                return None;
            }
            let vouched = vouched.iter().any(|own| **own == *entry.own);
            let renamed = edit::replace(entry.json.get(), "name", &edit::quote(name.as_str()))?;
            let renamed = RawValue::from_string(renamed).ok()?;
            let definition = member.lettering.inscribe(renamed, Of::Definition);
            let server = member.name.clone();
            let bare = (!member.server.prefix).then(|| {
                let (name, server) = (name.clone(), server.clone());
                Arc::new(ToolSpec { name, server, definition: entry.json })
            });
            let spec = Arc::new(ToolSpec { name, server, definition });
            let shelved = Shelved {
                own: entry.own.into(),
                spec,
                bare,
                vouched,
                #[cfg(feature = "schema")]
                checks: Arc::default(),
                #[cfg(feature = "http")]
                mirrors,
            };
            Some(shelved)
        });
        ToolStock::new(tools.collect(), held, fingerprint)
    }

    fn shelve_items(&self, member: &Member, catalogue: Catalogue, kind: ItemKind) -> ItemStock {
        let entries = catalogue.entries;
        let names = match kind {
            ItemKind::Prompts => self.names_of(member, Kind::Items(kind), &entries),
            ItemKind::Resources | ItemKind::Templates => vec![None; entries.len()],
        };
        let items = entries.into_iter().zip(names).filter_map(|(entry, name)| {
            let (key, definition): (Arc<str>, _) = match kind {
                ItemKind::Prompts => {
                    let key = name?;
                    let quoted = edit::quote(key.as_str());
                    let renamed = edit::replace(entry.json.get(), "name", &quoted)?;
                    let renamed = RawValue::from_string(renamed).ok()?;
                    let renamed = member.lettering.inscribe(renamed, Of::Definition);
                    (key.as_str().into(), renamed)
                }
                ItemKind::Resources | ItemKind::Templates => {
                    let of = if kind == ItemKind::Resources { Of::Named } else { Of::Template };
                    let key = member.lettering.uri(&entry.own).into();
                    (key, member.lettering.inscribe(entry.json.clone(), of))
                }
            };
            let server = member.name.clone();
            let bare = (!member.server.prefix).then(|| {
                let (server, key) = (server.clone(), entry.own.as_str().into());
                Arc::new(Item { server, key, definition: entry.json })
            });
            Some(ShelvedItem { item: Arc::new(Item { server, key, definition }), bare })
        });
        let mut items: Vec<_> = items.collect();
        // The same in every replica, whatever order the server lists in.
        items.sort_by(|a, b| a.item.key.cmp(&b.item.key));
        ItemStock { items }
    }

    /// The federated names of a server's tools or prompts, in their order.
    fn names_of(&self, member: &Member, kind: Kind, all: &[Definition]) -> Vec<Option<ToolName>> {
        let register = if kind == Kind::Tools { &self.tool_names } else { &self.prompt_names };
        let at = self.by_name.get(&member.name).copied().unwrap_or(usize::MAX);
        register.learn(at, all.iter().map(|entry| entry.own.as_str()))
    }
}

async fn read_all(
    member: &Member,
    whose: &Whose,
    trace: Option<&TraceContext>,
    kind: Kind,
) -> Result<Catalogue, Failure> {
    let ask = Ask { trace, ..Ask::new(kind.method(), whose) };
    pages::read(&*member.link, ask, kind).await
}

/// Whether a server wants another credential.
fn is_refused<T>(outcome: &Result<T, Missed>) -> bool {
    #[cfg(feature = "http")]
    return matches!(outcome, Err(Missed::Failure(Failure::Refused { .. })));
    #[cfg(not(feature = "http"))]
    {
        let _ = outcome;
        false
    }
}

/// Whether a server says that it has things of this kind.
fn offers(hello: &Hello, kind: ItemKind) -> bool {
    let capability = match kind {
        ItemKind::Prompts => "prompts",
        ItemKind::Resources | ItemKind::Templates => "resources",
    };
    edit::member(hello.capabilities.get(), capability).is_some_and(|value| value != "null")
}

/// Which arguments of a tool go into headers too; `None` where its definition is wrong about that
/// and the tool must not be used over HTTP.
#[cfg(feature = "http")]
fn mirrors(member: &Member, tool: &Definition) -> Option<Arc<[Mirror]>> {
    if matches!(member.server.kind, crate::ServerKind::Stdio { .. }) {
        return Some(Arc::default());
    }
    let Ok(mirrors) = Mirror::all(&tool.json) else {
        tracing::warn!(server = %member.name, tool = tool.own, "tool with a wrong `x-mcp-header` is left out");
        return None;
    };
    Some(mirrors.into())
}
