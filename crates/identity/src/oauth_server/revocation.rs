//! Tokens that end before their time: who may end them (RFC 7009), and who knows of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use doorward_core::Timestamp;
use http::{Response, StatusCode};
use serde_json::json;

use super::fault::{Fault, fresh};
use super::request::Request;
use super::server::OAuthServer;
use super::store::{FamilyId, OAuthStoreError, Revocation, SecretHash};
use super::token::REFRESH;
use crate::jwt::{Revocations, TokenMark};

/// What was revoked of this server's tokens, as far as it still matters.
#[derive(Debug, Default)]
pub(crate) struct RevokedTokens {
    lists: Mutex<Lists>,
    place: AtomicU64,
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct Lists {
    tokens: HashMap<Arc<str>, Timestamp>,
    families: HashMap<Arc<str>, Timestamp>,
    subjects: HashMap<Arc<str>, (Timestamp, Timestamp)>,
}

impl RevokedTokens {
    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    pub(crate) fn learn(&self, news: Vec<(u64, Revocation, Timestamp)>, now: Timestamp) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, revocation, until) in news {
            match revocation {
                Revocation::Token(id) => drop(lists.tokens.insert(id, until)),
                Revocation::Family(id) => drop(lists.families.insert(id.as_str().into(), until)),
                Revocation::Subject(id, before) => {
                    let kept = lists.subjects.entry(id).or_insert((before, until));
                    *kept = (kept.0.max(before), kept.1.max(until));
                }
            }
            self.place.fetch_max(place, Ordering::AcqRel);
        }
        lists.tokens.retain(|_, until| now < *until);
        lists.families.retain(|_, until| now < *until);
        lists.subjects.retain(|_, (_, until)| now < *until);
        self.told.store(true, Ordering::Release);
    }
}

impl Revocations for RevokedTokens {
    fn is_revoked(&self, token: &TokenMark<'_>) -> bool {
        // Nobody has told yet: it may have been.
        let (true, Some(id)) = (self.told.load(Ordering::Acquire), token.id) else { return true };
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let family = id.split_once('.').map_or("", |(family, _)| family);
        (!lists.tokens.is_empty() && lists.tokens.contains_key(id))
            || lists.families.contains_key(family)
            || (!lists.subjects.is_empty()
                && lists
                    .subjects
                    .get(token.subject)
                    .is_some_and(|(before, _)| token.issued.is_none_or(|issued| issued <= *before)))
    }
}

impl OAuthServer {
    /// Revokes every token of a principal's that was issued so far, and forgets what they
    /// consented to: somebody left, or lost a machine.
    ///
    /// # Errors
    ///
    /// Where the store cannot be written.
    pub async fn revoke_principal(&self, id: &str) -> Result<(), OAuthStoreError> {
        let now = self.clock.now();
        self.store.revoke_subject(id, now, self.ended(now)).await?;
        self.refresh().await
    }

    pub(crate) async fn revoke_family(&self, id: &FamilyId) -> Result<(), OAuthStoreError> {
        self.store.revoke_family(id, self.ended(self.clock.now())).await?;
        self.refresh().await
    }

    /// Revokes a token of the client's own. Whether there was one is not told (RFC 7009 §2.2).
    pub(crate) async fn revoke(&self, request: Request<'_>) -> Result<Response<Bytes>, Fault> {
        let form = request.form()?;
        let token = form.needed("token")?;
        let client = self.authenticate(&request, &form).await?;
        let done = || fresh(StatusCode::OK, &json!({}));
        let refresh = SecretHash::of(REFRESH, token);
        if let Some(family) = self.store.family_of_refresh(refresh).await? {
            if family.client == client.id {
                self.revoke_family(&family.id).await?;
            }
            return Ok(done());
        }
        if let Some(own) = self.own_token(token).filter(|own| own.client == *client.id) {
            self.store.revoke_token(&own.id, self.ended(self.clock.now())).await?;
            self.refresh().await?;
        }
        Ok(done())
    }
}
