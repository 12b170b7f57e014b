//! How people prove who they are at the gateway's own pages.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Authenticator as _, BoxFuture, CallError, Presented, Principal, Secret};
use doorward_identity::{KeyHash, VirtualKeys};

/// Somebody who has just signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// What they are known by from now on: sealed into the browser's cookie.
    pub ticket: String,
}

/// How people prove who they are at the gateway's own pages.
///
/// Several ways stand behind one of these: each marks its tickets, and knows its own.
pub trait SignIn: Send + Sync + fmt::Debug {
    /// By what was typed into the page's form.
    ///
    /// # Errors
    ///
    /// As an [`Authenticator`](doorward_core::Authenticator)'s.
    fn by_text(&self, text: Secret, source: IpAddr) -> BoxFuture<'_, Result<SignedIn, CallError>>;

    /// Whoever has this ticket, if it still holds: what it stands for may have ended since.
    fn recall<'a>(&'a self, ticket: &'a str) -> BoxFuture<'a, Option<Arc<Principal>>>;
}

/// Sign-in with a virtual key. The key itself is not kept: a revoked one ends the session.
#[derive(Debug, Clone)]
pub struct KeySignIn {
    keys: Arc<VirtualKeys>,
}

/// What its tickets begin with.
const MARK: &str = "key:";

impl KeySignIn {
    /// With these keys.
    pub fn new(keys: Arc<VirtualKeys>) -> Self {
        Self { keys }
    }
}

impl SignIn for KeySignIn {
    fn by_text(&self, text: Secret, source: IpAddr) -> BoxFuture<'_, Result<SignedIn, CallError>> {
        Box::pin(async move {
            let hash = self.keys.remembered(&text);
            let ticket = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(hash.as_bytes()));
            let token = Some(text);
            let presented = Presented { token, source: Some(source), ..Presented::default() };
            let principal = self.keys.authenticate(&presented).await?;
            Ok(SignedIn { principal, ticket })
        })
    }

    fn recall<'a>(&'a self, ticket: &'a str) -> BoxFuture<'a, Option<Arc<Principal>>> {
        let recalled = || {
            let hash = URL_SAFE_NO_PAD.decode(ticket.strip_prefix(MARK)?).ok()?;
            self.keys.recall(&KeyHash::from_bytes(hash.try_into().ok()?))
        };
        Box::pin(std::future::ready(recalled()))
    }
}
