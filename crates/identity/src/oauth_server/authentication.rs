//! Which client asks, and whether it is the one (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2.2).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Secret, Timestamp};
use serde_json::{Map, Value};
use subtle::{Choice, ConstantTimeEq as _};

use super::client::{Client, Proof, SECRET};
use super::fault::Fault;
use super::request::{Form, Request};
use super::server::OAuthServer;
use super::store::SecretHash;
use super::token::{CODE, REFRESH};
use crate::jwt::{Algorithm, Compact, VerifyingKey, seconds};
use crate::oauth_client::decode_form;

/// The longest assertion that is looked at.
const LONGEST: usize = 16 << 10;
/// The longest id of an assertion.
const ID_MOST: usize = 256;
/// How far a client's clock may be from ours.
const SKEW: Duration = Duration::from_secs(30);
/// RFC 7523 §2.2.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client shows of itself.
struct Claimed {
    id: String,
    shown: Shown,
}

enum Shown {
    Nothing,
    Secret(Secret),
    Assertion(Secret),
}

impl OAuthServer {
    /// The client that asks. Whatever is wrong with it, the answer is the same.
    pub(crate) async fn authenticate(
        &self,
        request: &Request<'_>,
        form: &Form,
    ) -> Result<Arc<Client>, Fault> {
        let basic = request.headers.contains_key(http::header::AUTHORIZATION);
        let refused = || self.failed(request, Fault::invalid_client(basic));
        let claimed = claimed(request, form)?.ok_or_else(refused)?;
        let fetch = self.is_vouched(&claimed.id, form).await?;
        let client = self.client(&claimed.id, fetch).await?;
        let Some(client) = client else {
            // An unknown client takes as long as a wrong secret.
            if let Shown::Secret(secret) = &claimed.shown {
                is_among(secret, &[SecretHash::from_bytes([0; 32])]);
            }
            return Err(refused());
        };
        let proven = match (&client.auth.0, &claimed.shown) {
            (Proof::Public, Shown::Nothing) => true,
            (Proof::Secrets(hashes), Shown::Secret(secret)) => is_among(secret, hashes),
            (Proof::Keys(_) | Proof::KeysAt(_), Shown::Assertion(text)) => {
                self.is_asserted(&client, text).await?
            }
            (Proof::Certificates(hashes), Shown::Nothing) => {
                let shown = request.certificate;
                shown.is_some_and(|shown| hashes.iter().any(|known| **known == *shown))
            }
            _ => false,
        };
        if proven { Ok(client) } else { Err(refused()) }
    }

    /// A client by its id: configured, by its document or registered.
    pub(crate) async fn client(&self, id: &str, fetch: bool) -> Result<Option<Arc<Client>>, Fault> {
        if let Some(client) = self.clients.get(id) {
            return Ok(Some(client.clone()));
        }
        if id.contains("://") {
            return Ok(self.documented(id, fetch).await);
        }
        self.registered(id).await
    }

    /// Whether something of ours that the client brings was given to a client of this id: only
    /// then, or where a person who is signed in asks, its document is worth a request of ours.
    async fn is_vouched(&self, id: &str, form: &Form) -> Result<bool, Fault> {
        if !id.contains("://") {
            return Ok(false);
        }
        let family = if let Some(code) = form.text("code") {
            self.store.family_of_code(SecretHash::of(CODE, code)).await?
        } else if let Some(token) = form.text("refresh_token").or(form.text("token")) {
            if self.own_token(token).is_some_and(|own| own.client == id) {
                return Ok(true);
            }
            self.store.family_of_refresh(SecretHash::of(REFRESH, token)).await?
        } else {
            None
        };
        Ok(family.is_some_and(|family| *family.client == *id))
    }

    /// Whether an assertion is the client's, for us, of now and shown for the first time (RFC 7523
    /// §3).
    async fn is_asserted(&self, client: &Client, text: &Secret) -> Result<bool, Fault> {
        let Ok(compact) = Compact::read(text.expose(), LONGEST) else { return Ok(false) };
        let header = &compact.header;
        let typed = header.typ.is_none() || header.is_of(&["jwt", "client-authentication+jwt"]);
        if !typed || header.jwk.is_some() || !Algorithm::USUAL.contains(&header.algorithm) {
            return Ok(false);
        }
        let kid = header.kid.as_deref();
        let keys = self.keys_of(client, kid, header.algorithm).await?;
        let fits = |key: &Arc<VerifyingKey>| {
            key.verifies(header.algorithm, compact.signed, &compact.signature)
        };
        if !keys.iter().any(fits) || !self.is_for_us(client, &compact.claims) {
            return Ok(false);
        }
        let now = self.clock.now();
        let Some(expires) = timely(&compact.claims, now, self.lifetimes.assertion) else {
            return Ok(false);
        };
        let id = compact.claims.get("jti").and_then(Value::as_str);
        let Some(id) = id.filter(|id| !id.is_empty() && id.len() <= ID_MOST) else {
            return Ok(false);
        };
        let mark = SecretHash::of("client assertion", &format!("{}\0{id}", client.id));
        Ok(self.store.once(mark, expires.after(SKEW)).await?)
    }

    async fn keys_of(
        &self,
        client: &Client,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Arc<VerifyingKey>>, Fault> {
        match &client.auth.0 {
            Proof::Keys(keys) => Ok(keys.find(kid, algorithm)),
            Proof::KeysAt(url) => {
                let ring = self.ring(url);
                match ring.find(kid, algorithm).await {
                    Ok(found) => Ok(found.keys),
                    // No keys at all: it cannot be told whether it is the client.
                    Err(_) if ring.epoch().is_none() => Err(Fault::unavailable()),
                    Err(_) => Ok(Vec::new()),
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the client speaks of itself, and to us alone: one audience, our issuer identifier
    /// or our token endpoint. An assertion for several could be shown to us by one of the others.
    fn is_for_us(&self, client: &Client, claims: &Map<String, Value>) -> bool {
        let says = |name: &str| claims.get(name).and_then(Value::as_str) == Some(&client.id);
        let audience = match claims.get("aud") {
            Some(Value::Array(values)) if values.len() == 1 => values.first(),
            other => other,
        };
        let audience = audience.and_then(Value::as_str);
        let meant = audience == Some(&self.issuer) || audience == Some(&self.endpoint("token"));
        says("iss") && says("sub") && meant
    }
}

/// When an assertion ends, if it holds now and not for too long.
pub(crate) fn timely(
    claims: &Map<String, Value>,
    now: Timestamp,
    longest: Duration,
) -> Option<Timestamp> {
    let time = |name: &str| {
        let whole = seconds(claims, name).ok()?;
        Some(whole.map(|whole| Timestamp::from_micros(whole.saturating_mul(1_000_000))))
    };
    let expires = time("exp")??;
    let begun = time("nbf")?.max(time("iat")?);
    let holds = now < expires.after(SKEW)
        && expires <= now.after(longest).after(SKEW)
        && begun.is_none_or(|begun| begun <= now.after(SKEW));
    holds.then_some(expires)
}

/// Whether a secret's hash is one of these. All are compared, each in constant time.
fn is_among(secret: &Secret, hashes: &[SecretHash]) -> bool {
    let shown = SecretHash::of(SECRET, secret.expose());
    let mut found = Choice::from(0);
    for known in hashes {
        found |= known.as_bytes().ct_eq(shown.as_bytes());
    }
    found.into()
}

/// Who the client says to be, in one way only (RFC 6749 §2.3); `None` where it says nothing that
/// can be understood.
fn claimed(request: &Request<'_>, form: &Form) -> Result<Option<Claimed>, Fault> {
    let header = request.header(http::header::AUTHORIZATION.as_str())?;
    let in_form = (form.text("client_id"), form.secret("client_secret"));
    let assertion = form.secret("client_assertion");
    let ways = [header.is_some(), in_form.1.is_some(), assertion.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(Fault::invalid_request("a client authenticates in one way"));
    }
    let claimed = if let Some(header) = header {
        let Some((id, secret)) = basic(header) else { return Ok(None) };
        Claimed { id, shown: Shown::Secret(secret) }
    } else if let Some(text) = assertion {
        if form.text("client_assertion_type") != Some(ASSERTION) {
            return Err(Fault::invalid_request("the type of the client's assertion is not known"));
        }
        let Some(id) = subject(&text) else { return Ok(None) };
        Claimed { id, shown: Shown::Assertion(text) }
    } else {
        let Some(id) = in_form.0 else { return Ok(None) };
        let shown = in_form.1.map_or(Shown::Nothing, Shown::Secret);
        Claimed { id: id.to_owned(), shown }
    };
    // Two names for one client are one too many.
    let same = in_form.0.is_none_or(|id| *id == claimed.id);
    Ok(same.then_some(claimed))
}

/// RFC 6749 §2.3.1: both are written as in a form before they are joined.
fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, text) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let one = |text: &str| decode_form(&format!("v={text}")).and_then(|mut pairs| pairs.pop());
    let ((_, id), (_, secret)) = (one(id)?, one(secret)?);
    (!id.is_empty()).then(|| (id, Secret::new(secret)))
}

/// Whom an assertion says to be, before anything of it is believed.
fn subject(text: &Secret) -> Option<String> {
    let compact = Compact::read(text.expose(), LONGEST).ok()?;
    compact.claims.get("sub").and_then(Value::as_str).map(str::to_owned)
}
