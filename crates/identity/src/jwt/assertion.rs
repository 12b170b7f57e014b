//! Tokens that vouch for somebody at this gateway's own token endpoint.

use std::fmt;
use std::sync::Arc;

use doorward_core::{BoxFuture, CallError, Presented, Principal, PrincipalKind, Secret, Timestamp};
use serde_json::{Map, Value};

use super::check::{self, Trusted};
use super::compact::Compact;
use super::refused::Refused;
use super::{Inner, Jwt};

/// The type of an identity assertion authorization grant
/// (draft-ietf-oauth-identity-assertion-authz-grant §3.1).
const ID_JAG: &str = "oauth-id-jag+jwt";

/// What kind of token is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// An access token for one of the issuer's audiences, under the same rules as at the door.
    AccessToken,
    /// An ID token for one of the issuer's audiences, of an issuer whose ID tokens are accepted.
    IdToken,
    /// An identity assertion authorization grant for this authorization server and nobody else.
    IdJag {
        /// The authorization server's issuer identifier.
        audience: &'a str,
    },
}

/// A token of a trusted issuer that was found right.
#[derive(Clone)]
pub struct Assertion {
    /// Whom it speaks of.
    pub principal: Arc<Principal>,
    /// Everything it says.
    pub claims: Map<String, Value>,
    /// When it ends.
    pub expires: Timestamp,
    /// The thumbprint of the key that it is bound to (RFC 9449 §6.1).
    pub key: Option<Arc<str>>,
    /// The thumbprint of the certificate that it is bound to (RFC 8705 §3.1).
    pub certificate: Option<Arc<str>>,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("principal", &self.principal)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Verifies tokens of issuers that are trusted to vouch for people. [`Jwt`] does.
pub trait Assertions: Send + Sync + fmt::Debug {
    /// What the token says. Whether it was shown before is for the caller to know.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthenticated`](doorward_core::Code::Unauthenticated) where it is not of a
    /// trusted issuer, not of the kind expected or not good now;
    /// [`Code::Overloaded`](doorward_core::Code::Overloaded) where that cannot be told.
    fn verify<'a>(
        &'a self,
        token: &'a Secret,
        expected: Expected<'a>,
    ) -> BoxFuture<'a, Result<Assertion, CallError>>;
}

impl Assertions for Jwt {
    fn verify<'a>(
        &'a self,
        token: &'a Secret,
        expected: Expected<'a>,
    ) -> BoxFuture<'a, Result<Assertion, CallError>> {
        let inner = &*self.inner;
        Box::pin(async move {
            let vouched = inner.vouched(token.expose(), expected).await;
            vouched.map_err(|refused| inner.refuse(refused, &Presented::default()))
        })
    }
}

impl Inner {
    async fn vouched(&self, text: &str, expected: Expected<'_>) -> Result<Assertion, Refused> {
        let compact = Compact::read(text, self.longest)?;
        let (trusted, named, epoch) = self.signed(&compact).await?;
        let (header, claims) = (&compact.header, &compact.claims);
        let mut issuer = trusted.issuer.clone();
        match expected {
            Expected::AccessToken => {
                issuer.id_tokens = false;
                check::kind(&issuer, header, claims)?;
            }
            Expected::IdToken => {
                if !issuer.id_tokens || header.is_of(&["at+jwt"]) {
                    return Err(Refused::Kind);
                }
                check::kind(&issuer, header, claims)?;
            }
            Expected::IdJag { audience } => {
                if !header.is_of(&[ID_JAG]) {
                    return Err(Refused::Kind);
                }
                only(claims, audience)?;
                issuer.audiences = vec![audience.to_owned()];
                // Its client is one of ours, not of the issuer's; and it speaks of people.
                issuer.clients = None;
                issuer.mapping = issuer.mapping.for_people();
            }
        }
        let terms = check::terms(&issuer, named, claims, self.clock.now())?;
        let ring = trusted.ring.clone();
        let shown = (text, named.iss, claims);
        let trusted = Arc::new(Trusted { issuer, ring });
        let found = check::found(trusted, epoch, shown, terms, self.clock.instant()).await?;
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        let revoked = self.revocations.as_ref();
        if revoked.is_some_and(|revoked| revoked.is_revoked(&found.mark(&hash))) {
            return Err(Refused::Revoked);
        }
        let person = found.principal.kind == PrincipalKind::Person;
        if matches!(expected, Expected::IdJag { .. }) && !(person && found.terms.id.is_some()) {
            return Err(Refused::Claim("sub or jti"));
        }
        Ok(Assertion {
            principal: found.principal.clone(),
            expires: found.terms.expires,
            key: found.terms.bound.as_deref().map(Arc::from),
            certificate: found.terms.certificate.as_deref().map(Arc::from),
            claims: compact.claims,
        })
    }
}

/// Whether the audience is this one and nobody beside it.
fn only(claims: &Map<String, Value>, audience: &str) -> Result<(), Refused> {
    let one = match claims.get("aud") {
        Some(Value::Array(values)) if values.len() == 1 => values.first(),
        other => other,
    };
    let meant = one.and_then(Value::as_str) == Some(audience);
    if meant { Ok(()) } else { Err(Refused::Claim("aud")) }
}
