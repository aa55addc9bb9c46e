-- A row for each login, until its token expires or is revoked.
CREATE TABLE sessions (
    -- The id of the token.
    id BINARY(16) NOT NULL PRIMARY KEY,
    user_id BINARY(16) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    -- To some minutes: not every request writes it.
    last_used_at DATETIME(6) NOT NULL,
    -- Where the login came from, and from which program.
    address VARCHAR(45) NOT NULL,
    user_agent VARCHAR(255),
    KEY sessions_by_user (user_id, created_at),
    KEY sessions_by_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
