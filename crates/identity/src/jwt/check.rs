//! Whether a token's claims fit its issuer, and what they make of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_core::{Identity, Principal, Secret, Timestamp};
use serde_json::{Map, Value};

use super::claim::seconds;
use super::compact::Header;
use super::directory::Member;
use super::issuer::{Issuer, Named};
use super::keyring::Keyring;
use super::mapping::{actors, is_plain};
use super::refused::Refused;
use super::revocation::TokenMark;

/// How long a directory's answer is believed, and how long it is not asked again after a failure.
const BELIEVED: Duration = Duration::from_mins(5);
const PAUSED: Duration = Duration::from_secs(30);
/// How long a directory may take.
const ASKED: Duration = Duration::from_secs(5);

/// An issuer and its keys.
pub(crate) struct Trusted {
    pub(crate) issuer: Issuer,
    pub(crate) ring: Arc<Keyring>,
}

/// A token whose signature and claims were found right.
pub(crate) struct Verified {
    pub(crate) principal: Arc<Principal>,
    pub(crate) trusted: Arc<Trusted>,
    /// The keyring's number at the time.
    pub(crate) epoch: u64,
    pub(crate) terms: Terms,
    /// Until when what a directory said is believed.
    pub(crate) believed: Option<Instant>,
}

/// On which terms a token holds.
pub(crate) struct Terms {
    starts: Timestamp,
    ends: Timestamp,
    pub(crate) expires: Timestamp,
    issued: Option<Timestamp>,
    pub(crate) id: Option<Box<str>>,
    subject: Arc<str>,
    client: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    /// The thumbprint of the key that it is bound to.
    pub(crate) bound: Option<Box<str>>,
    /// The thumbprint of the certificate that it is bound to.
    pub(crate) certificate: Option<Box<str>>,
}

impl Terms {
    fn hold(&self, now: Timestamp) -> Result<(), Refused> {
        if now < self.starts {
            Err(Refused::Claim("nbf"))
        } else if now >= self.ends {
            Err(Refused::Claim("exp"))
        } else {
            Ok(())
        }
    }
}

impl Verified {
    /// Whether it is still as it was found.
    pub(crate) fn holds(&self, now: Timestamp, instant: Instant) -> bool {
        self.terms.hold(now).is_ok()
            && self.believed.is_none_or(|until| instant < until)
            && self.trusted.ring.epoch() == Some(self.epoch)
    }

    pub(crate) fn mark<'a>(&'a self, hash: &'a [u8; 32]) -> TokenMark<'a> {
        let terms = &self.terms;
        TokenMark {
            issuer: self.issuer(),
            subject: &terms.subject,
            client: terms.client.as_deref(),
            id: terms.id.as_deref(),
            issued: terms.issued,
            hash,
        }
    }

    fn issuer(&self) -> &str {
        let identity = self.principal.identity.as_ref();
        identity.map_or(self.trusted.issuer.url(), |identity| &identity.issuer)
    }
}

/// Whether the header's type and the claims say that this is an access token.
///
/// Issuers that type their access tokens leave no doubt (RFC 9068 §2.1, RFC 8725 §3.11). For
/// others, an ID token is told by what only ID tokens have.
pub(crate) fn kind(
    issuer: &Issuer,
    header: &Header,
    claims: &Map<String, Value>,
) -> Result<(), Refused> {
    let typed = header.is_of(&["at+jwt"]);
    let usual = header.typ.is_none() || header.is_of(&["jwt"]);
    if !(typed || (usual && !issuer.typed_only)) || claims.contains_key("events") {
        return Err(Refused::Kind);
    }
    let has = |name: &str| claims.contains_key(name);
    let says = |name: &str, values: &[&str]| {
        claims.get(name).and_then(Value::as_str).is_some_and(|said| values.contains(&said))
    };
    let id_token = ["nonce", "at_hash", "c_hash", "s_hash"].into_iter().any(has)
        || says("typ", &["ID"])
        || says("token_use", &["id"]);
    if (id_token && !typed && !issuer.id_tokens) || says("typ", &["Refresh", "Offline", "Logout"]) {
        return Err(Refused::Kind);
    }
    Ok(())
}

/// The terms that a token's claims set, if they are right for the issuer now.
pub(crate) fn terms(
    issuer: &Issuer,
    named: Named<'_>,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Terms, Refused> {
    audience(issuer, claims)?;
    let tenant = tenancy(issuer, named.tenant, claims)?;
    let client = client(issuer, claims)?;
    let time = |name: &'static str| -> Result<Option<Timestamp>, Refused> {
        let whole = seconds(claims, name).map_err(|()| Refused::Claim(name))?;
        Ok(whole.map(|whole| Timestamp::from_micros(whole * 1_000_000)))
    };
    let expires = time("exp")?.ok_or(Refused::Claim("exp"))?;
    let (made, not_before) = (time("iat")?, time("nbf")?);
    let starts = made.max(not_before).map_or(i64::MIN, Timestamp::as_micros);
    let skew = i64::try_from(issuer.skew.as_micros()).unwrap_or(i64::MAX);
    let starts = Timestamp::from_micros(starts.saturating_sub(skew));
    let mut ends = expires;
    if let Some(oldest) = issuer.oldest {
        ends = ends.min(made.ok_or(Refused::Claim("iat"))?.after(oldest));
    }
    let ends = ends.after(issuer.skew);
    let text = |name: &'static str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_plain(text) => Ok(Some(&**text)),
        Some(_) => Err(Refused::Claim(name)),
    };
    let subject = text("sub")?.ok_or(Refused::Claim("sub"))?.into();
    let (bound, certificate) = binding(issuer, claims)?;
    let id = text("jti")?.map(Into::into);
    if !issuer.required.iter().all(|requirement| requirement.is_met(claims)) {
        return Err(Refused::Required);
    }
    let terms = Terms {
        starts,
        ends,
        expires,
        issued: made,
        id,
        subject,
        client,
        tenant,
        bound,
        certificate,
    };
    terms.hold(now).map(|()| terms)
}

fn audience(issuer: &Issuer, claims: &Map<String, Value>) -> Result<(), Refused> {
    let ours = |text: &str| issuer.audiences.iter().any(|audience| audience == text);
    let meant = match claims.get("aud") {
        Some(Value::String(text)) => ours(text),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).any(ours),
        _ => false,
    };
    if meant { Ok(()) } else { Err(Refused::Claim("aud")) }
}

/// The tenant: one of those listed, and the same as in the issuer.
fn tenancy(
    issuer: &Issuer,
    named: Option<&str>,
    claims: &Map<String, Value>,
) -> Result<Option<Arc<str>>, Refused> {
    let tid = claims.get("tid").and_then(Value::as_str);
    let listed = tid.is_some_and(|tid| issuer.tenants.contains(tid));
    if (named.is_some() && named != tid) || (!issuer.tenants.is_empty() && !listed) {
        return Err(Refused::Claim("tid"));
    }
    Ok(tid.filter(|tid| is_plain(tid)).map(Into::into))
}

/// The client that the token was issued to. Where only some are accepted, all that it names are.
fn client(issuer: &Issuer, claims: &Map<String, Value>) -> Result<Option<Arc<str>>, Refused> {
    let mut client = None;
    for name in ["azp", "client_id", "cid", "appid"] {
        let Some(value) = claims.get(name) else { continue };
        let text = value.as_str().filter(|text| is_plain(text)).ok_or(Refused::Claim(name))?;
        if issuer.clients.as_ref().is_some_and(|clients| !clients.contains(text)) {
            return Err(Refused::Claim(name));
        }
        client = client.or_else(|| Some(text.into()));
    }
    if issuer.clients.is_some() && client.is_none() {
        return Err(Refused::Claim("azp"));
    }
    Ok(client)
}

/// The thumbprints of a key and of a certificate.
type Bonds = (Option<Box<str>>, Option<Box<str>>);

/// The key or certificate that the token is bound to (RFC 7800, RFC 9449 §6.1, RFC 8705 §3.1).
/// What is bound to something else cannot be checked here, and is not for everybody.
fn binding(issuer: &Issuer, claims: &Map<String, Value>) -> Result<Bonds, Refused> {
    let wrong = Refused::Claim("cnf");
    let Some(bonds) = claims.get("cnf") else {
        return if issuer.bound_only { Err(wrong) } else { Ok((None, None)) };
    };
    let bonds = bonds.as_object().filter(|bonds| !bonds.is_empty()).ok_or(wrong)?;
    let (mut key, mut certificate) = (None, None);
    for (name, value) in bonds {
        let bond = match name.as_str() {
            "jkt" => &mut key,
            "x5t#S256" => &mut certificate,
            _ => return Err(wrong),
        };
        *bond = Some(value.as_str().ok_or(wrong)?.into());
    }
    Ok((key, certificate))
}

/// The token as it is kept.
pub(crate) async fn found(
    trusted: Arc<Trusted>,
    epoch: u64,
    (text, iss, claims): (&str, &str, &Map<String, Value>),
    terms: Terms,
    now: Instant,
) -> Result<Verified, Refused> {
    let mapping = &trusted.issuer.mapping;
    let client = terms.client.clone();
    let kind = mapping.kind(claims, client.as_deref());
    let id = mapping.id((iss, kind, client.as_deref()), claims)?;
    let (groups, believed) = groups(&trusted.issuer, iss, claims, &terms, now).await;
    let roles = mapping.roles(claims);
    let (team, scopes) = mapping.team_and_scopes(claims, groups.as_deref(), &roles);
    let identity = Identity {
        issuer: iss.into(),
        subject: terms.subject.clone(),
        groups,
        roles,
        client,
        token: Some(Secret::new(text)),
        expires: Some(terms.expires),
    };
    let principal = Principal {
        id,
        kind,
        team,
        scopes: Arc::new(scopes),
        actors: actors(claims)?,
        identity: Some(Arc::new(identity)),
        ..Principal::service("")
    };
    Ok(Verified { principal: Arc::new(principal), trusted, epoch, terms, believed })
}

/// The groups, and until when they are believed if the token did not say them itself.
async fn groups(
    issuer: &Issuer,
    iss: &str,
    claims: &Map<String, Value>,
    terms: &Terms,
    now: Instant,
) -> (Option<Vec<Arc<str>>>, Option<Instant>) {
    if !issuer.mapping.is_overage(claims) {
        return (issuer.mapping.groups(claims), None);
    }
    let Some(directory) = &issuer.directory else { return (None, None) };
    let object = claims.get("oid").and_then(Value::as_str).filter(|oid| is_plain(oid));
    let member = Member {
        issuer: iss.into(),
        subject: terms.subject.clone(),
        tenant: terms.tenant.clone(),
        object: object.map(Into::into),
    };
    match tokio::time::timeout(ASKED, directory.groups(&member)).await {
        Ok(Ok(groups)) => (Some(groups), Some(now + BELIEVED)),
        Ok(Err(error)) => {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(issuer = iss, cause, "a directory did not tell somebody's groups");
            (None, Some(now + PAUSED))
        }
        Err(_) => {
            tracing::warn!(issuer = iss, "a directory took too long to tell somebody's groups");
            (None, Some(now + PAUSED))
        }
    }
}
