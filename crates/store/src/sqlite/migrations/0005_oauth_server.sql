-- The authorization server. Of codes, tokens, secrets and handles only hashes are kept.

CREATE TABLE oauth_question (
    hash      BLOB PRIMARY KEY,
    principal TEXT NOT NULL,
    asked     TEXT NOT NULL,
    until     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_consent (
    principal    TEXT NOT NULL,
    client       TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    resource     TEXT NOT NULL,
    scope        TEXT NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (principal, client, redirect_uri, resource, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_family (
    id        TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    family    TEXT NOT NULL,
    current   BLOB,
    previous  BLOB,
    turned    INTEGER NOT NULL,
    revoked   INTEGER NOT NULL DEFAULT 0,
    expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_family_principal ON oauth_family (principal);

CREATE TABLE oauth_code (
    hash   BLOB PRIMARY KEY,
    family TEXT NOT NULL REFERENCES oauth_family (id) ON DELETE CASCADE,
    issued TEXT NOT NULL,
    used   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_code_family ON oauth_code (family);

-- Every refresh token of a family, those that were replaced too: showing one again ends it.
CREATE TABLE oauth_refresh (
    hash   BLOB PRIMARY KEY,
    family TEXT NOT NULL REFERENCES oauth_family (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_refresh_family ON oauth_refresh (family);

CREATE TABLE oauth_revocation (
    place  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind   TEXT NOT NULL CHECK (kind IN ('token', 'family', 'subject')),
    what   TEXT NOT NULL,
    before INTEGER,
    until  INTEGER NOT NULL
) STRICT;

CREATE TABLE oauth_mark (
    hash  BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_client (
    id      TEXT PRIMARY KEY,
    client  TEXT NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER
) STRICT, WITHOUT ROWID;
