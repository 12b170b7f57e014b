-- Roots over complete blocks of entries: level 1 over 256, level 2 over 256², and so on. They can
-- be computed again from the leaves; kept, they make proofs cheap.
CREATE TABLE audit_block (
    level  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    root   BLOB NOT NULL,
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- The last checkpoint, as the signed text. `audit_checkpoint` holds one of version 1 until the
-- next record.
CREATE TABLE audit_note (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    note TEXT NOT NULL
) STRICT;

-- What was pruned: the signed statement, as JSON.
CREATE TABLE audit_cut (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    cut  TEXT NOT NULL
) STRICT;

-- Legal holds, as JSON.
CREATE TABLE audit_hold (
    name TEXT PRIMARY KEY,
    hold TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each reader of the log has come.
CREATE TABLE audit_cursor (
    reader TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was said in calls, encrypted. The entries have digests only.
CREATE TABLE audit_content (
    event   BLOB NOT NULL,
    part    TEXT NOT NULL,
    key     INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (event, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_content_expires ON audit_content (expires);
