//! Who calls, whether they may, and with which credential the gateway goes on.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{BoxFuture, CallError, Cx, Decision, Label, Principal, Secret, ToolName};

/// What a caller showed at the edge.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    /// The credential, from `Authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`.
    pub token: Option<Secret>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// The proof that the caller has the key which the token is bound to, where it came as
    /// `Authorization: DPoP`. Shown beside `Bearer`, a proof is none (RFC 9449 §7.2).
    pub proof: Option<Proof>,
    /// The SHA-256 hash of the certificate that the caller showed in TLS, as base64url, where the
    /// edge asks for one (RFC 8705 §3.1).
    pub certificate: Option<Arc<str>>,
}

/// A proof of possession and the request it is for (RFC 9449 §4).
#[derive(Debug, Clone)]
pub struct Proof {
    /// The `DPoP` header's value: a signed JWT. Empty where the header is missing or repeated.
    pub jws: Secret,
    /// The request's method.
    pub method: Arc<str>,
    /// The request's URL as the caller wrote it: the gateway's public one.
    pub url: Arc<str>,
}

/// Establishes who calls.
pub trait Authenticator: Send + Sync {
    /// The principal behind what was shown.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthenticated`](crate::Code::Unauthenticated) with the same sentence whatever
    /// was wrong with the credential.
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Arc<Principal>, CallError>>;
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Call a model, by the name the client wrote.
    Model(&'a str),
    /// See and call a tool: one question, so that what cannot be called cannot be seen.
    Tool(&'a ToolName),
    /// Run a tool with these arguments, once the guard has judged them. Asked after
    /// [`Tool`](Self::Tool), which knows only the name.
    Call {
        /// Which tool.
        tool: &'a ToolName,
        /// The arguments: a JSON object, as the client wrote it.
        arguments: &'a RawValue,
        /// What the guard knows of the context that the call comes from.
        label: &'a Label,
    },
}

/// Decides whether a principal may do something. Pure: the same question has the same answer
/// until the rules change.
pub trait Authorizer: Send + Sync {
    /// The decision, with its rule and reason.
    fn authorize(&self, cx: &Cx, action: Action<'_>) -> Decision;
}

/// For which upstream a credential is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Audience<'a> {
    /// A model upstream, by name.
    Upstream(&'a str),
    /// An MCP server, by name.
    Server(&'a str),
}

/// A credential to show upstream.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An API key or token; the dialect knows its header.
    Key(Secret),
    /// A header of its own.
    Header {
        /// The header's name.
        name: Arc<str>,
        /// Its value.
        value: Secret,
    },
    /// Keys that requests are signed with (AWS Signature Version 4).
    Aws {
        /// The access key's public id.
        access_key_id: Arc<str>,
        /// The secret access key.
        secret_access_key: Secret,
        /// The session token, for temporary keys. Never taken from elsewhere when unset.
        session_token: Option<Secret>,
    },
    /// A Google service account's key file, as JSON text: access tokens are got with it
    /// (RFC 7523).
    ServiceAccount(Secret),
}

/// How an upstream refused what was shown: HTTP 401 or 403.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The status.
    pub status: u16,
    /// The URL that refused: the resource in the sense of RFC 8707.
    pub url: &'a str,
    /// The `WWW-Authenticate` values (RFC 9110 §11.6.1), in their order.
    pub challenges: &'a [String],
    /// What was shown, if anything was.
    pub shown: Option<&'a Credential>,
}

/// Finds the credential to show upstream on a principal's behalf.
pub trait Credentials: Send + Sync {
    /// The credential, or `None` where the upstream wants none.
    ///
    /// # Errors
    ///
    /// Where one is wanted and cannot be had.
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>>;

    /// How many credentials there are to choose from.
    fn choices(&self, _cx: &Cx, _audience: Audience<'_>) -> usize {
        1
    }

    /// The credential at this place among the [`choices`](Credentials::choices), from 0.
    ///
    /// # Errors
    ///
    /// As [`credential`](Credentials::credential).
    fn choice<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
        _place: usize,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        self.credential(cx, audience)
    }

    /// The upstream refused what was shown. Brings another credential, to be tried once, or
    /// `None` where there is no other: the refusal stands.
    ///
    /// # Errors
    ///
    /// Where another one takes more than this call can do: a person's consent
    /// ([`CallError::consent`]), or an authorization server that does not answer.
    fn refused<'a>(
        &'a self,
        _cx: &'a Cx,
        _audience: Audience<'a>,
        _refusal: Refusal<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
