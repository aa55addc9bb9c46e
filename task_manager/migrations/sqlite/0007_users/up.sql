CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    -- The name in lower case: names are the same regardless of case.
    username_key TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_name ON users (username_key);
