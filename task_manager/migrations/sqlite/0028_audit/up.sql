-- Who did what, and from where: logins, interrupts, changes of users and schedules.
CREATE TABLE audit (
    id BLOB NOT NULL PRIMARY KEY,
    at TIMESTAMP NOT NULL,
    -- Null for a login that was refused; then the name that was given.
    user_id BLOB,
    username TEXT,
    address TEXT,
    action TEXT NOT NULL,
    task_id BLOB,
    detail TEXT
) WITHOUT ROWID;
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_user ON audit (user_id, at);
