//! Questions, consents, clients that registered, and what was revoked.

use doorward_core::Timestamp;
use doorward_identity::oauth_server::{
    ConsentKey, FamilyId, Pending, RegisteredClient, Revocation, SecretHash,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::{read, written, wrong};

pub(super) fn ask(
    step: &Transaction<'_>,
    id: SecretHash,
    asked: &Pending,
    until: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO oauth_question (hash, principal, asked, until) VALUES (?1, ?2, ?3, ?4)";
    let values = (id.as_bytes(), &*asked.principal, written(asked)?, until.as_micros());
    step.prepare_cached(sql)?.execute(values).map(drop)
}

pub(super) fn answer(
    step: &Transaction<'_>,
    id: SecretHash,
    now: Timestamp,
) -> rusqlite::Result<Option<Pending>> {
    let sql = "DELETE FROM oauth_question WHERE hash = ?1 RETURNING asked, until";
    let mut take = step.prepare_cached(sql)?;
    let found = take
        .query_row([id.as_bytes()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    match found {
        Some((asked, until)) if now.as_micros() < until => read(&asked).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn consented(
    connection: &Connection,
    key: &ConsentKey,
) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT scope FROM oauth_consent
               WHERE principal = ?1 AND client = ?2 AND redirect_uri = ?3 AND resource = ?4
               ORDER BY scope";
    let values = (&*key.principal, &*key.client, &*key.redirect_uri, &*key.resource);
    connection.prepare_cached(sql)?.query_map(values, |row| row.get(0))?.collect()
}

pub(super) fn consent(
    step: &Transaction<'_>,
    key: &ConsentKey,
    scopes: &[String],
    at: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO oauth_consent
               (principal, client, redirect_uri, resource, scope, at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = step.prepare_cached(sql)?;
    for scope in scopes {
        let (principal, client) = (&*key.principal, &*key.client);
        let (uri, resource) = (&*key.redirect_uri, &*key.resource);
        insert.execute((principal, client, uri, resource, scope, at.as_micros()))?;
    }
    Ok(())
}

pub(super) fn revocations(
    connection: &Connection,
    after: u64,
) -> rusqlite::Result<Vec<(u64, Revocation, Timestamp)>> {
    let sql = "SELECT place, kind, what, before, until FROM oauth_revocation
               WHERE place > ?1 ORDER BY place";
    // Places beyond 2⁶³ are never given.
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([after], |row| {
        let (kind, what): (String, String) = (row.get(1)?, row.get(2)?);
        let revocation = match (kind.as_str(), row.get::<_, Option<i64>>(3)?) {
            ("token", _) => Revocation::Token(what.into()),
            ("family", _) => Revocation::Family(FamilyId::new(what)),
            ("subject", Some(before)) => {
                Revocation::Subject(what.into(), Timestamp::from_micros(before))
            }
            // One that cannot be read must not be passed over.
            _ => return Err(wrong(format!("no kind of revocation: {kind}"))),
        };
        let place = row.get::<_, i64>(0)?.cast_unsigned();
        Ok((place, revocation, Timestamp::from_micros(row.get(4)?)))
    })?;
    rows.collect()
}

pub(super) fn register(
    step: &Transaction<'_>,
    client: &RegisteredClient,
    most: usize,
) -> rusqlite::Result<bool> {
    let held: i64 = step
        .prepare_cached("SELECT count(*) FROM oauth_client")?
        .query_row([], |row| row.get(0))?;
    if usize::try_from(held).is_ok_and(|held| held >= most) {
        return Ok(false);
    }
    let sql = "INSERT INTO oauth_client (id, client, created) VALUES (?1, ?2, ?3)";
    let values = (&*client.id, written(client)?, client.created.as_micros());
    step.prepare_cached(sql)?.execute(values)?;
    Ok(true)
}

pub(super) fn registered(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<RegisteredClient>> {
    let sql = "SELECT client FROM oauth_client WHERE id = ?1";
    let mut select = connection.prepare_cached(sql)?;
    let found: Option<String> = select.query_row([id], |row| row.get(0)).optional()?;
    found.as_deref().map(read).transpose()
}

pub(super) fn sweep(
    step: &Transaction<'_>,
    now: Timestamp,
    unused: Timestamp,
) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM oauth_question WHERE until <= ?1",
        // Codes and refresh tokens go with their families.
        "DELETE FROM oauth_family WHERE expires <= ?1",
        "DELETE FROM oauth_revocation WHERE until <= ?1",
        "DELETE FROM oauth_mark WHERE until <= ?1",
    ] {
        step.execute(sql, [now.as_micros()])?;
    }
    let sql = "DELETE FROM oauth_client WHERE coalesce(used, created) <= ?1";
    step.execute(sql, [unused.as_micros()]).map(drop)
}
