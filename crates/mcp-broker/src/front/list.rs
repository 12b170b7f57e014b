//! Lists, in pages. A cursor names the last entry that was shown, so that a list that changes
//! meanwhile neither repeats nor skips what stayed.

use doorward_core::{CallError, Code, ItemKind};

use super::call::{Asked, Place};
use super::era::Refusal;
use super::offers::nowhere;
use super::run::{Job, Outcome};
use super::{dated, write};
use crate::protocol::code;
use crate::seal::Purpose;

/// Where a page starts: after this entry, which was at this place.
struct Start {
    place: usize,
    after: String,
}

/// What a list is called in a result.
const fn name(kind: Option<ItemKind>) -> &'static str {
    match kind {
        None => "tools",
        Some(ItemKind::Prompts) => "prompts",
        Some(ItemKind::Resources) => "resources",
        Some(ItemKind::Templates) => "resourceTemplates",
    }
}

fn failed(error: &CallError) -> Refusal {
    match error.code {
        Code::NotFound => nowhere(error),
        _ => Refusal::answered(code::INTERNAL, error.public.clone()),
    }
}

impl Place {
    /// A page of the tools, or of the items of a kind.
    pub(super) fn list(self, asked: &Asked<'_>, kind: Option<ItemKind>) -> Result<Job, Refusal> {
        let start = match asked.params.cursor() {
            None => None,
            Some(cursor) => Some(self.start(kind, cursor)?),
        };
        Ok(match kind {
            None => Box::pin(self.tools(start)),
            Some(kind) => Box::pin(self.items(kind, start)),
        })
    }

    fn start(&self, kind: Option<ItemKind>, cursor: &str) -> Result<Start, Refusal> {
        let unknown = || Refusal::answered(code::INVALID_PARAMS, "unknown cursor");
        let plain = self.front.settings.seal.open(Purpose::Cursor, cursor).ok_or_else(unknown)?;
        let plain = String::from_utf8(plain).map_err(|_| unknown())?;
        let mut parts = plain.splitn(3, '\n');
        if parts.next() != Some(name(kind)) {
            return Err(unknown());
        }
        let place = parts.next().and_then(|place| place.parse().ok()).ok_or_else(unknown)?;
        Ok(Start { place, after: parts.next().unwrap_or_default().to_owned() })
    }

    fn cursor(&self, kind: Option<ItemKind>, place: usize, last: &str) -> Option<String> {
        let settings = &self.front.settings;
        let plain = format!("{}\n{place}\n{last}", name(kind));
        settings.seal.close(&*settings.entropy, Purpose::Cursor, plain.as_bytes())
    }

    async fn tools(self, start: Option<Start>) -> Outcome {
        let settings = &self.front.settings;
        let list = settings.tools.list(&self.cx, &self.scope).await;
        let list = list.map_err(|error| failed(&error))?;
        let all = &list.tools;
        let (from, to) = span(start, all.len(), settings.page, |at| all[at].name.as_str());
        let next = (to < all.len()).then(|| self.cursor(None, to, all[to - 1].name.as_str()));
        let shown = all[from..to].iter();
        let shown = shown.map(|tool| dated::tool(self.revision, tool.definition.get()));
        let next = next.flatten();
        let (info, revision) = (&settings.info, self.revision);
        Ok(write::page(info, revision, name(None), shown, next.as_deref(), &list.gaps))
    }

    async fn items(self, kind: ItemKind, start: Option<Start>) -> Outcome {
        let capability = match kind {
            ItemKind::Prompts => "prompts",
            ItemKind::Resources | ItemKind::Templates => "resources",
        };
        self.need(capability, None).await?;
        let settings = &self.front.settings;
        let list = settings.tools.items(&self.cx, &self.scope, kind).await;
        let list = list.map_err(|error| failed(&error))?;
        let all = &list.items;
        let (from, to) = span(start, all.len(), settings.page, |at| &all[at].key);
        let next = (to < all.len()).then(|| self.cursor(Some(kind), to, &all[to - 1].key));
        let shown = all[from..to].iter();
        let shown = shown.map(|item| dated::item(self.revision, item.definition.get()));
        let next = next.flatten();
        let (info, revision) = (&settings.info, self.revision);
        Ok(write::page(info, revision, name(Some(kind)), shown, next.as_deref(), &list.gaps))
    }
}

/// The entries of a page. Where the entry before it is still there the page starts after it, else
/// at the place where it was.
fn span<'a>(
    start: Option<Start>,
    count: usize,
    page: usize,
    key: impl Fn(usize) -> &'a str,
) -> (usize, usize) {
    let from = match start {
        None => 0,
        Some(Start { place, after }) => {
            let as_before = (1..=count).contains(&place) && key(place - 1) == after;
            let found = || (0..count).find(|at| key(*at) == after).map(|at| at + 1);
            if as_before { place } else { found().unwrap_or(place.min(count)) }
        }
    };
    (from, from.saturating_add(page).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_after_the_last_entry_shown() {
        let list = ["a", "b", "c", "d", "e"];
        let at = |place, after: &str| Some(Start { place, after: after.into() });
        for (start, span_of) in [
            (None, (0, 2)),
            (at(2, "b"), (2, 4)),
            (at(1, "b"), (2, 4)),
            (at(4, "b"), (2, 4)),
            (at(2, "gone"), (2, 4)),
            (at(9, "gone"), (5, 5)),
            (at(5, "e"), (5, 5)),
            (at(0, "gone"), (0, 2)),
        ] {
            assert_eq!(span(start, list.len(), 2, |at| list[at]), span_of);
        }
    }
}
