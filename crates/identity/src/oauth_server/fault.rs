//! What goes wrong, as OAuth says it (RFC 6749 §5.2), and what stays with the log.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{CallError, Code};
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::store::OAuthStoreError;
use crate::oauth_client::OAuthError;

/// An error answer in the making.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: Cow<'static, str>,
    basic: bool,
    wait: Option<Duration>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        let (status, description) = (StatusCode::BAD_REQUEST, description.into());
        Self { status, code, description, basic: false, wait: None }
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new("invalid_request", description)
    }

    /// One sentence for everything that can be wrong with a grant.
    pub(crate) fn invalid_grant() -> Self {
        Self::new("invalid_grant", "the grant is not valid")
    }

    pub(crate) fn invalid_target() -> Self {
        Self::new("invalid_target", "name one resource of this server")
    }

    /// One sentence for everything that can be wrong with a client's authentication.
    pub(crate) fn invalid_client(basic: bool) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self { status, basic, ..Self::new("invalid_client", "the client is not authenticated") }
    }

    pub(crate) fn too_many(wait: Duration) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let fault = Self::new("temporarily_unavailable", "too many attempts from here");
        Self { status, wait: Some(wait), ..fault }
    }

    pub(crate) fn unavailable() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let fault = Self::new("temporarily_unavailable", "try again later");
        Self { status, wait: Some(Duration::from_secs(5)), ..fault }
    }

    /// Our own fault; the cause is for the log.
    pub(crate) fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(cause, "the authorization server failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, ..Self::new("server_error", "internal error") }
    }

    /// With this status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// As an answer.
    pub(crate) fn answer(&self) -> Response<Bytes> {
        let body = json!({"error": self.code, "error_description": self.description});
        let mut answer = fresh(self.status, &body);
        if self.basic {
            let value = HeaderValue::from_static("Basic realm=\"doorward\", charset=\"UTF-8\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        if let Some(wait) = self.wait {
            let seconds = wait.as_secs().max(1);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}

impl From<OAuthStoreError> for Fault {
    fn from(error: OAuthStoreError) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::internal(&error) }
    }
}

impl From<OAuthError> for Fault {
    fn from(error: OAuthError) -> Self {
        Self::internal(&error)
    }
}

/// Of an assertion that is not accepted.
impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error.code {
            Code::Overloaded => Self::unavailable(),
            Code::Internal => Self::internal(&error),
            _ => {
                let cause: &(dyn Error + 'static) = &error;
                tracing::debug!(cause, "an assertion is not accepted");
                Self::invalid_grant()
            }
        }
    }
}

/// JSON that no cache may keep (RFC 6749 §5.1).
pub(crate) fn fresh(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = answered(status, body);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

/// JSON that everybody may read.
pub(crate) fn answered(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    share(headers);
    answer
}

/// Clients that run in a browser may read it: nothing here goes by cookies.
pub(crate) fn share(headers: &mut http::HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    let exposed = HeaderValue::from_static("www-authenticate, retry-after");
    headers.insert(HeaderName::from_static("access-control-expose-headers"), exposed);
}
