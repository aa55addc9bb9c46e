-- Tokens that were given back before their time; a row goes when the token has expired.
CREATE TABLE revoked_tokens (
    jti BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL,
    expires_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
