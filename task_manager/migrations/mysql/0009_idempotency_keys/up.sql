-- Requests that carry an Idempotency-Key: under way while there is no answer, done when there is.
CREATE TABLE idempotency_keys (
    -- User, method, path and key, hashed.
    id CHAR(64) NOT NULL PRIMARY KEY,
    -- The request that holds the lock, and until when.
    holder BINARY(16) NOT NULL,
    locked_until DATETIME(6) NOT NULL,
    -- What the request asked for, hashed, and what it was answered (JSON).
    fingerprint CHAR(64),
    answer MEDIUMTEXT,
    created_at DATETIME(6) NOT NULL,
    KEY idempotency_keys_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
