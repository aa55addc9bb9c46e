-- Requests that carry an Idempotency-Key: under way while there is no answer, done when there is.
CREATE TABLE idempotency_keys (
    -- User, method, path and key, hashed.
    id TEXT NOT NULL PRIMARY KEY,
    -- The request that holds the lock, and until when.
    holder BLOB NOT NULL,
    locked_until TIMESTAMP NOT NULL,
    -- What the request asked for, hashed, and what it was answered (JSON).
    fingerprint TEXT,
    answer TEXT,
    created_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
