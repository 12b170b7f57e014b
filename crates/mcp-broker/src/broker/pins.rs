//! Pins at work: what of a server's list may be seen, and how an operator lets more be seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_core::{CallError, Code, Digest};
use sha2::{Digest as _, Sha256};

use super::{Broker, Inner, unknown};
use crate::edit;
use crate::pin::{
    Approval, Canonical, Diff, Finding, Named, Pin, PinError, RULE, Standing, inspect_definition,
    judge, shadows,
};
use crate::server::Doubt;
use crate::shelf::{Member, ToolStock};
use crate::upstream::pages::{Definition, Kind};

/// How often a list is judged anew when others write its pins at the same time.
const MOST_TRIES: usize = 5;
/// Who approves by policy; an operator's word counts for more.
const FIRST_USE: &str = "first use";

/// What was decided on a server's list.
#[derive(Default)]
pub(super) struct Judged {
    /// By the tool's own name: why it is held back.
    pub(super) held: HashMap<Arc<str>, String>,
    /// Tools that an operator approved as they are.
    pub(super) vouched: Vec<Arc<str>>,
    /// What an operator should know.
    doubts: Vec<Doubt>,
}

impl Inner {
    /// Compares a server's list with its pins, and keeps what changed.
    pub(super) async fn judge(
        &self,
        member: &Member,
        tools: &[Definition],
    ) -> Result<Judged, CallError> {
        for _ in 0..MOST_TRIES {
            if let Some(judged) = self.judge_once(member, tools).await.map_err(broken)? {
                member.set_doubts(judged.doubts.clone());
                return Ok(judged);
            }
        }
        Err(CallError::new(Code::Overloaded, "too many write the pins of this server at once"))
    }

    /// Of a list as it came, and of the pins that it is judged by.
    pub(super) async fn fingerprint(
        &self,
        member: &Member,
        tools: &[Definition],
    ) -> Result<[u8; 32], CallError> {
        let mut hash = Sha256::new();
        for tool in tools {
            hash.update(tool.json.get());
            hash.update([0]);
        }
        let mut pins = self.pins.pins(&member.name).await.map_err(broken)?;
        pins.sort_unstable_by(|a, b| a.tool.cmp(&b.tool));
        for pin in &pins {
            hash.update(pin.tool.as_bytes());
            hash.update([0]);
            hash.update(pin.revision.to_be_bytes());
        }
        Ok(hash.finalize().into())
    }

    /// `None` where somebody else wrote a pin meanwhile.
    async fn judge_once(
        &self,
        member: &Member,
        tools: &[Definition],
    ) -> Result<Option<Judged>, PinError> {
        let kept = self.pins.pins(&member.name).await?;
        let kept: HashMap<_, _> = kept.into_iter().map(|pin| (pin.tool.clone(), pin)).collect();
        let mut judged = Judged::default();
        for tool in tools {
            let own: Arc<str> = tool.own.as_str().into();
            let Ok(definition) = Canonical::of(&tool.json) else {
                judged.hold(own, "cannot be read without doubt".into(), Vec::new());
                continue;
            };
            let known = kept.get(&own);
            let (policy, now) = (&member.server.pins, self.clock.now());
            let judgement = judge(&member.name, known, &definition, policy, now);
            if let Some(record) = judgement.record
                && !self.pins.put(record).await?
            {
                return Ok(None);
            }
            if judgement.standing == Standing::Approved && known.is_some_and(is_vouched) {
                judged.vouched.push(own);
                continue;
            }
            let findings = inspect_definition(&definition);
            if judgement.listed {
                judged.note(&own, &judgement.standing, &findings);
                continue;
            }
            let reason = match &judgement.standing {
                Standing::Changed { .. } => "changed since it was approved",
                Standing::Suspicious { .. } => "holds what a person should look at first",
                Standing::New | Standing::Approved => "was never approved",
            };
            judged.hold(own, reason.into(), findings);
        }
        for doubt in judged.doubts.iter().filter(|doubt| doubt.held) {
            let (tool, reason) = (&doubt.tool, &doubt.reason);
            tracing::warn!(server = %member.name, %tool, reason, "tool is held back until it is approved");
        }
        Ok(Some(judged))
    }

    /// Looks for tools that meddle with another server's, over all that is known.
    pub(super) fn overshadow(&self) {
        if !self.unlooked.swap(false, Ordering::AcqRel) {
            return;
        }
        let stocks: Vec<_> = self.members.iter().map(|member| member.any_tools()).collect();
        let all = stocks.iter().enumerate().flat_map(|(server, stock)| {
            stock.iter().flat_map(move |stock| stock.tools.iter().map(move |tool| (server, tool)))
        });
        let all: Vec<_> = all.collect();
        let descriptions: Vec<String> =
            all.iter().map(|(_, tool)| described(tool.spec.definition.get())).collect();
        let named = all.iter().zip(&descriptions).map(|((_, tool), description)| Named {
            server: &tool.spec.server,
            name: &tool.own,
            description,
        });
        let mut found: HashMap<(usize, Arc<str>), String> = HashMap::new();
        for shadow in shadows(&named.collect::<Vec<_>>()) {
            let Some(&server) = self.by_name.get(shadow.server.as_str()) else { continue };
            let member = &self.members[server];
            let own = shadow.tool.as_str();
            let vouched = stocks[server]
                .as_ref()
                .and_then(|stock| stock.tool(own))
                .is_some_and(|tool| tool.vouched);
            if vouched {
                continue;
            }
            let held = shadow.finding.severity >= member.server.pins.hold;
            member.add_doubt(Doubt {
                tool: own.into(),
                held,
                reason: "meddles with another server's tool".into(),
                findings: vec![shadow.finding],
            });
            if held {
                tracing::warn!(server = %member.name, tool = own, of = shadow.of_server, "tool meddles with another server's and is held back");
                found.insert((server, own.into()), "meddles with another server's tool".into());
            }
        }
        self.shadowed.store(Arc::new(found));
    }

    /// Why a tool is held back in the eyes of whoever has this list.
    pub(super) fn held(&self, server: usize, stock: &ToolStock, own: &str) -> Option<String> {
        if let Some(reason) = stock.held.get(own) {
            return Some(reason.clone());
        }
        let shadowed = self.shadowed.load();
        if shadowed.is_empty() {
            return None;
        }
        shadowed.get(&(server, own.into())).cloned()
    }

    async fn pin(&self, server: &str, tool: &str) -> Result<Option<Pin>, CallError> {
        let pins = self.pins.pins(server).await.map_err(broken)?;
        Ok(pins.into_iter().find(|pin| &*pin.tool == tool))
    }
}

impl Judged {
    fn hold(&mut self, own: Arc<str>, reason: String, findings: Vec<Finding>) {
        let doubt = Doubt { tool: own.clone(), held: true, reason: reason.clone(), findings };
        self.doubts.push(doubt);
        self.held.insert(own, reason);
    }

    /// What is listed and still not quite as it should be.
    fn note(&mut self, own: &Arc<str>, standing: &Standing, findings: &[Finding]) {
        let reason = match standing {
            Standing::Changed { .. } => "changed since it was approved",
            _ if !findings.is_empty() => "holds what a person should look at",
            _ => return,
        };
        let findings = findings.to_vec();
        let doubt = Doubt { tool: own.clone(), held: false, reason: reason.into(), findings };
        self.doubts.push(doubt);
    }
}

fn is_vouched(pin: &Pin) -> bool {
    pin.approved.as_ref().is_some_and(|approval| &*approval.by != FIRST_USE)
}

fn broken(error: PinError) -> CallError {
    CallError::new(Code::Internal, "the pins of this server cannot be read").with_source(error)
}

fn described(definition: &str) -> String {
    let description = edit::member(definition, "description");
    description.and_then(crate::rewrite::string).unwrap_or_default()
}

/// That a tool is held back.
pub(super) fn refused(name: &str, reason: &str) -> CallError {
    let text = format!("the definition of tool `{name}` {reason}; it awaits approval");
    CallError::new(Code::Forbidden, text).with_rule(RULE)
}

impl Broker {
    /// The pins of a server: what was approved of its tools, and what waits for approval.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] where there is no such server; where the pins cannot be read.
    pub async fn pins(&self, server: &str) -> Result<Vec<Pin>, CallError> {
        self.member(server)?;
        self.inner.pins.pins(server).await.map_err(broken)
    }

    /// What changed in a tool, by its own name, since it was approved; `None` where nothing did.
    ///
    /// # Errors
    ///
    /// As [`pins`](Self::pins); and where the server has no such tool.
    pub async fn diff(&self, server: &str, tool: &str) -> Result<Option<Diff>, CallError> {
        self.member(server)?;
        let pin = self.inner.pin(server, tool).await?.ok_or_else(|| unknown("tool", tool))?;
        Ok(pin.diff())
    }

    /// Approves what a tool, by its own name, shows now, in an operator's name; from then on it
    /// is listed. `shown` is the fingerprint of what the operator looked at
    /// ([`Canonical::fingerprint`]); `None` takes whatever it shows now.
    ///
    /// Other replicas see it when they read the list the next time.
    ///
    /// # Errors
    ///
    /// As [`diff`](Self::diff); [`Code::InvalidRequest`] where nothing waits for approval, or the
    /// tool changed again since it was shown.
    pub async fn approve(
        &self,
        server: &str,
        tool: &str,
        shown: Option<&Digest>,
        by: &str,
    ) -> Result<(), CallError> {
        let at = self.member(server)?;
        for _ in 0..MOST_TRIES {
            let pin = self.inner.pin(server, tool).await?.ok_or_else(|| unknown("tool", tool))?;
            let next = self.approved(at, pin, shown, by)?;
            if self.inner.pins.put(next).await.map_err(broken)? {
                self.inner.members[at].changed(Kind::Tools);
                self.inner.unlooked.store(true, Ordering::Release);
                self.inner.news.send((at, Kind::Tools)).ok();
                return Ok(());
            }
        }
        Err(CallError::new(Code::Overloaded, "too many write the pins of this server at once"))
    }

    /// Has every list of tools read and judged anew when it is next asked for: call it when the
    /// pins were changed beside this broker, by another process for instance.
    pub fn judge_again(&self) {
        for (at, member) in self.inner.members.iter().enumerate() {
            member.changed(Kind::Tools);
            self.inner.news.send((at, Kind::Tools)).ok();
        }
        self.inner.unlooked.store(true, Ordering::Release);
    }

    fn approved(
        &self,
        at: usize,
        pin: Pin,
        shown: Option<&Digest>,
        by: &str,
    ) -> Result<Pin, CallError> {
        let now = self.inner.clock.now();
        let wrong =
            |error: &dyn std::error::Error| CallError::new(Code::InvalidRequest, error.to_string());
        if let Some(pending) = &pin.pending {
            let fingerprint = pending.definition.fingerprint();
            return pin.approve(shown.unwrap_or(&fingerprint), by, now).map_err(|e| wrong(&e));
        }
        // As it was approved by policy, and yet held back for what it does to others.
        let shadowed = self.inner.shadowed.load().contains_key(&(at, pin.tool.clone()));
        let approval = pin.approved.as_ref().filter(|_| shadowed);
        let definition = approval.map(|approval| approval.definition.clone());
        let definition =
            definition.ok_or_else(|| wrong(&crate::pin::ApproveError::NothingPending))?;
        if shown.is_some_and(|shown| *shown != definition.fingerprint()) {
            return Err(wrong(&crate::pin::ApproveError::ChangedSince));
        }
        let approved = Some(Approval { definition, at: now, by: by.into() });
        Ok(Pin { approved, revision: pin.revision.saturating_add(1), ..pin })
    }

    fn member(&self, server: &str) -> Result<usize, CallError> {
        self.inner.by_name.get(server).copied().ok_or_else(|| unknown("server", server))
    }
}
