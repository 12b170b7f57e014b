//! Families of tokens: codes, refresh tokens, and their end.

use doorward_core::Timestamp;
use doorward_identity::oauth_server::{Family, IssuedCode, Redeemed, Rotation, SecretHash, Turn};
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::{read, written};

pub(super) fn open(
    step: &Transaction<'_>,
    code: SecretHash,
    issued: &IssuedCode,
    family: &Family,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO oauth_family (id, principal, family, turned, expires)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let (id, principal) = (family.id.as_str(), &*family.subject.id);
    let values = (id, principal, written(family)?, i64::MIN, family.expires.as_micros());
    step.prepare_cached(sql)?.execute(values)?;
    let sql = "INSERT INTO oauth_code (hash, family, issued) VALUES (?1, ?2, ?3)";
    step.prepare_cached(sql)?.execute((code.as_bytes(), id, written(issued)?)).map(drop)
}

pub(super) fn redeem(
    step: &Transaction<'_>,
    code: SecretHash,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Redeemed> {
    let sql = "SELECT c.issued, c.used, f.id, f.family, f.revoked
               FROM oauth_code c JOIN oauth_family f ON f.id = c.family WHERE c.hash = ?1";
    let found = step
        .prepare_cached(sql)?
        .query_row([code.as_bytes()], |row| {
            let (issued, used): (String, bool) = (row.get(0)?, row.get(1)?);
            let (id, family, revoked): (String, String, bool) =
                (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((issued, used, id, family, revoked))
        })
        .optional()?;
    let Some((issued, used, id, family, revoked)) = found else { return Ok(Redeemed::Unknown) };
    if used {
        revoke(step, &id, until)?;
        return Ok(Redeemed::Again);
    }
    let sql = "UPDATE oauth_code SET used = 1 WHERE hash = ?1";
    step.prepare_cached(sql)?.execute([code.as_bytes()])?;
    let issued: IssuedCode = read(&issued)?;
    if revoked || issued.expires <= now {
        return Ok(Redeemed::Unknown);
    }
    Ok(Redeemed::Once(Box::new(issued), Box::new(read(&family)?)))
}

pub(super) fn start(
    step: &Transaction<'_>,
    family: &Family,
    refresh: Option<SecretHash>,
) -> rusqlite::Result<bool> {
    if !update(step, family)? {
        return Ok(false);
    }
    if let Some(refresh) = refresh {
        let sql = "UPDATE oauth_family SET current = ?2 WHERE id = ?1";
        step.prepare_cached(sql)?.execute((family.id.as_str(), refresh.as_bytes()))?;
        keep(step, refresh, family.id.as_str())?;
    }
    Ok(true)
}

/// Tells whether the family is there and was not revoked.
pub(super) fn update(step: &Transaction<'_>, family: &Family) -> rusqlite::Result<bool> {
    let sql = "UPDATE oauth_family SET family = ?2, expires = ?3 WHERE id = ?1 AND revoked = 0";
    let values = (family.id.as_str(), written(family)?, family.expires.as_micros());
    Ok(step.prepare_cached(sql)?.execute(values)? == 1)
}

fn keep(step: &Transaction<'_>, refresh: SecretHash, family: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO oauth_refresh (hash, family) VALUES (?1, ?2)";
    step.prepare_cached(sql)?.execute((refresh.as_bytes(), family)).map(drop)
}

pub(super) fn of_code(
    connection: &Connection,
    code: SecretHash,
) -> rusqlite::Result<Option<Family>> {
    let sql = "SELECT f.family FROM oauth_code c JOIN oauth_family f ON f.id = c.family
               WHERE c.hash = ?1";
    family(connection, sql, code)
}

pub(super) fn of_refresh(
    connection: &Connection,
    refresh: SecretHash,
) -> rusqlite::Result<Option<Family>> {
    let sql = "SELECT f.family FROM oauth_refresh r JOIN oauth_family f ON f.id = r.family
               WHERE r.hash = ?1 AND f.revoked = 0";
    family(connection, sql, refresh)
}

fn family(
    connection: &Connection,
    sql: &str,
    hash: SecretHash,
) -> rusqlite::Result<Option<Family>> {
    let mut select = connection.prepare_cached(sql)?;
    let found: Option<String> = select.query_row([hash.as_bytes()], |row| row.get(0)).optional()?;
    found.as_deref().map(read).transpose()
}

pub(super) fn is_current(connection: &Connection, refresh: SecretHash) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM oauth_family f JOIN oauth_refresh r ON r.family = f.id
               WHERE r.hash = ?1 AND f.current = ?1 AND f.revoked = 0";
    connection.prepare_cached(sql)?.exists([refresh.as_bytes()])
}

pub(super) fn rotate(step: &Transaction<'_>, turn: &Turn) -> rusqlite::Result<Rotation> {
    let sql = "SELECT f.id, f.current, f.previous, f.turned, f.revoked, f.expires
               FROM oauth_refresh r JOIN oauth_family f ON f.id = r.family WHERE r.hash = ?1";
    let found = step
        .prepare_cached(sql)?
        .query_row([turn.shown.as_bytes()], |row| {
            let (current, previous): (Option<[u8; 32]>, Option<[u8; 32]>) =
                (row.get(1)?, row.get(2)?);
            let (turned, revoked, expires): (i64, bool, i64) =
                (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((row.get::<_, String>(0)?, (current, previous), turned, (revoked, expires)))
        })
        .optional()?;
    let Some((id, (current, previous), turned, (revoked, expires))) = found else {
        return Ok(Rotation::Gone);
    };
    if revoked || expires <= turn.now.as_micros() {
        return Ok(Rotation::Gone);
    }
    let is = |held: Option<[u8; 32]>| {
        held.is_some_and(|held| SecretHash::from_bytes(held) == turn.shown)
    };
    let timely = turn.now < Timestamp::from_micros(turned).after(turn.grace);
    if is(current) {
        let sql = "UPDATE oauth_family SET previous = current, current = ?2, turned = ?3
                   WHERE id = ?1";
        let values = (&id, turn.next.as_bytes(), turn.now.as_micros());
        step.prepare_cached(sql)?.execute(values)?;
    } else if is(previous) && timely {
        let sql = "UPDATE oauth_family SET current = ?2 WHERE id = ?1";
        step.prepare_cached(sql)?.execute((&id, turn.next.as_bytes()))?;
    } else {
        revoke(step, &id, turn.until)?;
        return Ok(Rotation::Reused);
    }
    keep(step, turn.next, &id)?;
    Ok(Rotation::Turned)
}

pub(super) fn revoke(step: &Transaction<'_>, id: &str, until: Timestamp) -> rusqlite::Result<()> {
    let sql = "UPDATE oauth_family SET revoked = 1 WHERE id = ?1 AND revoked = 0";
    if step.prepare_cached(sql)?.execute([id])? == 1 {
        note(step, ("family", id), None, until)?;
    }
    Ok(())
}

pub(super) fn revoke_subject(
    step: &Transaction<'_>,
    principal: &str,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<()> {
    for sql in [
        "UPDATE oauth_family SET revoked = 1 WHERE principal = ?1",
        "DELETE FROM oauth_consent WHERE principal = ?1",
        "DELETE FROM oauth_question WHERE principal = ?1",
    ] {
        step.prepare_cached(sql)?.execute([principal])?;
    }
    note(step, ("subject", principal), Some(now), until)
}

pub(super) fn note(
    step: &Transaction<'_>,
    (kind, what): (&str, &str),
    before: Option<Timestamp>,
    until: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO oauth_revocation (kind, what, before, until) VALUES (?1, ?2, ?3, ?4)";
    let values = (kind, what, before.map(Timestamp::as_micros), until.as_micros());
    step.prepare_cached(sql)?.execute(values).map(drop)
}
