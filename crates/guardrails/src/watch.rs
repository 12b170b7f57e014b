//! Watches over one answer: text flows, calls wait until they are whole and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use doorward_core::{
    BoxFuture, CallError, Code, Cx, DecidedCall, Decision, Digest, Flow, Frame, GrantId, Integrity,
    Label, ModelEvent, Principal, RequestId, ToolDef, ToolName, ToolUse, Watch,
};
use serde_json::value::RawValue;

use crate::broker;
use crate::contract::{Contract, Contracts, EffectKind, Mode};
use crate::decide::{Case, Leaf, Look, Value};
use crate::digest;
use crate::engine::{Inner, failed};
use crate::fold::{self, Recognised};
use crate::history::{self, Item};
use crate::hosted;
use crate::json::Json;
use crate::literal;
use crate::pick;
use crate::provenance::Asked;
use crate::scope::{Kind, Scope};
use crate::seen;
use crate::suggest;
use crate::turn_store::{Denial, FiledText, Filing, Grant, Mark, StoreError};
use crate::words;

/// The most bytes of calls that are kept back.
const MOST_HELD: usize = 8 << 20;
/// The most text of an answer that is remembered; a longer one is not recognised again.
const MOST_TEXT: usize = 16 << 20;

/// The most values of one answer that are searched for one by one.
const SEARCHED: usize = 64;

pub(crate) struct ToolWatch {
    inner: Arc<Inner>,
    contracts: Arc<Contracts>,
    scope: Scope,
    request: RequestId,
    principal: Arc<Principal>,
    hint: Option<Arc<str>>,
    recognised: Recognised,
    /// The tools that the client declared, where it matters: in an untrusted context.
    declared: Vec<Box<str>>,
    /// What the client calls the tool that tells of refusals, if by another name.
    denied_as: Option<String>,
    /// What a tool of the provider's may bring in while it answers, until one has run.
    hosted: Option<Label>,
    /// Values whose origin was looked for.
    traced: usize,
    /// Records that the user's words name, once that was asked.
    named: OnceLock<Vec<pick::Named>>,
    held: Vec<Frame>,
    held_bytes: usize,
    /// Calls kept back, by their ordinal.
    open: BTreeMap<u32, OpenCall>,
    /// Ordinals decided on: nothing more is heard of them.
    closed: BTreeSet<u32>,
    decided: Vec<DecidedCall>,
    /// Boxed, for most answers are the only one and a map's node has room for many.
    answers: BTreeMap<u32, Box<Answer>>,
    text_bytes: usize,
    /// Whether the answer's own end was seen.
    ended: bool,
}

#[derive(Default)]
struct OpenCall {
    choice: u32,
    id: String,
    name: String,
    arguments: String,
    ended: bool,
    /// The call that goes on in its place.
    instead: Option<(String, String)>,
}

/// One of the answers, as it was sent on.
#[derive(Default)]
struct Answer {
    /// Its text, as the chain takes it in.
    dense: Vec<u8>,
    /// What the model wrote and thought, where it has read untrusted data.
    text: String,
    thought: String,
    calls: Vec<ToolUse>,
}

impl ToolWatch {
    pub(crate) fn new(
        inner: Arc<Inner>,
        contracts: Arc<Contracts>,
        scope: Scope,
        cx: &Cx,
        tools: &[ToolDef],
        denied_as: Option<String>,
        recognised: Recognised,
    ) -> Self {
        let hosted = hosted::label(tools, &contracts, &*inner.names);
        let declared = if recognised.standing.label.is_trusted() && hosted.is_none() {
            Vec::new()
        } else {
            tools.iter().map(|tool| tool.name.as_str().into()).collect()
        };
        Self {
            contracts,
            scope,
            request: cx.request,
            principal: cx.principal.clone(),
            hint: cx.conversation_hint.clone(),
            recognised,
            declared,
            denied_as,
            hosted,
            traced: 0,
            named: OnceLock::new(),
            held: Vec::new(),
            held_bytes: 0,
            open: BTreeMap::new(),
            closed: BTreeSet::new(),
            decided: Vec::new(),
            answers: BTreeMap::new(),
            text_bytes: 0,
            ended: false,
            inner,
        }
    }

    fn context(&self) -> &Label {
        &self.recognised.standing.label
    }

    /// Takes note of an event; says whether it is part of a call.
    fn note(&mut self, event: &ModelEvent) -> bool {
        match event {
            ModelEvent::Text { choice, text } | ModelEvent::Refusal { choice, text } => {
                let tainted = !self.context().is_trusted();
                if let Some(answer) = self.answer(*choice, text.len()) {
                    history::dense(text, &mut answer.dense);
                    if tainted {
                        answer.text.push_str(text);
                    }
                }
            }
            ModelEvent::Reasoning { choice, text } => {
                let tainted = !self.context().is_trusted();
                if let Some(answer) = self.answer(*choice, text.len())
                    && tainted
                {
                    answer.thought.push_str(text);
                }
            }
            ModelEvent::ToolStart { call, choice, id, name, .. } => {
                if !self.closed.contains(call) {
                    let (choice, id, name) = (*choice, id.clone(), name.clone());
                    let fresh = OpenCall { choice, id, name, ..OpenCall::default() };
                    // A second start of one call voids the first: both are told apart by nobody.
                    if self.open.insert(*call, fresh).is_some() {
                        self.closed.insert(*call);
                        self.open.remove(call);
                    }
                }
                return true;
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(open) = self.open.get_mut(call).filter(|open| !open.ended) {
                    open.arguments.push_str(json);
                }
                return true;
            }
            ModelEvent::ToolEnd { call } => {
                if let Some(open) = self.open.get_mut(call) {
                    open.ended = true;
                }
                return true;
            }
            ModelEvent::Finish { .. } | ModelEvent::Done => self.ended = true,
            _ => {}
        }
        false
    }

    /// The answer that so much more text belongs to, while there is room.
    fn answer(&mut self, choice: u32, more: usize) -> Option<&mut Answer> {
        self.text_bytes = self.text_bytes.saturating_add(more);
        (self.text_bytes <= MOST_TEXT).then(|| &mut **self.answers.entry(choice).or_default())
    }

    fn waits(&self) -> bool {
        self.open.values().any(|call| !call.ended)
    }

    /// Decides on all calls kept back, then rewrites their frames.
    async fn decide_all(&mut self) -> Result<Vec<Frame>, CallError> {
        if self.held_bytes > MOST_HELD {
            let public = "a tool call of the model is larger than this gateway keeps back";
            return Err(CallError::new(Code::TooLarge, public).with_rule("guard.held"));
        }
        let mut calls = std::mem::take(&mut self.open);
        for (ordinal, call) in &mut calls {
            self.decide(call).await.map_err(failed)?;
            self.closed.insert(*ordinal);
            let (name, arguments) = match &call.instead {
                Some((name, arguments)) => (name.clone(), arguments.clone()),
                None => (call.name.clone(), call.arguments.clone()),
            };
            let sent = ToolUse { id: call.id.clone(), name, arguments, ..ToolUse::default() };
            self.answers.entry(call.choice).or_default().calls.push(sent);
        }
        self.held_bytes = 0;
        let held = std::mem::take(&mut self.held);
        Ok(held.into_iter().map(|frame| rewrite(frame, &calls)).collect())
    }

    async fn decide(&mut self, call: &mut OpenCall) -> Result<(), StoreError> {
        let (tool, brokered, meant) = self.inner.meant(&call.name, &call.arguments);
        let text = digest::or_empty(meant.as_deref().map_or(&*call.arguments, RawValue::get));
        let json = Json::parse(text);
        let arguments = digest::digest_of(json.as_ref(), text);
        let contracts = self.contracts.clone();
        let inner = self.inner.clone();
        let contract = inner.contract(&contracts, tool.as_str());
        let decision = match &json {
            Some(json @ Json::Object(_)) => {
                let decision =
                    self.decide_json(&call.name, tool.as_str(), brokered, contract, json).await?;
                self.once(&tool, contract, arguments, decision).await?
            }
            _ => broker::no_object(tool.as_str()),
        };
        let decision = inner.carried_out(&self.principal, tool.as_str(), decision);
        let grant = if brokered {
            self.tell_broker(broker::slot(&self.scope, &tool, arguments), &decision).await?
        } else {
            None
        };
        if grant.is_some() && self.context().is_trusted() {
            self.expect_cut(grant, None).await?;
        }
        if !brokered && !decision.is_allowed() {
            let told = words::refusal_arguments(tool.as_str(), &decision);
            self.allow_telling(&told).await?;
            let denied_as = self.denied_as.as_deref().unwrap_or(&self.inner.denied_tool);
            call.instead = Some((denied_as.to_owned(), told));
        }
        self.decided.push(DecidedCall { tool, arguments, decision, grant });
        Ok(())
    }

    async fn decide_json(
        &mut self,
        declared: &str,
        tool: &str,
        brokered: bool,
        contract: &Contract,
        json: &Json<'_>,
    ) -> Result<Decision, StoreError> {
        let known = brokered
            || self.declared.iter().any(|name| **name == *declared)
            || tool == &*self.inner.denied_tool;
        if !known && !self.context().is_trusted() {
            return Ok(undeclared(tool));
        }
        let context = self.context();
        let watchful = self.recognised.watchful;
        let case = Case { tool: words::plain(tool), contract, arguments: json, context, watchful };
        let leaves = match case.look() {
            Look::Settled(decision) => return Ok(decision),
            Look::Trace(leaves) => leaves,
        };
        if self.traced + leaves.len() > SEARCHED {
            self.recognised.own.expect_many();
        }
        let mut labels = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            labels.push(self.trace(tool, leaf, case.is_met()).await?);
        }
        let intended = case.is_met() || self.is_asked_for(tool, contract, &leaves, &labels);
        let decision = case.settle(&leaves, &labels, intended);
        self.traced += leaves.len();
        Ok(decision)
    }

    /// Whether the user asked for such a call, and for one of its values with that.
    fn is_asked_for(
        &self,
        tool: &str,
        contract: &Contract,
        leaves: &[Leaf<'_>],
        labels: &[Label],
    ) -> bool {
        let own = &self.recognised.own;
        let demand = match contract.intent() {
            Some(words) => own.demand(words),
            None if contract.is_declared() => return true,
            None => {
                let suggest::Wording { asking, nouns, reads, .. } = suggest::words_for(tool);
                if reads && own.mentions(&nouns) {
                    return true;
                }
                own.demand(&asking).filter(|_| nouns.is_empty() || own.mentions(&nouns))
            }
        };
        let Some(demand) = demand else { return false };
        let within = |leaf: &Leaf<'_>| {
            let (Value::Text(text) | Value::Number(text)) = leaf.value else { return false };
            let asked = Asked { text, kind: leaf.kind, argument: leaf.argument, tool };
            demand.scopes.proves(&asked, &forms_of(leaf))
        };
        demand.whole
            || leaves.iter().zip(labels).any(|(leaf, label)| {
                label.choice == Integrity::User && label.integrity == Integrity::Trusted
                    || within(leaf)
            })
    }

    /// What the user's words alone allow to bind somebody they allow once: who steers the model
    /// may not pay twice what the user asked to be paid.
    async fn once(
        &self,
        tool: &ToolName,
        contract: &Contract,
        arguments: Digest,
        decision: Decision,
    ) -> Result<Decision, StoreError> {
        if contract.effect() != EffectKind::Commit || &*decision.rule != "contract.provenance" {
            return Ok(decision);
        }
        let standing = &self.recognised.standing;
        let turn = standing.turn.to_string();
        let pieces = [turn.as_bytes(), tool.as_str().as_bytes(), arguments.as_bytes()];
        let spent = self.scope.mark(Kind::Spent, &pieces);
        let known = self.inner.store.texts(&[spent], self.inner.now()).await?;
        if known.iter().any(Option::is_some) {
            return Ok(repeated(tool.as_str(), contract.mode()));
        }
        let text = FiledText { result: spent, label: Arc::new(standing.label.clone()) };
        let filing = Filing { texts: vec![(spent, text)], ..Filing::of(self.scope.owner()) };
        self.inner.store.file(filing, self.inner.now().after(self.inner.lifetimes.result)).await?;
        Ok(decision)
    }

    /// The label of one value: the user's, a result's, else the context's.
    async fn trace(&self, tool: &str, leaf: &Leaf<'_>, met: bool) -> Result<Label, StoreError> {
        let own = &self.recognised.own;
        let context = self.context();
        let text = match leaf.value {
            Value::Text(text) | Value::Number(text) => text,
            Value::Choice => return Ok(context.clone()),
        };
        let asked = Asked { text, kind: leaf.kind, argument: leaf.argument, tool };
        let forms = forms_of(leaf);
        let said = match leaf.value {
            Value::Number(_) => own.holds_any(&forms) || own.marks(&asked),
            _ => own.proves(&asked, &forms),
        };
        if said {
            return Ok(Label::user());
        }
        let standing = &self.recognised.standing;
        if !forms.is_empty() && !standing.crowded {
            let marks: Vec<Mark> =
                forms.iter().map(|form| self.scope.mark(Kind::Leaf, &[form.as_bytes()])).collect();
            let filed = self.inner.store.leaves(&marks, self.inner.now()).await?;
            let lowest = filed
                .iter()
                .flatten()
                .filter(|leaf| standing.results.contains(&leaf.result))
                .map(|leaf| leaf.integrity)
                .min();
            if let Some(integrity) = lowest {
                let label = Label { integrity, ..context.clone() };
                return self.picked(leaf, text, label).await;
            }
        }
        if met {
            let prints = seen::readings(text, self.scope.seed());
            let seen = self.inner.store.printed(&prints, self.inner.now()).await?;
            return Ok(seen.map_or_else(|| context.clone(), |seen| context.join(&seen)));
        }
        self.picked(leaf, text, context.clone()).await
    }

    /// Raises who chose a value to the user, where the user named the record that it is of and no
    /// other goes by that name.
    async fn picked(&self, leaf: &Leaf<'_>, text: &str, label: Label) -> Result<Label, StoreError> {
        if leaf.requires.is_met_by(&label) || self.recognised.standing.crowded {
            return Ok(label);
        }
        let named = self.named_records().await?;
        let Some(integrity) = pick::integrity(&self.inner, &self.scope, named, text).await? else {
            return Ok(label);
        };
        let raised = Label { integrity, choice: Integrity::User, ..label.clone() };
        Ok(if leaf.requires.is_met_by(&raised) { raised } else { label })
    }

    /// The records that the user's words name, looked up once.
    async fn named_records(&self) -> Result<&[pick::Named], StoreError> {
        if let Some(named) = self.named.get() {
            return Ok(named);
        }
        let runs = self.recognised.own.runs(pick::LONGEST, pick::MOST);
        let named = pick::named(&self.inner, &self.scope, runs).await?;
        Ok(self.named.get_or_init(|| named))
    }

    /// Leaves a grant or a refusal for the broker.
    async fn tell_broker(
        &self,
        slot: Mark,
        decision: &Decision,
    ) -> Result<Option<GrantId>, StoreError> {
        let expires = self.inner.now().after(self.inner.lifetimes.grant);
        let standing = &self.recognised.standing;
        let (conversation, turn, cause) = (standing.conversation, standing.turn, self.request);
        let (label, hint) = (standing.label.clone(), self.hint.clone());
        if decision.is_allowed() {
            let id = broker::fresh_grant(&self.inner);
            let grant = Grant { id, conversation, turn, cause, label, hint };
            self.inner.store.grant(slot, grant, expires).await?;
            return Ok(Some(id));
        }
        let decision = decision.clone();
        let denial = Denial { decision, conversation, turn, cause, label, hint };
        self.inner.store.refuse(slot, denial, expires).await?;
        Ok(None)
    }

    /// Grants the call that tells of a refusal, so that the broker knows its cause too.
    async fn allow_telling(&self, arguments: &str) -> Result<(), StoreError> {
        let tool = ToolName::new(self.inner.denied_tool.clone());
        let slot = broker::slot(&self.scope, &tool, digest::canonical_digest(arguments));
        let decision = Decision::allow("contract.read", "it tells of a refusal");
        self.tell_broker(slot, &decision).await.map(drop)
    }

    async fn end(&mut self) -> Result<Vec<Frame>, CallError> {
        let rest = if self.ended {
            for call in self.open.values_mut() {
                call.ended = true;
            }
            if self.held.is_empty() { Vec::new() } else { self.decide_all().await? }
        } else {
            // The stream was cut: half a call goes nowhere.
            self.held.clear();
            self.open.clear();
            Vec::new()
        };
        self.remember().await.map_err(failed)?;
        Ok(rest)
    }

    /// Notes from where a granted call was made, for what it brings may be untrusted.
    async fn expect_cut(
        &self,
        grant: Option<GrantId>,
        answered: Option<Mark>,
    ) -> Result<(), StoreError> {
        let Some(grant) = grant else { return Ok(()) };
        let Recognised { standing, asked, .. } = &self.recognised;
        let heads = asked.iter().copied().chain(answered);
        fold::expect_cut(&self.inner, &self.scope, grant, standing, heads).await
    }

    /// Extends the chain by what was sent on, so that the next request is recognised.
    async fn remember(&mut self) -> Result<(), StoreError> {
        if self.text_bytes > MOST_TEXT {
            return Ok(());
        }
        self.recognised.standing.answered = true;
        let standing = &self.recognised.standing;
        let expires = self.inner.now().after(self.inner.lifetimes.conversation);
        let mut heads = Vec::new();
        for answer in self.answers.values_mut() {
            let mut head = self.recognised.head;
            if !answer.dense.is_empty() {
                let text = std::mem::take(&mut answer.dense);
                head = history::link(&self.scope, head, &Item::Assistant(text));
            }
            for call in &answer.calls {
                head = history::link(&self.scope, head, &Item::Call(call));
            }
            if head != self.recognised.head {
                self.inner.store.remember(head, standing, expires).await?;
                heads.push(head);
            }
        }
        if standing.label.is_trusted() {
            for one in &self.decided {
                for head in &heads {
                    self.expect_cut(one.grant, Some(*head)).await?;
                }
            }
        }
        if !standing.label.is_trusted() {
            let tainted = self.inner.now().after(self.inner.lifetimes.tainted);
            self.inner.store.taint(self.scope.owner(), &standing.label, tainted).await?;
            self.print_words(&standing.label).await?;
        }
        self.answers.clear();
        Ok(())
    }

    /// Files the words of a model that has read untrusted data: a summary of its own may come
    /// back in the user's name.
    async fn print_words(&self, label: &Label) -> Result<(), StoreError> {
        let mut passed = Vec::new();
        for call in self.answers.values().flat_map(|answer| &answer.calls) {
            if let Some(json) = Json::parse(&call.arguments) {
                json.each_text(&mut |text| passed.push(text.to_owned()));
            }
        }
        let said = self.answers.values().flat_map(|answer| [&answer.text, &answer.thought]);
        let said = said.chain(&passed).map(String::as_str);
        fold::print(&self.inner, &self.scope, said, self.recognised.own.texts(), label).await
    }
}

/// The canonical forms of a value, of the kind that is taken there.
fn forms_of(leaf: &Leaf<'_>) -> Vec<String> {
    match (leaf.value.clone(), leaf.kind) {
        (Value::Choice, _) => Vec::new(),
        (Value::Number(raw), kind) => literal::number_forms(kind, raw),
        (Value::Text(text), Some(kind)) => literal::forms_as(kind, text),
        (Value::Text(text), None) => literal::forms(text),
    }
}

fn repeated(tool: &str, mode: Mode) -> Decision {
    let tool = words::plain(tool);
    let reason = format!(
        "`{tool}` was not called: it was called with these very arguments since the user's last \
         words, and the model has read untrusted data."
    );
    let rule = if mode == Mode::Ask { "contract.repeated.ask" } else { "contract.repeated" };
    Decision::deny(rule, reason)
        .with_remedy("say in your own message that it is to be done once more")
}

fn undeclared(tool: &str) -> Decision {
    let reason = format!(
        "`{}` was not called: nobody declared such a tool, and the model has read untrusted data.",
        words::plain(tool)
    );
    Decision::deny("contract.undeclared", reason).with_remedy("declare the tool")
}

/// Puts another call in the place of each refused one; what belongs to no call that was decided
/// on drops out.
fn rewrite(frame: Frame, calls: &BTreeMap<u32, OpenCall>) -> Frame {
    let kept = |event: &ModelEvent| match event {
        ModelEvent::ToolStart { call, .. }
        | ModelEvent::ToolDelta { call, .. }
        | ModelEvent::ToolEnd { call } => match calls.get(call) {
            Some(call) => call.instead.is_none(),
            None => false,
        },
        _ => true,
    };
    if frame.events.iter().all(kept) {
        return frame;
    }
    let mut events = Vec::with_capacity(frame.events.len() + 1);
    for event in frame.events {
        if kept(&event) {
            events.push(event);
            continue;
        }
        match event {
            ModelEvent::ToolStart { call, choice, id, state, .. } => {
                let instead = calls.get(&call).and_then(|call| call.instead.as_ref());
                if let Some((name, json)) = instead {
                    events.push(ModelEvent::ToolStart {
                        call,
                        choice,
                        id,
                        name: name.clone(),
                        state,
                    });
                    events.push(ModelEvent::ToolDelta { call, json: json.clone() });
                }
            }
            ModelEvent::ToolEnd { call } if calls.contains_key(&call) => {
                events.push(ModelEvent::ToolEnd { call });
            }
            _ => {}
        }
    }
    Frame::of(events)
}

fn size(frame: &Frame) -> usize {
    let raw = frame.raw.as_deref().map_or(0, <[u8]>::len);
    frame.events.iter().fold(raw + 64, |size, event| match event {
        ModelEvent::ToolDelta { json, .. } => size + json.len() + 64,
        ModelEvent::Text { text, .. } | ModelEvent::Reasoning { text, .. } => size + text.len(),
        _ => size + 128,
    })
}

impl Watch for ToolWatch {
    fn frame(&mut self, frame: Frame) -> Flow {
        if self.hosted.is_some() && hosted::may_have_run(&frame) {
            let read = self.hosted.take();
            if let Some(label) = &read {
                self.recognised.standing.label.absorb(label);
            }
        }
        let mut of_call = false;
        for event in &frame.events {
            of_call |= self.note(event);
        }
        let waits = self.waits();
        // The end of the answer may not overtake a call that is kept back.
        let goes_on = !of_call && (!waits || !self.ended);
        if goes_on {
            return Flow::Pass(frame);
        }
        self.held_bytes += size(&frame);
        if self.held_bytes > MOST_HELD {
            self.held.clear();
            self.open.clear();
            return Flow::Judge;
        }
        self.held.push(frame);
        if waits { Flow::Hold } else { Flow::Judge }
    }

    fn judge(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>> {
        Box::pin(async move { if self.waits() { Ok(Vec::new()) } else { self.decide_all().await } })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>> {
        Box::pin(self.end())
    }

    fn decided(&self) -> &[DecidedCall] {
        &self.decided
    }
}
