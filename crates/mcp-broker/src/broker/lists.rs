//! Lists: whole, in a stable order, with what is missing told.

use std::sync::Arc;

use doorward_core::{CallError, Code, Cx, Gap, ItemKind, ItemList, Scope, ToolList, ToolName};
use futures_util::future::join_all;

use super::view::View;
use super::{Inner, nowhere, unknown};
use crate::names::Place;
use crate::shelf::{Member, Stock};

impl Inner {
    pub(super) async fn list(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
    ) -> Result<ToolList, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let asked = view.servers.iter().map(|&at| self.tools(cx, &self.members[at]));
        let stocks = join_all(asked).await;
        self.overshadow();
        let shadowed = self.shadowed.load();
        let mut list = ToolList::default();
        // The servers stand in the order of their names and so do the tools of each: the whole is
        // in the order of its names, the same in every replica, without being sorted.
        for (&at, stock) in view.servers.iter().zip(stocks) {
            let Some(stock) = present(&self.members[at], stock, &mut list.gaps)? else { continue };
            let bare = view.bare == Some(at);
            let shown = stock.tools.iter().filter(|tool| {
                let hidden = !shadowed.is_empty() && shadowed.contains_key(&(at, tool.own.clone()));
                !hidden && view.shows(tool.spec.name.as_str())
            });
            list.tools.extend(shown.map(|tool| match &tool.bare {
                Some(own) if bare => own.clone(),
                _ => tool.spec.clone(),
            }));
        }
        Ok(list)
    }

    pub(super) async fn list_items(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        kind: ItemKind,
    ) -> Result<ItemList, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let asked = view.servers.iter().map(|&at| self.items(cx, &self.members[at], kind));
        let stocks = join_all(asked).await;
        let mut list = ItemList::default();
        for (&at, stock) in view.servers.iter().zip(stocks) {
            let member = &self.members[at];
            let Some(stock) = present(member, stock, &mut list.gaps)? else { continue };
            let bare = view.bare == Some(at);
            let shown =
                stock.items.iter().filter(|it| view.shows_item(kind, &member.name, &it.item.key));
            list.items.extend(shown.map(|it| match &it.bare {
                Some(own) if bare => own.clone(),
                _ => it.item.clone(),
            }));
        }
        Ok(list)
    }

    pub(super) async fn resolve(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        name: &str,
    ) -> Result<ToolName, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let mut place = self.known(&view, name);
        if place.is_none() {
            // Perhaps its server has not been listed yet, or has a new tool.
            let server = view.bare.or_else(|| self.prefix_of(name));
            if let Some(at) = server.filter(|at| view.has(*at))
                && let Err(error) = self.tools(cx, &self.members[at]).await
                && error.consent.is_some()
            {
                // What it has shows once the caller has consented. Whether they may call it is
                // decided first, by its name; the call says where to consent.
                place = self.known(&view, name);
                let prefixed = || match view.bare {
                    Some(at) => format!("{}__{name}", self.members[at].name),
                    None => name.to_owned(),
                };
                return Ok(place.map_or_else(|| ToolName::new(prefixed()), |place| place.name));
            }
            place = self.known(&view, name);
        }
        // One that is held back has its name still: whether the caller may hear that comes first,
        // and that it is held back when it is called.
        place.map(|place| place.name).ok_or_else(|| unknown("tool", name))
    }

    fn known(&self, view: &View<'_>, name: &str) -> Option<Place> {
        let index = self.tool_names.index();
        if let Some(at) = view.bare {
            return index.place(index.of_server(at, name)?.as_str()).cloned();
        }
        let seen = |place: &&Place| view.has(place.server) && view.shows(name);
        index.place(name).filter(seen).cloned()
    }

    /// The server that a federated name starts with. No server's name holds `__`.
    pub(super) fn prefix_of(&self, name: &str) -> Option<usize> {
        let (server, _) = name.split_once("__")?;
        self.by_name.get(server).copied()
    }
}

/// What a server has, or the gap it leaves.
fn present<T>(
    member: &Member,
    stock: Stock<T>,
    gaps: &mut Vec<Gap>,
) -> Result<Option<Arc<T>>, CallError> {
    match stock {
        Ok(stock) => Ok(Some(stock)),
        // Nothing is wrong with a server that waits for the caller's consent.
        Err(error) if member.server.required && error.consent.is_none() => {
            Err(missing(member, error.code, &error.public))
        }
        Err(error) => {
            let reason = error.public.clone().into_owned();
            let consent = error.consent.clone();
            gaps.push(Gap { server: member.name.clone(), reason, consent });
            Ok(None)
        }
    }
}

/// That a server is missing which must not be.
pub(super) fn missing(member: &Member, code: Code, reason: &str) -> CallError {
    CallError::new(code, format!("server `{}` is required: {reason}", member.name))
}
