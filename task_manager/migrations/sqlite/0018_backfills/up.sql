-- How far columns that are worked out from others are up to date (`backfill`): by which version of
-- the reckoning, and up to which row.
CREATE TABLE backfills (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    done_to TEXT NOT NULL
) WITHOUT ROWID;
-- Terms that are worked out anew go into the index anew.
CREATE TRIGGER messages_reindexed AFTER UPDATE OF terms ON messages BEGIN
    INSERT INTO message_terms (message_terms, rowid, terms)
    VALUES ('delete', old.sequence, old.terms);
    INSERT INTO message_terms (rowid, terms) VALUES (new.sequence, new.terms);
END;
