-- Work that one task manager of a fleet does for all of them.
CREATE TABLE locks (
    name TEXT NOT NULL PRIMARY KEY,
    holder BLOB NOT NULL,
    locked_until TIMESTAMP NOT NULL
);
