//! The tool plane: calls that reach the broker, and what they give back.

use std::sync::Arc;

use doorward_core::{
    Cx, Decision, Digest, GrantId, Integrity, Label, Sources, ToolCall, ToolName, ToolReply,
    Verdict,
};

use crate::contract::{Contract, EffectKind, Ungranted};
use crate::digest;
use crate::engine::Inner;
use crate::fingerprint;
use crate::fold;
use crate::json::Json;
use crate::result::{Weighing, media_mark};
use crate::scope::{Kind, Scope};
use crate::seen;
use crate::turn_store::{Claim, Denial, FiledLeaf, FiledText, Filing, Grant, Mark, StoreError};
use crate::words;

/// The mark of one call: its tool and its arguments.
pub(crate) fn slot(scope: &Scope, tool: &ToolName, arguments: Digest) -> Mark {
    scope.mark(Kind::Slot, &[tool.as_str().as_bytes(), arguments.as_bytes()])
}

pub(crate) async fn judge(inner: &Inner, cx: &Cx, call: &ToolCall) -> Result<Verdict, StoreError> {
    let scope = inner.scope(cx);
    let text = digest::or_empty(call.arguments.get());
    let json = Json::parse(text);
    let arguments = digest::digest_of(json.as_ref(), text);
    let verdict = Verdict {
        decision: Decision::deny("contract.arguments", ""),
        arguments,
        turn: None,
        conversation: None,
        cause: None,
        grant: None,
        label: Label::untrusted("a call without a known decision"),
    };
    if !matches!(json, Some(Json::Object(_))) {
        let decision =
            inner.carried_out(&cx.principal, call.tool.as_str(), no_object(call.tool.as_str()));
        return Ok(Verdict { decision, ..verdict });
    }
    if call.exchange.resume.is_some() {
        let tainted = inner.store.tainted(scope.owner(), inner.now()).await?;
        let label = tainted.unwrap_or_else(|| Label::trusted("a call that goes on"));
        let decision = Decision::allow("resumed", "it goes on with a call that was admitted");
        return Ok(Verdict { decision, label, ..verdict });
    }
    let slot = slot(&scope, &call.tool, arguments);
    let hint = cx.conversation_hint.as_deref();
    Ok(match inner.store.claim(slot, hint, inner.now()).await? {
        Some(Claim::Grant(grant)) => granted(arguments, grant),
        Some(Claim::Denial(denial)) => denied(arguments, denial),
        None => ungranted(inner, &scope, cx, call, verdict).await?,
    })
}

fn granted(arguments: Digest, grant: Grant) -> Verdict {
    Verdict {
        decision: Decision::allow("grant", "a model's decision on exactly this call allows it"),
        arguments,
        turn: Some(grant.turn),
        conversation: Some(grant.conversation),
        cause: Some(grant.cause),
        grant: Some(grant.id),
        label: grant.label,
    }
}

fn denied(arguments: Digest, denial: Denial) -> Verdict {
    Verdict {
        decision: denial.decision,
        arguments,
        turn: Some(denial.turn),
        conversation: Some(denial.conversation),
        cause: Some(denial.cause),
        grant: None,
        label: denial.label,
    }
}

/// The refusal of arguments that two readers could read in two ways.
pub(crate) fn no_object(tool: &str) -> Decision {
    let tool = words::plain(tool);
    let reason = format!("`{tool}` was not called: its arguments are not a JSON object.");
    Decision::deny("contract.arguments", reason)
        .with_remedy("send the arguments as one JSON object that names each key once")
}

/// A call that no model decision is known for.
async fn ungranted(
    inner: &Inner,
    scope: &Scope,
    cx: &Cx,
    call: &ToolCall,
    verdict: Verdict,
) -> Result<Verdict, StoreError> {
    let contracts = inner.contracts();
    let tool = call.tool.as_str();
    let contract = inner.contract(&contracts, tool);
    let tainted = inner.store.tainted(scope.owner(), inner.now()).await?;
    let free = tainted.is_none();
    let floor = tainted.unwrap_or_else(|| Label::trusted("a call without a known decision"));
    let decision = match contract.ungranted() {
        Ungranted::Allow => {
            Decision::allow("contract.ungranted", "its contract allows calls of unknown cause")
        }
        Ungranted::Deny => unknown_cause(tool, contract, "its contract refuses such calls"),
        Ungranted::Floor if contract.effect() == EffectKind::Read => {
            Decision::allow("floor", "it only reads")
        }
        Ungranted::Floor => {
            // Nobody's words are known here, so a tool that is known to have an effect is judged
            // at the bottom; one that nothing is known of, at the worst that this principal reads.
            let level = if contract.is_declared() { &verdict.label } else { &floor };
            if contract.is_met_by(level) {
                Decision::allow("floor", "nothing untrusted is known to be read by this caller")
            } else if contract.is_declared() || free {
                unknown_cause(tool, contract, "its contract needs to know who chose the arguments")
            } else {
                let read = words::sources(&floor);
                unknown_cause(tool, contract, &format!("a model of yours has read {read}"))
            }
        }
    };
    let decision = inner.carried_out(&cx.principal, tool, decision);
    Ok(Verdict { decision, label: floor, ..verdict })
}

fn unknown_cause(tool: &str, contract: &Contract, why: &str) -> Decision {
    let tool = words::plain(tool);
    let reason = format!(
        "`{tool}` was not called: no decision of a model that went through this gateway asks for \
         exactly this call, and {why}."
    );
    let contract = if contract.is_declared() {
        format!("ask an operator whether the contract of `{tool}` should accept such calls")
    } else {
        format!("ask an operator for a contract of `{tool}`: it has none")
    };
    Decision::deny("ungranted", reason)
        .with_remedy(
            "let the model call go through this gateway, and pass its arguments on as they are",
        )
        .with_remedy(contract)
}

pub(crate) async fn file(
    inner: &Inner,
    cx: &Cx,
    call: &ToolCall,
    verdict: &Verdict,
    reply: &ToolReply,
) -> Result<Label, StoreError> {
    let scope = inner.scope(cx);
    let contracts = inner.contracts();
    let tool = call.tool.as_str();
    // A refusal's words are the gateway's own.
    let own = !verdict.decision.is_allowed();
    let contract = if own {
        inner.contract(&contracts, &inner.denied_tool)
    } else {
        inner.contract(&contracts, tool)
    };
    let ceiling =
        if own || tool != &*inner.denied_tool { Integrity::User } else { verdict.label.integrity };
    let mut shelf = Shelf {
        scope: &scope,
        contract,
        source: words::plain(tool).into(),
        ceiling,
        choice: if own { Integrity::User } else { verdict.label.choice.min(Integrity::User) },
        result: scope.mark(Kind::Text, &[b"result", reply.result.get().as_bytes()]),
        filing: Filing::of(scope.owner()),
        whole: None,
    };
    let label = shelf.read(reply.result.get());
    inner.store.file(shelf.filing, inner.now().after(inner.lifetimes.result)).await?;
    if let Some(grant) = verdict.grant.filter(|_| !label.is_trusted()) {
        fold::mark_served(inner, &scope, grant, &label).await?;
    }
    Ok(label)
}

/// Takes one result apart.
struct Shelf<'a> {
    scope: &'a Scope,
    contract: &'a Contract,
    source: Arc<str>,
    ceiling: Integrity,
    choice: Integrity,
    result: Mark,
    filing: Filing,
    whole: Option<Integrity>,
}

impl Shelf<'_> {
    fn read(&mut self, raw: &str) -> Label {
        let Some(result) = Json::parse(raw) else {
            // Nothing in it can be found again, so nothing is filed: it comes back untrusted.
            self.print(&[raw.to_owned()]);
            return self.label(Integrity::Untrusted);
        };
        let blocks = match result.field("content") {
            Some(Json::Array(blocks)) => blocks.as_slice(),
            _ => &[],
        };
        let mut texts = Vec::new();
        for block in blocks {
            if let Some(text) = self.block(block) {
                texts.push(text);
            }
        }
        if let Some(structure) = result.field("structuredContent").filter(|s| !s.is_empty()) {
            let mut weighing = Weighing::default();
            weighing.read_json(self.contract, structure, true);
            self.keep(self.scope.structure(structure), weighing);
        }
        let whole = self.whole.unwrap_or_else(|| self.contract.integrity_at(&[]));
        let label = self.label(whole);
        if texts.len() > 1 {
            for between in ["", "\n", "\n\n", " "] {
                self.put(self.scope.essence(&texts.join(between)), label.clone());
            }
        }
        // Passed on whole, with whatever else the server put into it.
        let besides = match &result {
            Json::Object(entries) => entries.iter().any(|(key, value)| {
                !matches!(key.as_ref(), "content" | "structuredContent" | "isError")
                    && !value.is_empty()
            }),
            _ => true,
        };
        let entire = if besides { whole.min(self.contract.worst_integrity()) } else { whole };
        let entire = self.label(entire);
        self.put(self.scope.structure(&result), entire);
        label
    }

    /// Files one content block; hands its text back.
    fn block<'j>(&mut self, block: &'j Json<'_>) -> Option<&'j str> {
        let mut weighing = Weighing::default();
        let kind = block.field("type").and_then(Json::as_str);
        if kind == Some("text")
            && let Some(text) = block.field("text").and_then(Json::as_str)
        {
            weighing.read_text(self.contract, text);
            self.keep(self.scope.essence(text), weighing);
            return Some(text);
        }
        let worst = self.contract.worst_integrity();
        if let Some(data) = block.field("data").and_then(Json::as_str) {
            weighing.worst = Some(worst);
            self.keep(media_mark(self.scope, data), weighing);
            return None;
        }
        let resource = block.field("resource").and_then(|resource| resource.field("text"));
        match resource.and_then(Json::as_str) {
            Some(text) => {
                weighing.worst = Some(worst);
                if worst == Integrity::Untrusted {
                    weighing.untrusted.push(text.to_owned());
                }
                self.keep(self.scope.essence(text), weighing);
            }
            None => self.note(worst),
        }
        None
    }

    fn note(&mut self, integrity: Integrity) {
        self.whole = Some(self.whole.map_or(integrity, |whole| whole.min(integrity)));
    }

    fn keep(&mut self, mark: Mark, weighing: Weighing) {
        if let Some(worst) = weighing.worst {
            self.note(worst);
        }
        let label = self.label(weighing.worst.unwrap_or_else(|| self.contract.integrity_at(&[])));
        self.put(mark, label);
        for (form, integrity) in weighing.leaves {
            let mark = self.scope.mark(Kind::Leaf, &[form.as_bytes()]);
            let integrity = integrity.min(self.ceiling);
            self.filing.leaves.push((mark, FiledLeaf { result: self.result, integrity }));
        }
        self.filing.leaves.extend(weighing.records.leaves(self.scope, self.ceiling));
        self.print(&weighing.untrusted);
    }

    fn put(&mut self, mark: Mark, label: Label) {
        let text = FiledText { result: self.result, label: Arc::new(label) };
        self.filing.texts.push((mark, text));
    }

    fn print(&mut self, texts: &[String]) {
        for text in texts {
            self.filing.prints.extend(fingerprint::prints(text, self.scope.seed()));
            self.filing.prints.extend(seen::prints(text, self.scope.seed()));
        }
        self.filing.printed = Arc::new(Label::untrusted(self.source.clone()));
    }

    fn label(&self, integrity: Integrity) -> Label {
        let integrity = integrity.min(self.ceiling);
        let choice = match integrity {
            Integrity::Untrusted => Integrity::Untrusted,
            _ => self.choice,
        };
        Label {
            integrity,
            choice,
            readers: self.contract.readers().clone(),
            sources: Sources::one(self.source.clone()),
        }
    }
}

/// A fresh grant for a call of the broker's.
pub(crate) fn fresh_grant(inner: &Inner) -> GrantId {
    GrantId::random(&*inner.entropy)
}
