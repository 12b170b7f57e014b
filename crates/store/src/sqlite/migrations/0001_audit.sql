-- One row for each entry of the chain. `entry` is the text that was hashed.
CREATE TABLE audit_entry (
    seq   INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    leaf  BLOB NOT NULL,
    link  BLOB NOT NULL
) STRICT;

-- Finds a turn by the hashed text itself: a column beside it could be made to say something else.
CREATE INDEX audit_entry_turn
    ON audit_entry (substr(entry, instr(entry, '"turn":"turn_') + 8, 37));

-- The last checkpoint only.
CREATE TABLE audit_checkpoint (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    origin    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    link      BLOB NOT NULL,
    time      INTEGER NOT NULL,
    signature BLOB NOT NULL
) STRICT;
