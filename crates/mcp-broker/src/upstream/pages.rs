//! Reading the whole of a server's `tools/list`, page by page.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Failure, Link};
use crate::Era;
use crate::edit;

/// The most pages read of one list.
const MOST_PAGES: usize = 500;
/// The most tools taken from one server.
const MOST_TOOLS: usize = 10_000;
/// The most bytes of definitions taken from one server.
const MOST_BYTES: usize = 32 << 20;
/// The longest name a tool may have of its own; the specification suggests 128.
const LONGEST_NAME: usize = 256;

/// A tool as its server defines it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) own: String,
    pub(crate) json: Box<RawValue>,
}

/// All tools of a server.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) tools: Vec<Definition>,
    /// How long the server wants it kept, if it said so.
    pub(crate) ttl: Option<Duration>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow, default, rename = "nextCursor")]
    next: Option<Cow<'a, str>>,
    #[serde(default, rename = "ttlMs")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads every page. A cursor that comes twice ends the list: the server goes in circles.
pub(crate) async fn read(link: &dyn Link, ask: Ask<'_>) -> Result<Catalogue, Failure> {
    let mut catalogue = Catalogue::default();
    let (mut cursors, mut names) = (HashSet::new(), HashSet::new());
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    for _ in 0..MOST_PAGES {
        let params =
            cursor.as_deref().map(|cursor| format!(r#"{{"cursor":{}}}"#, edit::quote(cursor)));
        let params = params.and_then(|params| RawValue::from_string(params).ok());
        let ask = Ask { method: "tools/list", params: params.as_deref(), ..ask };
        let answer = link.ask(ask).await?;
        let page: Page<'_> = edit::read(answer.result.get().as_bytes())
            .map_err(|_| Failure::Nonsense("answered with something that is no list of tools"))?;
        if answer.era == Era::Modern {
            let ttl = page.ttl.map(Duration::from_millis);
            catalogue.ttl = catalogue.ttl.into_iter().chain(ttl).min();
        }
        for tool in page.tools {
            bytes += tool.get().len();
            if bytes > MOST_BYTES || catalogue.tools.len() >= MOST_TOOLS {
                return Err(Failure::Nonsense("lists more tools than can be taken"));
            }
            let Some(own) = own_name(tool) else {
                tracing::debug!("a tool without a proper name is left out");
                continue;
            };
            if names.insert(own.clone()) {
                catalogue.tools.push(Definition { own, json: tool.to_owned() });
            }
        }
        match page.next {
            Some(next) if cursors.insert(next.to_string()) => cursor = Some(next.into_owned()),
            _ => return Ok(catalogue),
        }
    }
    Err(Failure::Nonsense("lists more pages of tools than can be read"))
}

fn own_name(tool: &RawValue) -> Option<String> {
    let Named { name } = edit::read(tool.get().as_bytes()).ok()?;
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    fits.then(|| name.into_owned())
}
