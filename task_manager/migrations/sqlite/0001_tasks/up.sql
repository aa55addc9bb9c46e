CREATE TABLE tasks (
    id BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    -- What two uploads of the same file have in common: kind, parameters and content, hashed.
    identity TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    dispatch INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    alone BOOLEAN NOT NULL DEFAULT FALSE,
    worker BLOB,
    leased_until TIMESTAMP,
    progress TEXT,
    checkpoint TEXT,
    file_name TEXT,
    size BIGINT,
    sha256 TEXT,
    output TEXT,
    output_attempt INTEGER,
    result TEXT,
    error TEXT,
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    queued_at TIMESTAMP,
    dispatched_at TIMESTAMP,
    started_at TIMESTAMP,
    attempt_started_at TIMESTAMP,
    finished_at TIMESTAMP,
    files_removed BOOLEAN NOT NULL DEFAULT FALSE,
    deleted BOOLEAN NOT NULL DEFAULT FALSE
) WITHOUT ROWID;
CREATE INDEX tasks_by_owner ON tasks (owner, created_at);
CREATE INDEX tasks_by_change ON tasks (owner, changed_at);
CREATE INDEX tasks_by_identity ON tasks (owner, identity);
CREATE INDEX tasks_in_queue ON tasks (kind, state, queued_at);
CREATE INDEX tasks_by_lease ON tasks (state, leased_until);
CREATE INDEX tasks_by_end ON tasks (files_removed, finished_at);
CREATE INDEX tasks_deleted ON tasks (deleted);
