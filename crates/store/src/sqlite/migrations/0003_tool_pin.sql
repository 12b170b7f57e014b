-- What was approved of each tool, and what waits for approval: `pin` is JSON. `revision` counts
-- the writes of a pin, so that nobody overwrites what they have not read.
CREATE TABLE tool_pin (
    server   TEXT NOT NULL,
    tool     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    pin      TEXT NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT, WITHOUT ROWID;

-- Changes with every change of the pins, whoever makes it.
CREATE TABLE tool_pin_version (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO tool_pin_version (only, version) VALUES (1, 0);

CREATE TRIGGER tool_pin_inserted AFTER INSERT ON tool_pin
BEGIN UPDATE tool_pin_version SET version = version + 1; END;
CREATE TRIGGER tool_pin_updated AFTER UPDATE ON tool_pin
BEGIN UPDATE tool_pin_version SET version = version + 1; END;
CREATE TRIGGER tool_pin_deleted AFTER DELETE ON tool_pin
BEGIN UPDATE tool_pin_version SET version = version + 1; END;
