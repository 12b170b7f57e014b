//! The record of a call, and where records go.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Actor, Billed, BoxFuture, Code, ConversationId, Cx, DecidedCall, Decision, Digest, EventId,
    GrantId, KeyId, Label, PrincipalKind, RequestId, Route, Settled, Timestamp, ToolName, TurnId,
    Usage,
};

/// One record of the audit trail. A call has one; a tool call that must be on record before it
/// runs has two entries with the same `id`: [`Outcome::Started`], then how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The call's id, the same in both of its entries.
    pub id: EventId,
    /// When it was admitted or refused.
    pub at: Timestamp,
    /// What was called.
    pub kind: Kind,
    /// The turn.
    pub turn: TurnId,
    /// The request at the edge.
    pub request: RequestId,
    /// The conversation, where recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// Who called.
    pub who: Who,
    /// The agent as the client names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// What was decided, by which rule.
    pub decision: Decision,
    /// What a rule that only observes would have decided, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Box<Decision>>,
    /// What content checks found in it, by rule. Never what was found itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Decision>,
    /// The label under which it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// How it ended.
    pub outcome: Outcome,
    /// What kind of failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Code>,
    /// From admission to the end, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// What was said, as digests: the content itself is kept elsewhere, if at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ContentDigest>,
}

/// The digest of a part of what was said. It is over a salt too, which goes with the content: once
/// that is deleted, nobody can find out by guessing what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDigest {
    /// Which part.
    pub part: ContentPart,
    /// SHA-256 over salt and content.
    pub digest: Digest,
}

/// A part of what was said in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentPart {
    /// The request to a model.
    Request,
    /// A model's answer.
    Answer,
    /// A tool's arguments.
    Arguments,
    /// A tool's result.
    Result,
}

impl ContentPart {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Arguments => "arguments",
            Self::Result => "result",
        }
    }
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// A model.
    Model {
        /// What was asked of it.
        #[serde(default, skip_serializing_if = "Operation::is_completion")]
        operation: Operation,
        /// The name the client wrote.
        model: String,
        /// How it was routed, once it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<Arc<Route>>,
        /// Tokens, where the provider told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// What the provider said of the bill.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        billed: Option<Box<Billed>>,
        /// What was put down as spent, failed attempts included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settled: Option<Settled>,
        /// Tools taken out of the model's sight.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<String>,
        /// The tool calls the model asked for, each with its decision.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<DecidedCall>,
    },
    /// A tool.
    Tool {
        /// Its federated name.
        tool: ToolName,
        /// Digest of the canonical arguments.
        arguments: Digest,
        /// The model request that decided it, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<RequestId>,
        /// The grant it consumed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
        /// Label of what it gave back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Label>,
    },
    /// A request that was sent on as it was.
    Relay {
        /// The HTTP method.
        method: String,
        /// The path, without its query.
        path: String,
        /// The upstream that it went to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
        /// The HTTP status of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// A change by an operator.
    Admin {
        /// What was done, `key.create` for instance.
        action: String,
        /// To what.
        object: String,
        /// What it was before and after.
        #[serde(default, skip_serializing_if = "Change::is_unknown")]
        change: Change,
    },
}

/// What a change by an operator made out of what: digests, since the thing itself may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// Digest of what there was; `None` where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Digest of what there is now; `None` where nothing is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
}

impl Change {
    /// Whether nothing is said of it.
    pub const fn is_unknown(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An answer.
    #[default]
    Complete,
    /// Vectors.
    Embed,
    /// A count of tokens.
    Count,
}

impl Operation {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
    fn is_completion(&self) -> bool {
        *self == Self::Complete
    }
}

/// Who called, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The principal.
    pub id: Arc<str>,
    /// Person or service.
    pub kind: PrincipalKind,
    /// The identity provider that vouched, as it writes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Arc<str>>,
    /// Who it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Arc<str>>,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Arc<str>>,
    /// The virtual key's public id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The virtual key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<Arc<str>>,
    /// Who acted for the principal, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<Actor>,
}

impl From<&Cx> for Who {
    fn from(cx: &Cx) -> Self {
        let principal = &cx.principal;
        Self {
            id: principal.id.clone(),
            kind: principal.kind,
            issuer: principal.identity.as_ref().map(|identity| identity.issuer.clone()),
            subject: principal.identity.as_ref().map(|identity| identity.subject.clone()),
            team: principal.team.clone(),
            key: principal.key,
            key_name: principal.key_name.clone(),
            actors: principal.actors.clone(),
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed and about to run; another entry says how it ended.
    Started,
    /// It ran to its end.
    Completed,
    /// It was refused and did not run.
    Denied,
    /// It ran or tried to, and failed.
    Failed,
    /// The caller went away before the end.
    Cancelled,
}

impl Outcome {
    /// The word used in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The record could not be kept.
#[derive(Debug, Clone)]
pub struct SinkError(pub Arc<str>);

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit log takes no records: {}", self.0)
    }
}

impl std::error::Error for SinkError {}

/// Where records go. Room is taken before a call runs, so that its record can never be refused
/// afterwards.
pub trait Sink: Send + Sync {
    /// Takes room for one record; waits while there is none.
    ///
    /// # Errors
    ///
    /// Where records cannot be kept at all: the call must not run then.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, SinkError>>;

    /// Takes room for a record whose durability nobody waits for. A sink that is in trouble may
    /// give it as long as it can queue the record.
    ///
    /// # Errors
    ///
    /// Where the record cannot even be queued: the call must not run then.
    fn open_queued(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, SinkError>> {
        self.open()
    }
}

/// Room for one record.
pub trait Slot: Send {
    /// Hands the record over; it is queued at once and in order. Await the receipt to know that
    /// it is durable, or drop it.
    fn commit(self: Box<Self>, event: Event) -> Receipt;
}

/// Resolves when the record is durable.
pub type Receipt = BoxFuture<'static, Result<(), SinkError>>;
