-- Uploads that several requests continue. The id of one that becomes a task is the task's.
CREATE TABLE uploads (
    id BINARY(16) NOT NULL PRIMARY KEY,
    owner BINARY(16) NOT NULL,
    -- receiving, received (all bytes, not yet a task) or done
    state VARCHAR(16) NOT NULL,
    -- single, partial (one of the parts of another upload) or final (made of parts)
    role VARCHAR(16) NOT NULL,
    -- The parts of a final upload, in order (JSON); of a partial one, the upload that took it.
    parts MEDIUMTEXT,
    final_id BINARY(16),
    -- The task that the upload created or resumed.
    task_id BINARY(16),
    -- Bytes: of the whole file, if known, and those that are stored.
    size BIGINT,
    received BIGINT NOT NULL DEFAULT 0,
    -- The state of the hash after these bytes, and how the storage continues behind them (JSON).
    intake MEDIUMTEXT,
    staged MEDIUMTEXT,
    -- The metadata as the client gave it.
    metadata MEDIUMTEXT,
    -- The number of the request that may write, and until when it holds the upload: null after a
    -- clean release, in the past if it may still be writing.
    writer INT NOT NULL DEFAULT 0,
    held_until DATETIME(6),
    release_requested BOOLEAN NOT NULL DEFAULT FALSE,
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY uploads_by_state (state, held_until),
    KEY uploads_by_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
