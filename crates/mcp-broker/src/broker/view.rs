//! What a scope means.

use doorward_core::{Fetch, ItemKind, Pattern, Scope};

use super::Inner;

/// A part of the catalogue as a client sees it.
pub(super) struct View<'a> {
    /// Its servers, in the order of their names in a list.
    pub(super) servers: &'a [usize],
    patterns: &'a [Pattern],
    /// The one server whose own names are shown.
    pub(super) bare: Option<usize>,
}

impl View<'_> {
    pub(super) fn has(&self, server: usize) -> bool {
        self.servers.contains(&server)
    }

    /// Whether the profile's patterns take this name.
    pub(super) fn shows(&self, name: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether a server may be asked so. Tasks come from calls, which were judged themselves.
    pub(super) fn lets(&self, server: &str, fetch: Fetch) -> bool {
        match fetch {
            Fetch::Resource | Fetch::Prompt | Fetch::Completion => {
                self.patterns.is_empty() || self.shows(fetch.tool_name(server).as_str())
            }
            Fetch::TaskGet | Fetch::TaskResult | Fetch::TaskUpdate | Fetch::TaskCancel => true,
        }
    }

    /// Whether a prompt, resource or template of a server is seen.
    pub(super) fn shows_item(&self, kind: ItemKind, server: &str, key: &str) -> bool {
        let by_name = kind == ItemKind::Prompts && self.shows(key);
        by_name || self.lets(server, kind.fetch())
    }
}

impl Inner {
    /// What a scope means; `None` where nothing has its name.
    pub(super) fn view(&self, scope: &Scope) -> Option<View<'_>> {
        let name = match scope {
            Scope::All => return Some(View { servers: &self.order, patterns: &[], bare: None }),
            Scope::Profile(name) => name,
        };
        if let Some(at) = self.by_name.get(name) {
            let bare = (!self.members[*at].server.prefix).then_some(*at);
            return Some(View { servers: std::slice::from_ref(at), patterns: &[], bare });
        }
        let profile = self.profiles.get(name)?;
        Some(View { servers: &profile.servers, patterns: &profile.patterns, bare: None })
    }
}
