-- Keys of programs. A revoked key has no row.
CREATE TABLE api_keys (
    -- Part of the key.
    id BINARY(16) NOT NULL PRIMARY KEY,
    user_id BINARY(16) NOT NULL,
    name VARCHAR(100) NOT NULL,
    -- SHA-256 of the secret part.
    hash BINARY(32) NOT NULL,
    -- Separated by spaces.
    scopes VARCHAR(255) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    -- Null for a key that never expires.
    expires_at DATETIME(6),
    -- To a minute or two: not every request writes it.
    last_used_at DATETIME(6),
    UNIQUE KEY api_keys_by_name (user_id, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
