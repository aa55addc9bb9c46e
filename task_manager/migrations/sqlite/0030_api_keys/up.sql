-- Keys of programs. A revoked key has no row.
CREATE TABLE api_keys (
    -- Part of the key.
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL,
    name TEXT NOT NULL,
    -- SHA-256 of the secret part.
    hash BLOB NOT NULL,
    -- Separated by spaces.
    scopes TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    -- Null for a key that never expires.
    expires_at TIMESTAMP,
    -- To a minute or two: not every request writes it.
    last_used_at TIMESTAMP
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (user_id, name);
