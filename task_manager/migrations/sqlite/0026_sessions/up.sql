-- A row for each login, until its token expires or is revoked.
CREATE TABLE sessions (
    -- The id of the token.
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    -- To some minutes: not every request writes it.
    last_used_at TIMESTAMP NOT NULL,
    -- Where the login came from, and from which program.
    address TEXT NOT NULL,
    user_agent TEXT
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
