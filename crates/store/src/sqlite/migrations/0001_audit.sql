-- One row for each entry of the chain. `entry` is the text that was hashed.
-- No index on turns: their ids are random, so every record would dirty a page of its own and cost
-- the writer several times what the record itself does. Looking one up reads the table instead.
CREATE TABLE audit_entry (
    seq   INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    leaf  BLOB NOT NULL,
    link  BLOB NOT NULL
) STRICT;

-- The last checkpoint only.
CREATE TABLE audit_checkpoint (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    origin    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    link      BLOB NOT NULL,
    time      INTEGER NOT NULL,
    signature BLOB NOT NULL
) STRICT;
