//! News of a scope: what its servers tell by themselves, for one principal.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_core::{BoxStream, CallError, Cx, Interest, ItemKind, News, Scope};
use futures_util::StreamExt as _;
use futures_util::stream::{self, select_all};
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::view::View;
use super::{Inner, nowhere};
use crate::ServerKind;
use crate::rewrite::{self, Of};
use crate::shelf::Member;
use crate::upstream::pages::Kind;
use crate::upstream::{Rumour, Whose};
use crate::uris;

/// What came from one server.
#[derive(Clone)]
enum Heard {
    Rumour(Rumour),
    /// Too much came at once and some was lost.
    Missed,
}

/// Resources followed for one listener. Dropping it lets go of them.
struct Followed {
    member: Arc<Member>,
    whose: Whose,
    /// Own URIs, and what the client calls them.
    uris: HashMap<String, String>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (member, whose) = (self.member.clone(), self.whose.clone());
        let uris = std::mem::take(&mut self.uris);
        runtime.spawn(async move {
            for own in uris.into_keys() {
                member.link.follow(&whose, &own, false).await.ok();
            }
        });
    }
}

/// How one server's rumours become a listener's news.
struct Ear {
    followed: Followed,
    /// Own ids of tasks, and what the client calls them.
    tasks: HashMap<String, String>,
    interest: Interest,
    /// Whether the server's own names are shown.
    bare: bool,
}

impl Inner {
    pub(super) async fn listen(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        interest: Interest,
    ) -> Result<(Interest, BoxStream<'static, News>), CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let lists = interest.tools || interest.prompts || interest.resources;
        let mut accepted = Interest { updates: Vec::new(), tasks: Vec::new(), ..interest.clone() };
        let mut sources: Vec<BoxStream<'static, News>> = Vec::new();
        for &at in view.servers {
            let member = &self.members[at];
            let updates = of_server(&view, at, &interest.updates, |uri| self.slugs.lead(uri));
            let tasks = of_server(&view, at, &interest.tasks, |id| self.task_lead(id));
            if !lists && updates.is_empty() && tasks.is_empty() {
                continue;
            }
            let only_lists = updates.is_empty() && tasks.is_empty();
            let starts_process = matches!(member.server.kind, ServerKind::Stdio { .. });
            let whose = if only_lists && starts_process && !member.server.shared {
                // Nobody gets a process of their own for listening to lists alone: what is heard
                // on those that run is enough.
                Ok(Whose::gateway())
            } else {
                self.whose(cx, member).await
            };
            // Where a server cannot be asked in this name, there is nothing to hear of it.
            let Ok(whose) = whose else { continue };
            // Before anything is followed, so that nothing is missed.
            let rumours = member.link.rumours(&whose);
            let mut followed = Followed { member: member.clone(), whose, uris: HashMap::new() };
            for (own, uri) in updates {
                if member.link.follow(&followed.whose, &own, true).await.is_ok() {
                    accepted.updates.push(uri.clone());
                    followed.uris.insert(own, uri);
                }
            }
            accepted.tasks.extend(tasks.values().cloned());
            let ear =
                Ear { followed, tasks, interest: interest.clone(), bare: view.bare == Some(at) };
            sources.push(heard(rumours, ear));
        }
        if lists {
            sources.push(own_news(self.news.subscribe(), view.servers.to_vec(), interest));
        }
        accepted.updates.sort();
        accepted.tasks.sort();
        Ok((accepted, select_all(sources).boxed()))
    }

    fn task_lead(&self, id: &str) -> Option<(usize, String)> {
        let (server, own) = uris::cut_task(id)?;
        Some((self.by_name.get(server).copied()?, own.to_owned()))
    }
}

/// Of what a client names, what leads to this server: by its own name.
fn of_server(
    view: &View<'_>,
    server: usize,
    named: &[String],
    lead: impl Fn(&str) -> Option<(usize, String)>,
) -> HashMap<String, String> {
    let own = |name: &String| match view.bare {
        Some(_) => Some((name.clone(), name.clone())),
        None => lead(name).filter(|(at, _)| *at == server).map(|(_, own)| (own, name.clone())),
    };
    named.iter().filter_map(own).collect()
}

/// A receiver as a stream.
fn received<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
) -> impl futures_util::Stream<Item = Option<T>> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        match receiver.recv().await {
            Ok(item) => Some((Some(item), receiver)),
            Err(RecvError::Lagged(_)) => Some((None, receiver)),
            Err(RecvError::Closed) => None,
        }
    })
}

/// A server's rumours as news.
fn heard(rumours: broadcast::Receiver<Rumour>, ear: Ear) -> BoxStream<'static, News> {
    received(rumours)
        .map(move |rumour| {
            let heard = rumour.map_or(Heard::Missed, Heard::Rumour);
            stream::iter(ear.news(&heard))
        })
        .flatten()
        .boxed()
}

/// What the broker itself found to have changed.
fn own_news(
    changes: broadcast::Receiver<(usize, Kind)>,
    servers: Vec<usize>,
    interest: Interest,
) -> BoxStream<'static, News> {
    received(changes)
        .map(move |change| {
            let kinds = match change {
                Some((server, kind)) if servers.contains(&server) => vec![kind],
                Some(_) => vec![],
                None => vec![Kind::Tools, Kind::Items(ItemKind::Prompts), RESOURCES],
            };
            let news = kinds.into_iter().filter_map(|kind| list_news(kind, &interest));
            stream::iter(news.collect::<Vec<_>>())
        })
        .flatten()
        .boxed()
}

const RESOURCES: Kind = Kind::Items(ItemKind::Resources);

fn list_news(kind: Kind, interest: &Interest) -> Option<News> {
    match kind {
        Kind::Tools => interest.tools.then_some(News::Tools),
        Kind::Items(ItemKind::Prompts) => interest.prompts.then_some(News::Prompts),
        Kind::Items(ItemKind::Resources | ItemKind::Templates) => {
            interest.resources.then_some(News::Resources)
        }
    }
}

impl Ear {
    fn news(&self, heard: &Heard) -> Vec<News> {
        let changed = |kind| {
            self.mark(kind);
            list_news(kind, &self.interest).into_iter().collect()
        };
        match heard {
            Heard::Rumour(Rumour::Tools) => changed(Kind::Tools),
            Heard::Rumour(Rumour::Prompts) => changed(Kind::Items(ItemKind::Prompts)),
            Heard::Rumour(Rumour::Resources) => changed(RESOURCES),
            Heard::Rumour(Rumour::Updated(params)) => self.updated(params).into_iter().collect(),
            Heard::Rumour(Rumour::Task(params)) => self.task(params).into_iter().collect(),
            Heard::Missed => self.everything(),
        }
    }

    /// What is on the shelves is old from now on. Of a server with many connections, its member
    /// hears by itself.
    fn mark(&self, kind: Kind) {
        if self.followed.member.server.shared {
            self.followed.member.changed(kind);
        }
    }

    /// A resource that this listener follows, or something within one (MCP 2025-11-25,
    /// "Resource Updated": "may be a sub-resource").
    fn updated(&self, params: &Arc<RawValue>) -> Option<News> {
        let own = rewrite::named(params.get(), "uri")?;
        let mut uris = self.followed.uris.keys();
        uris.find(|followed| own == **followed || is_within(&own, followed))?;
        let params: Box<RawValue> = (**params).to_owned();
        let lettering = &self.followed.member.lettering;
        if self.bare {
            return Some(News::Updated { uri: own, params });
        }
        let params = lettering.inscribe(params, Of::Named);
        Some(News::Updated { uri: lettering.uri(&own), params })
    }

    fn task(&self, params: &Arc<RawValue>) -> Option<News> {
        let own = rewrite::named(params.get(), "taskId")?;
        let id = self.tasks.get(&own)?.clone();
        let params: Box<RawValue> = (**params).to_owned();
        let lettering = &self.followed.member.lettering;
        let params = if self.bare { params } else { lettering.inscribe(params, Of::Task) };
        Some(News::Task { id, params })
    }

    /// Whatever may have changed while nothing was heard.
    fn everything(&self) -> Vec<News> {
        let mut news = Vec::new();
        for kind in [Kind::Tools, Kind::Items(ItemKind::Prompts), RESOURCES] {
            self.mark(kind);
            news.extend(list_news(kind, &self.interest));
        }
        for uri in self.followed.uris.values() {
            let params = format!(r#"{{"uri":{}}}"#, crate::edit::quote(uri));
            let Ok(params) = RawValue::from_string(params) else { continue };
            news.push(News::Updated { uri: uri.clone(), params });
        }
        news
    }
}

fn is_within(uri: &str, parent: &str) -> bool {
    uri.strip_prefix(parent)
        .is_some_and(|rest| parent.ends_with('/') || rest.starts_with(['/', '?', '#']))
}
