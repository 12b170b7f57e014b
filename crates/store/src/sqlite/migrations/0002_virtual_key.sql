-- Times are microseconds since 1970. `hash` is keyed with a secret that is not in this file.
CREATE TABLE virtual_key (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    owner      TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    team       TEXT,
    hash       BLOB NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER,
    revoked    INTEGER
) STRICT;

-- Changes with every change of the keys, whoever makes it.
CREATE TABLE virtual_key_version (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO virtual_key_version (only, version) VALUES (1, 0);

CREATE TRIGGER virtual_key_inserted AFTER INSERT ON virtual_key
BEGIN UPDATE virtual_key_version SET version = version + 1; END;
CREATE TRIGGER virtual_key_updated AFTER UPDATE ON virtual_key
BEGIN UPDATE virtual_key_version SET version = version + 1; END;
CREATE TRIGGER virtual_key_deleted AFTER DELETE ON virtual_key
BEGIN UPDATE virtual_key_version SET version = version + 1; END;
