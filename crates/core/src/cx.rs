//! The circumstances of a call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::{Principal, RequestId, TurnId};

/// What every call carries: on whose behalf, within which turn, until when.
#[derive(Debug, Clone)]
pub struct Cx {
    /// The turn this call belongs to. The guard replaces it when it recognises the conversation.
    pub turn: TurnId,
    /// This request.
    pub request: RequestId,
    /// For whom.
    pub principal: Arc<Principal>,
    /// The agent as the client names it (`x-doorward-agent`); a label, no proof.
    pub agent: Option<Arc<str>>,
    /// The conversation as the client names it (`x-doorward-conversation`); tells apart, never
    /// vouches.
    pub conversation_hint: Option<Arc<str>>,
    /// When the answer is worth nothing any more.
    pub deadline: Option<Instant>,
    /// W3C trace context.
    pub trace: Option<TraceContext>,
    /// The network address that the request came from; `None` where no request did.
    pub source: Option<IpAddr>,
}

/// W3C Trace Context, as received (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` header's value.
    pub traceparent: Arc<str>,
    /// The `tracestate` header's value.
    pub tracestate: Option<Arc<str>>,
}
