CREATE TABLE workers (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    kinds TEXT NOT NULL,
    slots INTEGER NOT NULL,
    draining BOOLEAN NOT NULL,
    started_at TIMESTAMP NOT NULL,
    seen_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX workers_by_seen ON workers (seen_at);
