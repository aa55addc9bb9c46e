-- Tokens that were given back before their time; a row goes when the token has expired.
CREATE TABLE revoked_tokens (
    jti BINARY(16) NOT NULL PRIMARY KEY,
    user_id BINARY(16) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY revoked_tokens_by_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
