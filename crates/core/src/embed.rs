//! Calls beside completions: embeddings, token counts, and what is relayed as it is.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    BoxStream, CallError, DialectId, Preferences, Purse, RawCall, Reservation, Route, Usage,
};

/// A call for embeddings, in the common form.
#[derive(Debug, Clone, Default)]
pub struct EmbedCall {
    /// The model as the client wrote it.
    pub model: String,
    /// What to embed, in order.
    pub input: Vec<EmbedInput>,
    /// How long the vectors are to be.
    pub dimensions: Option<u32>,
    /// Whether the client wants the vectors as base64 of little-endian `f32`.
    pub base64: bool,
    /// What the vectors are for, in Cohere's words: `search_query`, `search_document`,
    /// `classification`, `clustering`.
    pub purpose: Option<String>,
    /// The end user, as the application names them.
    pub user: Option<String>,
    /// Fields that the common form does not know, in order.
    pub extra: Vec<(String, Box<RawValue>)>,
    /// The body as the client sent it.
    pub raw: Option<RawCall>,
    /// What the client wishes of the routing.
    pub preferences: Preferences,
    /// Who reserves before each attempt.
    pub purse: Option<Arc<dyn Purse>>,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedInput {
    /// Text.
    Text(String),
    /// Token ids of the model's own tokenizer.
    Tokens(Vec<u32>),
}

/// Embeddings.
#[derive(Debug)]
pub struct EmbedReply {
    /// Whose wire `raw` is.
    pub dialect: DialectId,
    /// How it was routed.
    pub route: Arc<Route>,
    /// Upstream headers that a client of the same dialect expects.
    pub headers: Vec<(String, String)>,
    /// The model, as the provider names it.
    pub model: String,
    /// The vectors, in the order of the input.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens, where the provider told.
    pub usage: Option<Usage>,
    /// The body as it came.
    pub raw: Option<Bytes>,
    /// Room that was reserved for the attempt that answered.
    pub hold: Option<Box<dyn Reservation>>,
}

/// The tokens of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenCount {
    /// How many.
    pub input: u64,
    /// Whether they were estimated here, because the provider does not count.
    pub estimated: bool,
    /// How it was routed.
    pub route: Arc<Route>,
}

/// A request for an upstream, as it is.
pub struct RelayCall {
    /// The upstream to send it to; `None`: the only one that can take it.
    pub upstream: Option<String>,
    /// The model that the request names, where one was found in it.
    pub model: Option<String>,
    /// The dialect whose family of routes it belongs to.
    pub dialect: DialectId,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the dialect's base (`/files?limit=2`).
    pub path: String,
    /// Headers that may go on: no credential is among them.
    pub headers: Vec<(String, String)>,
    /// The body, as it comes.
    pub body: BoxStream<'static, Result<Bytes, CallError>>,
}

impl fmt::Debug for RelayCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayCall")
            .field("upstream", &self.upstream)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// An upstream's answer, as it is.
pub struct RelayReply {
    /// Which upstream answered.
    pub upstream: String,
    /// The HTTP status.
    pub status: u16,
    /// Its headers, without those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body, as it comes. Dropping it cancels the exchange.
    pub body: BoxStream<'static, Result<Bytes, CallError>>,
}

impl fmt::Debug for RelayReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayReply")
            .field("upstream", &self.upstream)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
