//! The authorization server's memory in SQLite.

mod families;
mod rest;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::Timestamp;
use doorward_identity::oauth_server::{
    ConsentKey, Family, FamilyId, IssuedCode, OAuthStore, OAuthStoreError, Pending, Redeemed,
    RegisteredClient, Revocation, Rotation, SecretHash, Stored, Turn,
};
use rusqlite::types::Type;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An authorization server's memory in a [`Sqlite`](crate::Sqlite) file. Several servers may share
/// it: what happens once happens once for all of them.
#[derive(Debug, Clone)]
pub struct SqliteOAuth {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteOAuth {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)) }
    }

    /// One step, all or nothing, off the runtime's threads.
    fn step<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'static, T> {
        let connection = self.connection.clone();
        let work = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = act(&step)?;
            step.commit()?;
            Ok(done)
        };
        Box::pin(async move {
            let done: Result<rusqlite::Result<T>, _> = tokio::task::spawn_blocking(work).await;
            done.map_err(OAuthStoreError::new)?.map_err(OAuthStoreError::new)
        })
    }

    /// A question that changes nothing, and waits for nobody who does.
    fn look<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<'static, T> {
        let connection = self.connection.clone();
        let work = move || act(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            let done: Result<rusqlite::Result<T>, _> = tokio::task::spawn_blocking(work).await;
            done.map_err(OAuthStoreError::new)?.map_err(OAuthStoreError::new)
        })
    }
}

fn written(value: &impl Serialize) -> rusqlite::Result<String> {
    let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    serde_json::to_string(value).map_err(failed)
}

fn read<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(wrong)
}

fn wrong(error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
}

impl OAuthStore for SqliteOAuth {
    fn ask<'a>(&'a self, id: SecretHash, asked: &'a Pending, until: Timestamp) -> Stored<'a, ()> {
        let asked = asked.clone();
        self.step(move |step| rest::ask(step, id, &asked, until))
    }

    fn answer(&self, id: SecretHash, now: Timestamp) -> Stored<'_, Option<Pending>> {
        self.step(move |step| rest::answer(step, id, now))
    }

    fn consented<'a>(&'a self, key: &'a ConsentKey) -> Stored<'a, Vec<String>> {
        let key = key.clone();
        self.look(move |connection| rest::consented(connection, &key))
    }

    fn consent<'a>(
        &'a self,
        key: &'a ConsentKey,
        scopes: &'a [String],
        at: Timestamp,
    ) -> Stored<'a, ()> {
        let (key, scopes) = (key.clone(), scopes.to_vec());
        self.step(move |step| rest::consent(step, &key, &scopes, at))
    }

    fn open<'a>(
        &'a self,
        code: SecretHash,
        issued: &'a IssuedCode,
        family: &'a Family,
    ) -> Stored<'a, ()> {
        let (issued, family) = (issued.clone(), family.clone());
        self.step(move |step| families::open(step, code, &issued, &family))
    }

    fn redeem(&self, code: SecretHash, now: Timestamp, until: Timestamp) -> Stored<'_, Redeemed> {
        self.step(move |step| families::redeem(step, code, now, until))
    }

    fn start<'a>(&'a self, family: &'a Family, refresh: Option<SecretHash>) -> Stored<'a, bool> {
        let family = family.clone();
        self.step(move |step| families::start(step, &family, refresh))
    }

    fn family_of_code(&self, code: SecretHash) -> Stored<'_, Option<Family>> {
        self.look(move |connection| families::of_code(connection, code))
    }

    fn family_of_refresh(&self, refresh: SecretHash) -> Stored<'_, Option<Family>> {
        self.look(move |connection| families::of_refresh(connection, refresh))
    }

    fn is_current(&self, refresh: SecretHash) -> Stored<'_, bool> {
        self.look(move |connection| families::is_current(connection, refresh))
    }

    fn rotate(&self, turn: Turn) -> Stored<'_, Rotation> {
        self.step(move |step| families::rotate(step, &turn))
    }

    fn update<'a>(&'a self, family: &'a Family) -> Stored<'a, ()> {
        let family = family.clone();
        self.step(move |step| families::update(step, &family).map(drop))
    }

    fn revoke_family<'a>(&'a self, id: &'a FamilyId, until: Timestamp) -> Stored<'a, ()> {
        let id = id.clone();
        self.step(move |step| families::revoke(step, id.as_str(), until))
    }

    fn revoke_subject<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> Stored<'a, ()> {
        let principal = principal.to_owned();
        self.step(move |step| families::revoke_subject(step, &principal, now, until))
    }

    fn revoke_token<'a>(&'a self, id: &'a str, until: Timestamp) -> Stored<'a, ()> {
        let id = id.to_owned();
        self.step(move |step| families::note(step, ("token", &id), None, until))
    }

    fn revocations(&self, after: u64) -> Stored<'_, Vec<(u64, Revocation, Timestamp)>> {
        self.look(move |connection| rest::revocations(connection, after))
    }

    fn once(&self, mark: SecretHash, until: Timestamp) -> Stored<'_, bool> {
        self.step(move |step| {
            let sql = "INSERT OR IGNORE INTO oauth_mark (hash, until) VALUES (?1, ?2)";
            let new = step.prepare_cached(sql)?.execute((mark.as_bytes(), until.as_micros()))?;
            Ok(new == 1)
        })
    }

    fn register<'a>(&'a self, client: &'a RegisteredClient, most: usize) -> Stored<'a, bool> {
        let client = client.clone();
        self.step(move |step| rest::register(step, &client, most))
    }

    fn registered<'a>(&'a self, id: &'a str) -> Stored<'a, Option<RegisteredClient>> {
        let id = id.to_owned();
        self.look(move |connection| rest::registered(connection, &id))
    }

    fn used<'a>(&'a self, id: &'a str, at: Timestamp) -> Stored<'a, ()> {
        let id = id.to_owned();
        self.step(move |step| {
            let sql = "UPDATE oauth_client SET used = ?2 WHERE id = ?1";
            step.prepare_cached(sql)?.execute((id, at.as_micros())).map(drop)
        })
    }

    fn sweep(&self, now: Timestamp, unused: Timestamp) -> Stored<'_, ()> {
        self.step(move |step| rest::sweep(step, now, unused))
    }
}
