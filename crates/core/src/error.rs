//! Why a call did not succeed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{DialectId, Route};

/// What kind of failure it is. Each edge maps a code to its own status in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is wrong (HTTP 400).
    InvalidRequest,
    /// Who calls is not established (401).
    Unauthenticated,
    /// A budget is used up (402).
    BudgetExhausted,
    /// Not allowed (403).
    Forbidden,
    /// No such model, tool or route (404).
    NotFound,
    /// The request is too large (413).
    TooLarge,
    /// Too many requests (429).
    RateLimited,
    /// The upstream failed or answered nonsense (502).
    Upstream,
    /// No room at the moment, here or upstream (503).
    Overloaded,
    /// It took too long (504).
    Timeout,
    /// The caller went away.
    Cancelled,
    /// Our own fault (500).
    Internal,
}

impl Code {
    /// The word used in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Upstream => "upstream",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// An upstream's own error answer, for a client that speaks its dialect.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// Whose wire `body` is.
    pub dialect: DialectId,
    /// The upstream's HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: Bytes,
}

/// Why a call did not succeed: a code, a sentence for the caller, and the cause for the log.
///
/// ```
/// use doorward_core::{CallError, Code};
/// let error = CallError::new(Code::NotFound, "no model `gpt-9` here");
/// assert_eq!(error.to_string(), "no model `gpt-9` here");
/// ```
#[derive(Debug)]
pub struct CallError {
    /// What kind of failure it is.
    pub code: Code,
    /// The sentence for the caller. Holds no secrets and nothing internal.
    pub public: Cow<'static, str>,
    /// The stable name of the rule that refused, if one did.
    pub rule: Option<Cow<'static, str>>,
    /// How long to wait before it is worth trying again.
    pub retry_after: Option<Duration>,
    /// The upstream's own answer, if it gave one.
    pub relayed: Option<Box<Relayed>>,
    /// How the call was routed, where every target failed or none was left.
    pub route: Option<Arc<Route>>,
    /// Where the person gives the consent that was missing: a page of this gateway's. An edge
    /// tells it as a URL to open, by URL-mode elicitation where the client knows that.
    pub consent: Option<Arc<str>>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl CallError {
    /// A failure of this kind.
    pub fn new(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            public: public.into(),
            rule: None,
            retry_after: None,
            relayed: None,
            route: None,
            consent: None,
            source: None,
        }
    }

    /// Our own fault; the caller learns nothing of the cause.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "internal error").with_source(source)
    }

    /// Names the rule that refused.
    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds where the person gives consent.
    #[must_use]
    pub fn with_consent(mut self, url: impl Into<Arc<str>>) -> Self {
        self.consent = Some(url.into());
        self
    }

    /// Adds how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
