-- Uploads that several requests continue. The id of one that becomes a task is the task's.
CREATE TABLE uploads (
    id BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL,
    -- receiving, received (all bytes, not yet a task) or done
    state TEXT NOT NULL,
    -- single, partial (one of the parts of another upload) or final (made of parts)
    role TEXT NOT NULL,
    -- The parts of a final upload, in order (JSON); of a partial one, the upload that took it.
    parts TEXT,
    final_id BLOB,
    -- The task that the upload created or resumed.
    task_id BLOB,
    -- Bytes: of the whole file, if known, and those that are stored.
    size BIGINT,
    received BIGINT NOT NULL DEFAULT 0,
    -- The state of the hash after these bytes, and how the storage continues behind them (JSON).
    intake TEXT,
    staged TEXT,
    -- The metadata as the client gave it.
    metadata TEXT,
    -- The number of the request that may write, and until when it holds the upload: null after a
    -- clean release, in the past if it may still be writing.
    writer INT NOT NULL DEFAULT 0,
    held_until TIMESTAMP,
    release_requested BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
CREATE INDEX uploads_by_state ON uploads (state, held_until);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);
