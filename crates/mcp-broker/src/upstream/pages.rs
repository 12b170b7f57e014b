//! Reading the whole of a server's list, page by page.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use doorward_core::ItemKind;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Failure, Link};
use crate::Era;
use crate::edit;
use crate::protocol::code;

/// The most pages read of one list.
const MOST_PAGES: usize = 500;
/// The most things taken from one server.
const MOST: usize = 10_000;
/// The most bytes of definitions taken from one server.
const MOST_BYTES: usize = 32 << 20;
/// The longest name a thing may have of its own; the specification suggests 128.
const LONGEST_NAME: usize = 256;
/// The longest URI; the length that clients and servers of HTTP commonly take.
const LONGEST_URI: usize = 8 << 10;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tools,
    Items(ItemKind),
}

impl Kind {
    /// The method that lists it.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Items(ItemKind::Prompts) => "prompts/list",
            Self::Items(ItemKind::Resources) => "resources/list",
            Self::Items(ItemKind::Templates) => "resources/templates/list",
        }
    }

    /// The member of a definition that tells it from others.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Items(ItemKind::Prompts) => "name",
            Self::Items(ItemKind::Resources) => "uri",
            Self::Items(ItemKind::Templates) => "uriTemplate",
        }
    }

    const fn longest(self) -> usize {
        match self {
            Self::Tools | Self::Items(ItemKind::Prompts) => LONGEST_NAME,
            Self::Items(_) => LONGEST_URI,
        }
    }
}

/// A thing as its server defines it.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its own name or URI.
    pub(crate) own: String,
    pub(crate) json: Box<RawValue>,
}

/// A server's whole list.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) entries: Vec<Definition>,
    /// How long the server wants it kept, if it said so.
    pub(crate) ttl: Option<Duration>,
    /// Whether the server says that it is the same for everybody (`cacheScope`).
    pub(crate) public: bool,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    prompts: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    resources: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "resourceTemplates")]
    templates: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "nextCursor")]
    next: Option<Cow<'a, str>>,
    #[serde(default, rename = "ttlMs")]
    ttl: Option<u64>,
    #[serde(borrow, default, rename = "cacheScope")]
    scope: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    fn entries(&mut self, kind: Kind) -> Option<Vec<&'a RawValue>> {
        match kind {
            Kind::Tools => self.tools.take(),
            Kind::Items(ItemKind::Prompts) => self.prompts.take(),
            Kind::Items(ItemKind::Resources) => self.resources.take(),
            Kind::Items(ItemKind::Templates) => self.templates.take(),
        }
    }
}

/// Reads every page. A cursor that comes twice ends the list: the server goes in circles. A
/// server that does not know the method has none of the kind.
pub(crate) async fn read(link: &dyn Link, ask: Ask<'_>, kind: Kind) -> Result<Catalogue, Failure> {
    const WRONG: Failure = Failure::Nonsense("answered with something that is no such list");
    let mut catalogue = Catalogue::default();
    let (mut cursors, mut known) = (HashSet::new(), HashSet::new());
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    for number in 0..MOST_PAGES {
        let params =
            cursor.as_deref().map(|cursor| format!(r#"{{"cursor":{}}}"#, edit::quote(cursor)));
        let params = params.and_then(|params| RawValue::from_string(params).ok());
        let ask = Ask { method: kind.method(), params: params.as_deref(), ..ask };
        let answer = match link.ask(ask).await {
            Err(Failure::Rpc(error)) if number == 0 && error.code == code::METHOD_NOT_FOUND => {
                return Ok(catalogue);
            }
            answer => answer?,
        };
        let mut page: Page<'_> = edit::read(answer.result.get().as_bytes()).map_err(|_| WRONG)?;
        let entries = page.entries(kind).ok_or(WRONG)?;
        if answer.era == Era::Modern {
            let ttl = page.ttl.map(Duration::from_millis);
            catalogue.ttl = catalogue.ttl.into_iter().chain(ttl).min();
            let public = page.scope.as_deref() == Some("public");
            catalogue.public = public && (number == 0 || catalogue.public);
        }
        for entry in entries {
            bytes += entry.get().len();
            if bytes > MOST_BYTES || catalogue.entries.len() >= MOST {
                return Err(Failure::Nonsense("lists more than can be taken"));
            }
            let Some(own) = own(entry, kind) else {
                tracing::debug!(
                    method = kind.method(),
                    "an entry without a proper name is left out"
                );
                continue;
            };
            if known.insert(own.clone()) {
                catalogue.entries.push(Definition { own, json: entry.to_owned() });
            }
        }
        match page.next {
            Some(next) if cursors.insert(next.to_string()) => cursor = Some(next.into_owned()),
            _ => return Ok(catalogue),
        }
    }
    Err(Failure::Nonsense("lists more pages than can be read"))
}

/// What tells an entry from others, where it is there once and proper.
fn own(entry: &RawValue, kind: Kind) -> Option<String> {
    let own: String = serde_json::from_str(edit::member(entry.get(), kind.key())?).ok()?;
    let fits = !own.is_empty() && own.len() <= kind.longest() && !own.contains(char::is_control);
    fits.then_some(own)
}
