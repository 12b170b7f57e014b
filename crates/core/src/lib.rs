//! The shared vocabulary of Doorward.
//!
//! Every other crate speaks in these words and none of them needs a runtime or an HTTP stack to
//! do so. A **turn** starts when a person asks; a **model call** decides; a **tool call** acts;
//! each is made by a [`Principal`] inside a [`Cx`], judged by a [`Guard`], and leaves one
//! [`Event`].
//!
//! ```
//! use doorward_core::{Integrity, Label};
//!
//! // What the person typed, joined with what a stranger wrote, is as trusted as the stranger.
//! let context = Label::user().join(&Label::untrusted("tracker__get_issue"));
//! assert_eq!(context.integrity, Integrity::Untrusted);
//! assert!(!context.is_trusted());
//! ```
//!
//! The traits are the seams: [`Models`] and [`Tools`] are the two planes; [`Authenticator`],
//! [`Authorizer`], [`Guard`], [`Credentials`], [`Ledger`] and [`Sink`] are what stands around
//! them; [`Clock`] and [`Entropy`] make time and chance parameters.

mod access;
mod call;
mod catalogue;
mod client;
mod cx;
mod decision;
mod embed;
mod entropy;
mod error;
mod event;
mod guard;
mod hex;
mod id;
mod label;
mod ledger;
mod message;
mod pattern;
mod preferences;
mod principal;
mod reply;
mod secret;
mod time;
mod tool;
mod usage;

pub use access::{
    Action, Audience, Authenticator, Authorizer, Credential, Credentials, Presented, Proof, Refusal,
};
pub use call::{Model, ModelCall, Models, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
pub use catalogue::{Fetch, FetchCall, Interest, Item, ItemKind, ItemList, News, Offers};
pub use client::{Client, Exchange, LogLevel, Manner, Question, Remark, Resume, RpcFault};
pub use cx::{Cx, TraceContext};
pub use decision::{Decision, Effect};
pub use embed::{EmbedCall, EmbedInput, EmbedReply, RelayCall, RelayReply, TokenCount};
pub use entropy::{Entropy, PooledEntropy, SystemEntropy};
pub use error::{CallError, Code, Relayed};
pub use event::{
    Change, ContentDigest, ContentPart, Event, Kind, Operation, Outcome, Receipt, Sink, SinkError,
    Slot, Who,
};
pub use guard::{Admission, DecidedCall, Flow, Guard, Verdict, Watch};
pub use id::{ConversationId, EventId, GrantId, KeyId, ParseIdError, RequestId, TurnId};
pub use label::{Integrity, Label, Readers, Sources};
pub use ledger::{Ask, Estimate, Ledger, Purse, Reservation, Settled, Spent};
pub use message::{
    Body, IssuerState, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role,
};
pub use message::{ToolResult, ToolUse};
pub use pattern::Pattern;
pub use preferences::{MaxPrice, Preferences, Sort};
pub use principal::{Actor, Identity, Principal, PrincipalKind, Scopes};
pub use reply::{
    Attempt, Citation, DialectId, Excluded, Finish, Frame, ModelEvent, ModelReply, Route,
};
pub use secret::Secret;
pub use time::{Clock, SystemClock, Timestamp};
pub use tool::{
    CALL_TOOL, Digest, Gap, Names, SEARCH_TOOLS, Scope, Stage, ToolCall, ToolList, ToolName,
    ToolReply, ToolSpec, Tools,
};
pub use usage::{Billed, Usage};

use std::future::Future;
use std::pin::Pin;

/// A future on the heap, as boundary traits return it so that they stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream on the heap; see [`BoxFuture`].
pub type BoxStream<'a, T> = Pin<Box<dyn futures_core::Stream<Item = T> + Send + 'a>>;
