//! Federated names: `server__tool`, fit for every model API, and back.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use doorward_core::ToolName;

/// The longest name that model APIs take.
const LONGEST: usize = 64;
/// The longest name of a server: leaves room for the tool's.
const LONGEST_SERVER: usize = 32;
/// The most names remembered of one server. Names are kept when a tool goes, so that they never
/// change their meaning while the broker runs.
const MOST: usize = 20_000;

/// Whether a server may be called so: 1 to 32 of `A-Z a-z 0-9 _ -`, without `__` and without `_` at
/// the end, so that a federated name can be cut at its first `__`.
pub fn is_server_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_SERVER
        && name.bytes().all(is_legal)
        && !name.contains("__")
        && !name.ends_with('_')
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The name of a server's tool, before collisions are looked at.
fn plain(server: &str, tool: &str) -> String {
    let name = joined(server, tool);
    if name.len() > LONGEST { hashed(server, tool) } else { name }
}

fn joined(server: &str, tool: &str) -> String {
    let clean = tool.chars().map(|c| match u8::try_from(c) {
        Ok(byte) if is_legal(byte) => c,
        _ => '_',
    });
    server.chars().chain("__".chars()).chain(clean).collect()
}

/// The name with a hash of the tool's own name at its end, cut to fit.
fn hashed(server: &str, tool: &str) -> String {
    let mut name = joined(server, tool);
    name.truncate(LONGEST - 9);
    format!("{name}_{:08x}", digest(tool))
}

/// FNV-1a over 64 bits, folded to 32: stable over releases and platforms. Names are no secrets
/// and a server can only collide with itself.
fn digest(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let bytes = hash.to_be_bytes();
    let half =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    half(0) ^ half(4)
}

/// One server's names, both ways.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    server: Arc<str>,
    by_own: HashMap<Arc<str>, ToolName>,
    taken: HashMap<ToolName, Arc<str>>,
}

impl Table {
    pub(crate) fn new(server: Arc<str>) -> Self {
        Self { server, by_own: HashMap::new(), taken: HashMap::new() }
    }

    /// Names the tools; whether there were new ones. Tools whose own name is legal come first, so
    /// that they keep it; the order in which the server lists them does not matter.
    pub(crate) fn learn<'a>(&mut self, tools: impl Iterator<Item = &'a str>) -> bool {
        let all: BTreeSet<(bool, &str)> =
            tools.map(|tool| (!tool.bytes().all(is_legal), tool)).collect();
        let is_new = |names: &HashMap<_, _>, tool: &str| !names.contains_key(tool);
        let count = all.iter().filter(|(_, tool)| is_new(&self.by_own, tool)).count();
        if self.by_own.len() + count > MOST {
            tracing::warn!(server = %self.server, "too many different tool names; forgetting the old");
            (self.by_own, self.taken) = (HashMap::new(), HashMap::new());
        }
        let fresh: Vec<_> = all.iter().filter(|(_, tool)| is_new(&self.by_own, tool)).collect();
        for (_, tool) in &fresh {
            let candidates = [plain(&self.server, tool), hashed(&self.server, tool)];
            let free = candidates
                .into_iter()
                .map(ToolName::new)
                .find(|name| !self.taken.contains_key(name));
            let Some(name) = free else {
                tracing::warn!(server = %self.server, tool, "no free name for this tool; left out");
                continue;
            };
            let own: Arc<str> = (*tool).into();
            self.taken.insert(name.clone(), own.clone());
            self.by_own.insert(own, name);
        }
        !fresh.is_empty()
    }

    /// The federated name of a tool by its own.
    pub(crate) fn federated(&self, own: &str) -> Option<&ToolName> {
        self.by_own.get(own)
    }
}

/// Where a federated name leads.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The federated name.
    pub(crate) name: ToolName,
    /// Which server has it.
    pub(crate) server: usize,
    /// The server's own name for it.
    pub(crate) own: Arc<str>,
}

/// All names of all servers, for reading without a lock.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: HashMap<Arc<str>, Place>,
    /// Own names on transparent routes; `None` where two servers share one.
    bare: HashMap<Arc<str>, Option<ToolName>>,
    by_own: Vec<HashMap<Arc<str>, ToolName>>,
}

impl Index {
    /// The index over these tables, each with whether its server's own names are shown somewhere.
    pub(crate) fn of<'a>(tables: impl Iterator<Item = (&'a Table, bool)>) -> Self {
        let mut index = Self::default();
        for (server, (table, bare)) in tables.enumerate() {
            for (own, name) in &table.by_own {
                let place = Place { name: name.clone(), server, own: own.clone() };
                index.places.insert(name.as_str().into(), place);
                if bare {
                    index
                        .bare
                        .entry(own.clone())
                        .and_modify(|known| *known = None)
                        .or_insert_with(|| Some(name.clone()));
                }
            }
            index.by_own.push(table.by_own.clone());
        }
        index
    }

    /// Where a federated name leads.
    pub(crate) fn place(&self, name: &str) -> Option<&Place> {
        self.places.get(name)
    }

    /// The federated name of a server's tool.
    pub(crate) fn of_server(&self, server: usize, own: &str) -> Option<&ToolName> {
        self.by_own.get(server)?.get(own)
    }

    /// The federated name behind what a client declared to a model.
    pub(crate) fn behind(&self, declared: &str) -> Option<ToolName> {
        if let Some(place) = self.places.get(declared) {
            return Some(place.name.clone());
        }
        // A federated name first: no transparent server may lay its own over another's.
        self.prefixed(declared).or_else(|| self.bare_behind(declared))
    }

    /// A federated name behind a client's prefix; the longest wins.
    fn prefixed(&self, declared: &str) -> Option<ToolName> {
        let bytes = declared.as_bytes();
        let first = declared.len().saturating_sub(LONGEST).max(1);
        (first..declared.len())
            .filter(|&at| matches!(bytes[at - 1], b'_' | b'-' | b'.' | b'/' | b':'))
            .filter_map(|at| self.places.get(declared.get(at..)?))
            .map(|place| place.name.clone())
            .next()
    }

    /// A transparent server's own name: alone, or as MCP clients prefix it (`mcp__server__tool`).
    fn bare_behind(&self, declared: &str) -> Option<ToolName> {
        if self.bare.is_empty() {
            return None;
        }
        let known = |name: &str| self.bare.get(name).cloned().flatten();
        known(declared).or_else(|| {
            let (_, tool) = declared.strip_prefix("mcp__")?.split_once("__")?;
            known(tool)
        })
    }
}

/// The names of one kind of things, of all servers: learned as servers list them, looked up
/// without a lock.
pub(crate) struct Register {
    tables: Mutex<Vec<Table>>,
    /// Of each server, whether its own names are shown somewhere.
    bare: Vec<bool>,
    index: ArcSwap<Index>,
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register").finish_non_exhaustive()
    }
}

impl Register {
    /// For these servers, each with whether its own names are shown somewhere.
    pub(crate) fn new(servers: impl Iterator<Item = (Arc<str>, bool)>) -> Self {
        let (tables, bare): (Vec<_>, Vec<_>) =
            servers.map(|(server, bare)| (Table::new(server), bare)).unzip();
        let index = Index::of(tables.iter().zip(bare.iter().copied()));
        Self { tables: Mutex::new(tables), bare, index: ArcSwap::from_pointee(index) }
    }

    /// All names known so far.
    pub(crate) fn index(&self) -> Guard<Arc<Index>> {
        self.index.load()
    }

    /// The federated names of a server's things, in their order; `None` for one that cannot be
    /// named.
    pub(crate) fn learn<'a>(
        &self,
        server: usize,
        own: impl Iterator<Item = &'a str> + Clone,
    ) -> Vec<Option<ToolName>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = tables.get_mut(server) else { return Vec::new() };
        let is_new = table.learn(own.clone());
        let names = own.map(|own| table.federated(own).cloned()).collect();
        if is_new {
            self.index.store(Arc::new(Index::of(tables.iter().zip(self.bare.iter().copied()))));
        }
        names
    }
}

#[cfg(test)]
mod tests;
