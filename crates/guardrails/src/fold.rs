//! Recognises a conversation and folds what is new into its label.

use std::sync::Arc;

use doorward_core::{
    Body, ConversationId, Cx, GrantId, Integrity, Label, Media, MediaSource, Sources, ToolDef,
    ToolResult,
};

use crate::contract::Contracts;
use crate::engine::{Inner, UserRole};
use crate::fingerprint;
use crate::history::{self, History, Item};
use crate::provenance::Provenance;
use crate::result::{self, Weighing};
use crate::scope::{Kind, Scope};
use crate::seen;
use crate::turn_store::{FiledLeaf, FiledText, Filing, Mark, Standing, StoreError};
use crate::words;

/// The most results, borrowed texts and system texts that are told apart in one conversation.
const MOST: usize = 512;

/// The most beginnings of one turn that are remembered as gone on with untrusted data.
const MOST_ASKED: usize = 64;

/// A conversation as it stands with this request.
pub(crate) struct Recognised {
    pub(crate) standing: Standing,
    /// The chain at the end of the request.
    pub(crate) head: Mark,
    /// The chain from where the user last asked for something to the end.
    pub(crate) asked: Vec<Mark>,
    /// The texts that are the user's and the operator's own, where they may be needed: in a
    /// conversation that holds anything less, or where others of the principal do.
    pub(crate) own: Provenance,
    /// Whether values may have been met in untrusted data of this principal's.
    pub(crate) watchful: bool,
}

pub(crate) async fn recognise(
    inner: &Inner,
    contracts: &Contracts,
    scope: &Scope,
    cx: &Cx,
    history: &History<'_>,
    tools: &[ToolDef],
) -> Result<Recognised, StoreError> {
    let chain = history.chain(scope);
    let (from, standing) = begin(inner, cx, inner.store.recall(&chain, inner.now()).await?);
    let unknown = Vec::new();
    let mut fold = Fold { inner, contracts, scope, standing, history, unknown, may_repeat: None };
    fold.begin_turn(cx, from);
    let system = fold.weigh_system().await?;
    let declared = fold.weigh_tools(tools).await?;
    let clean = fold.standing.label.is_trusted();
    let mut tainted_at = None;
    for at in from..history.items.len() {
        fold.fold_item(at).await?;
        fold.print_unknown(at, &system).await?;
        if clean && tainted_at.is_none() && !fold.standing.label.is_trusted() {
            tainted_at = Some(at);
        }
    }
    if let Some(at) = tainted_at {
        fold.mark_cut(&chain[..at]).await?;
    }
    if let Some(last) = chain.last() {
        let expires = inner.now().after(inner.lifetimes.conversation);
        inner.store.remember(*last, &fold.standing, expires).await?;
    }
    // Only what was answered under a system text is bound to it: the items alone may begin another
    // conversation under another one.
    absorb_system(&mut fold.standing, &system);
    absorb_system(&mut fold.standing, &declared);
    fold.weigh_cut(&chain).await?;
    if !fold.standing.label.is_trusted() {
        let expires = inner.now().after(inner.lifetimes.tainted);
        inner.store.taint(scope.owner(), &fold.standing.label, expires).await?;
    }
    let watchful = fold.may_repeat().await?;
    // A provider may run tools within the answer, so that a good context may not last to its end.
    let hosted = tools.iter().any(|tool| tool.opaque.is_some());
    let standing = fold.standing;
    let own = if has_own_words(&standing) || (watchful || hosted) && !standing.crowded {
        let (operator, person) = own_texts(history, &history.items, &standing, &system);
        Provenance::of_both(operator, person)
    } else {
        Provenance::default()
    };
    let asked = history.items.iter().rposition(is_users).unwrap_or(0);
    let asked = chain.get(asked.max(chain.len().saturating_sub(MOST_ASKED))..).unwrap_or_default();
    let head = chain.last().copied().unwrap_or_else(|| history::origin(scope));
    Ok(Recognised { standing, head, asked: asked.to_vec(), own, watchful })
}

/// A system text's mark, and the label of what it repeats.
type Weighed = (Mark, Option<Label>);

/// The first item to fold in and the standing to fold on: the known one, under a new name where nobody answered in it yet, for
/// equal beginnings are no proof of one conversation.
fn begin(inner: &Inner, cx: &Cx, known: Option<(usize, Standing)>) -> (usize, Standing) {
    let fresh = || ConversationId::random(&*inner.entropy);
    match known {
        Some((at, standing)) if standing.answered => (at + 1, standing),
        Some((at, standing)) => {
            (at + 1, Standing { conversation: fresh(), turn: cx.turn, ..standing })
        }
        None => {
            let standing = Standing {
                conversation: fresh(),
                turn: cx.turn,
                label: Label::system(),
                answered: false,
                system: Vec::new(),
                borrowed: Vec::new(),
                results: Vec::new(),
                crowded: false,
            };
            (0, standing)
        }
    }
}

fn absorb_system(standing: &mut Standing, system: &[Weighed]) {
    for (mark, copied) in system {
        if let Some(label) = copied {
            standing.label.absorb(label);
        }
        let known = standing.system.iter().any(|(known, _)| known == mark);
        if !known && standing.system.len() < MOST {
            standing.system.push((*mark, copied.is_some()));
        }
    }
}

/// Whether anybody may ask for the user's own words: not while all is the user's anyway, nor
/// where it is not known which are.
fn has_own_words(standing: &Standing) -> bool {
    let plain = standing.label.integrity >= Integrity::User && standing.label.is_trusted();
    !plain && !standing.crowded
}

/// The texts among `items` and of the operator that may lend their values to a call.
fn own_texts<'a>(
    history: &'a History<'_>,
    items: &'a [Item<'_>],
    standing: &'a Standing,
    system: &'a [Weighed],
) -> (impl Iterator<Item = &'a str>, impl Iterator<Item = &'a str>) {
    let system = history.system.iter().zip(system);
    let system = system.filter(|(_, (_, copied))| copied.is_none()).map(|(text, _)| *text);
    let user = items.iter().filter_map(|item| match item {
        Item::User { text, .. } => Some(*text),
        _ => None,
    });
    let user = user
        .enumerate()
        .filter(|(at, _)| !u32::try_from(*at).is_ok_and(|at| standing.borrowed.contains(&at)))
        .map(|(_, text)| text);
    (system, user)
}

struct Fold<'a> {
    inner: &'a Inner,
    contracts: &'a Contracts,
    scope: &'a Scope,
    standing: Standing,
    history: &'a History<'a>,
    /// Untrusted texts that are not on file yet.
    unknown: Vec<String>,
    /// Whether the principal has fingerprints on file, once that was asked.
    may_repeat: Option<bool>,
}

impl Fold<'_> {
    /// A new turn begins where somebody asks for something; results alone go on with the old one.
    fn begin_turn(&mut self, cx: &Cx, from: usize) {
        let asked = self.history.items[from..].iter().any(is_users);
        if asked {
            self.standing.turn = cx.turn;
        }
    }

    /// Weighs system texts; those that were answered under before are known.
    async fn weigh_system(&mut self) -> Result<Vec<Weighed>, StoreError> {
        let mut weighed = Vec::with_capacity(self.history.system.len());
        let history = self.history;
        for text in &history.system {
            let mark = self.scope.mark(Kind::System, &[text.as_bytes()]);
            let known = self.standing.system.iter().find(|(known, _)| *known == mark);
            let copied = match known {
                Some((_, false)) => None,
                Some((_, true)) => Some(self.standing.label.clone()),
                None => self.copied(text).await?,
            };
            weighed.push((mark, copied));
        }
        Ok(weighed)
    }

    /// Weighs what clients say of the tools that they declare: untrusted text may come back there.
    async fn weigh_tools(&mut self, tools: &[ToolDef]) -> Result<Vec<Weighed>, StoreError> {
        let mut weighed = Vec::new();
        if !self.may_repeat().await? {
            return Ok(weighed);
        }
        for tool in tools {
            let schema = tool.schema.as_ref().map_or("", |schema| schema.get());
            let said = [tool.description.as_deref().unwrap_or_default(), schema];
            if said.iter().all(|text| text.is_empty()) {
                continue;
            }
            let mark = self.scope.mark(Kind::System, &said.map(str::as_bytes));
            let known = self.standing.system.iter().find(|(known, _)| *known == mark);
            let copied = match known {
                Some((_, false)) => None,
                Some((_, true)) => Some(self.standing.label.clone()),
                None => self.copied(&said.join("\n")).await?,
            };
            weighed.push((mark, copied));
        }
        Ok(weighed)
    }

    /// The label of the text on file that this text repeats.
    async fn copied(&mut self, text: &str) -> Result<Option<Label>, StoreError> {
        if !self.may_repeat().await? {
            return Ok(None);
        }
        let (store, now) = (&self.inner.store, self.inner.now());
        let mut prints = fingerprint::prints(text, self.scope.seed());
        for inner in seen::unwrapped(text) {
            prints.extend(fingerprint::prints(&inner, self.scope.seed()));
        }
        if prints.is_empty() {
            return Ok(None);
        }
        store.printed(&prints, now).await
    }

    /// Whether the principal has fingerprints on file.
    async fn may_repeat(&mut self) -> Result<bool, StoreError> {
        let known = match self.may_repeat {
            Some(known) => known,
            None => self.inner.store.prints_of(self.scope.owner(), self.inner.now()).await?,
        };
        self.may_repeat = Some(known);
        Ok(known)
    }

    /// Notes what was asked when untrusted data was read, so that a history that is cut back to
    /// there is no cleaner: whoever steers the model remembers. Further back, or with words of the
    /// user's behind it, it is another matter.
    async fn mark_cut(&self, before: &[Mark]) -> Result<(), StoreError> {
        let asked = self.history.items[..before.len()].iter().rposition(is_users).unwrap_or(0);
        let asked = asked.max(before.len().saturating_sub(MOST_ASKED));
        let expires = self.inner.now().after(self.inner.lifetimes.tainted);
        for prefix in &before[asked.min(before.len())..] {
            let cut = self.scope.mark(Kind::Cut, &[prefix.as_bytes()]);
            self.inner.store.remember(cut, &self.standing, expires).await?;
        }
        Ok(())
    }

    /// Takes in what this very beginning was gone on with.
    async fn weigh_cut(&mut self, chain: &[Mark]) -> Result<(), StoreError> {
        let Some(head) = chain.last() else { return Ok(()) };
        if !self.standing.label.is_trusted() || !self.may_repeat().await? {
            return Ok(());
        }
        let cut = [self.scope.mark(Kind::Cut, &[head.as_bytes()])];
        if let Some((_, gone_on)) = self.inner.store.recall(&cut, self.inner.now()).await? {
            self.standing.label.absorb(&gone_on.label);
        }
        Ok(())
    }

    async fn fold_item(&mut self, at: usize) -> Result<(), StoreError> {
        let history = self.history;
        let label = match &history.items[at] {
            Item::User { text, .. } => self.user_text(text, at).await?,
            Item::UserMedia(media) => self.user_media(media).await?,
            Item::UserOpaque(_) => self.user_label(),
            item @ (Item::Assistant(_) | Item::Call(_) | Item::Foreign(_)) => {
                self.standing.answered = true;
                self.unknown.extend(match item {
                    Item::Assistant(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    Item::Call(call) => Some(call.arguments.clone()),
                    Item::Foreign(raw) => Some(raw.clone()),
                    _ => None,
                });
                Label::untrusted("unrecognised history")
            }
            Item::Result(result) => {
                self.standing.answered = true;
                self.result(result).await?
            }
        };
        self.standing.label.absorb(&label);
        Ok(())
    }

    /// Files what was untrusted in an item and is on file nowhere, at once, so that a later text
    /// that repeats it is known; only what was said before it stays the user's own.
    async fn print_unknown(&mut self, at: usize, system: &[Weighed]) -> Result<(), StoreError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let unknown = std::mem::take(&mut self.unknown);
        self.may_repeat = Some(true);
        let before = &self.history.items[..at];
        let (operator, person) = own_texts(self.history, before, &self.standing, system);
        let own = operator.chain(person);
        let unknown = unknown.iter().map(String::as_str);
        print(self.inner, self.scope, unknown, own, &self.standing.label).await
    }

    fn user_label(&self) -> Label {
        match self.inner.user_role {
            UserRole::Trusted => Label::user(),
            UserRole::Untrusted => Label::untrusted("user text"),
        }
    }

    async fn user_text(&mut self, text: &str, at: usize) -> Result<Label, StoreError> {
        let copied = self.copied(text).await?;
        if copied.is_none() && self.inner.user_role == UserRole::Trusted {
            return Ok(Label::user());
        }
        let before = &self.history.items[..at];
        let ordinal = before.iter().filter(|item| matches!(item, Item::User { .. })).count();
        match u32::try_from(ordinal) {
            Ok(ordinal) if self.standing.borrowed.len() < MOST => {
                self.standing.borrowed.push(ordinal);
            }
            _ => self.standing.crowded = true,
        }
        let label = self.user_label();
        Ok(copied.map_or(label.clone(), |copied| label.join(&copied)))
    }

    /// Media in the user's name, unless it is what a tool gave back.
    async fn user_media(&self, media: &Media) -> Result<Label, StoreError> {
        let label = self.user_label();
        let MediaSource::Base64 { data, .. } = &media.source else { return Ok(label) };
        let mark = [result::media_mark(self.scope, data)];
        let filed = self.inner.store.texts(&mark, self.inner.now()).await?;
        Ok(filed.iter().flatten().fold(label, |label, filed| label.join(&filed.label)))
    }

    async fn result(&mut self, result: &ToolResult) -> Result<Label, StoreError> {
        if is_blank(result) {
            return Ok(Label::system());
        }
        if let Some(label) = self.filed(result).await? {
            return Ok(label);
        }
        let declared = self.called(result).unwrap_or_default();
        let (tool, brokered) = self.inner.identify(declared);
        let source = words::plain(tool.as_str());
        let contract = self.inner.contract(self.contracts, tool.as_str());
        if brokered || !contract.is_declared() {
            self.unknown.push(result.text());
            return Ok(Label::untrusted(source));
        }
        let weighing = result::weigh_own(contract, result);
        let integrity = weighing.worst.unwrap_or_default();
        self.file_own(result, &weighing).await?;
        self.unknown.extend(weighing.untrusted);
        if integrity == Integrity::Untrusted {
            return Ok(Label::untrusted(source));
        }
        Ok(Label {
            integrity,
            choice: Integrity::User,
            readers: contract.readers().clone(),
            sources: Sources::one(source),
        })
    }

    /// Files the values of a client's own result, so that they are known in its calls.
    async fn file_own(
        &mut self,
        result: &ToolResult,
        weighing: &Weighing,
    ) -> Result<(), StoreError> {
        let scope = self.scope;
        let own = scope.mark(Kind::Text, &[b"own result", result.text().as_bytes()]);
        let mut filing = Filing::of(scope.owner());
        for (form, integrity) in &weighing.leaves {
            let mark = scope.mark(Kind::Leaf, &[form.as_bytes()]);
            filing.leaves.push((mark, FiledLeaf { result: own, integrity: *integrity }));
        }
        filing.leaves.extend(weighing.records.leaves(scope, Integrity::User));
        if filing.leaves.is_empty() {
            return Ok(());
        }
        self.read(own);
        self.inner.store.file(filing, self.inner.now().after(self.inner.lifetimes.result)).await
    }

    /// Notes that a result on file was read.
    fn read(&mut self, result: Mark) {
        let known = self.standing.results.contains(&result);
        if !known && self.standing.results.len() >= MOST {
            self.standing.crowded = true;
        } else if !known {
            self.standing.results.push(result);
        }
    }

    /// The label of a result that the broker served to this principal.
    async fn filed(&mut self, result: &ToolResult) -> Result<Option<Label>, StoreError> {
        for way in result::candidates(self.scope, result) {
            let filed = self.inner.store.texts(&way, self.inner.now()).await?;
            let Some(filed) = filed.into_iter().collect::<Option<Vec<FiledText>>>() else {
                continue;
            };
            let Some((first, rest)) = filed.split_first() else { continue };
            let mut label = Label::clone(&first.label);
            for other in rest {
                label.absorb(&other.label);
            }
            for one in &filed {
                self.read(one.result);
            }
            return Ok(Some(label));
        }
        Ok(None)
    }

    /// The tool whose call the result answers, as declared.
    fn called<'r>(&'r self, result: &'r ToolResult) -> Option<&'r str> {
        let call = self.history.items.iter().find_map(|item| match item {
            Item::Call(call) if call.id == result.id => Some(call.name.as_str()),
            _ => None,
        });
        call.or(result.name.as_deref())
    }
}

/// Notes from where in a conversation a granted call was made, while that is good.
pub(crate) async fn expect_cut(
    inner: &Inner,
    scope: &Scope,
    grant: GrantId,
    standing: &Standing,
    heads: impl Iterator<Item = Mark>,
) -> Result<(), StoreError> {
    let from = Standing { results: heads.collect(), system: Vec::new(), ..standing.clone() };
    let mark = scope.mark(Kind::Cut, &[b"grant", grant.to_string().as_bytes()]);
    inner.store.remember(mark, &from, inner.now().after(inner.lifetimes.grant)).await
}

/// A granted call brought untrusted data: whoever asked for it has read that, whatever they show
/// of their history from now on.
pub(crate) async fn mark_served(
    inner: &Inner,
    scope: &Scope,
    grant: GrantId,
    label: &Label,
) -> Result<(), StoreError> {
    let expires = inner.now().after(inner.lifetimes.tainted);
    inner.store.taint(scope.owner(), label, expires).await?;
    let mark = scope.mark(Kind::Cut, &[b"grant", grant.to_string().as_bytes()]);
    let Some((_, from)) = inner.store.recall(&[mark], inner.now()).await? else { return Ok(()) };
    let gone_on = Standing { label: from.label.join(label), results: Vec::new(), ..from.clone() };
    for head in &from.results {
        let cut = scope.mark(Kind::Cut, &[head.as_bytes()]);
        inner.store.remember(cut, &gone_on, expires).await?;
    }
    Ok(())
}

/// Files fingerprints of untrusted texts, save for what they repeat from the user and the
/// operator: those words were clean before.
pub(crate) async fn print<'a>(
    inner: &Inner,
    scope: &Scope,
    texts: impl Iterator<Item = &'a str>,
    own: impl Iterator<Item = &'a str>,
    label: &Label,
) -> Result<(), StoreError> {
    let seed = scope.seed();
    let (mut prints, mut values) = (Vec::new(), Vec::new());
    for text in texts {
        prints.extend(fingerprint::prints(text, seed));
        values.extend(seen::prints(text, seed));
    }
    let own: Vec<&str> = own.collect();
    fingerprint::take_out(&mut prints, own.iter().copied(), seed);
    if !values.is_empty() {
        let said: Vec<u64> = own.iter().flat_map(|text| seen::prints(text, seed)).collect();
        values.retain(|value| !said.contains(value));
        prints.append(&mut values);
    }
    if prints.is_empty() {
        return Ok(());
    }
    let printed = Arc::new(Label { integrity: Integrity::Untrusted, ..label.clone() });
    let filing = Filing { prints, printed, ..Filing::of(scope.owner()) };
    inner.store.file(filing, inner.now().after(inner.lifetimes.result)).await
}

/// Whether somebody asks for something with it.
fn is_users(item: &Item<'_>) -> bool {
    matches!(item, Item::User { .. } | Item::UserMedia(_) | Item::UserOpaque(_))
}

fn is_blank(result: &ToolResult) -> bool {
    result.content.iter().all(|part| match &part.body {
        Body::Text(text) => text.trim().is_empty(),
        _ => false,
    })
}
