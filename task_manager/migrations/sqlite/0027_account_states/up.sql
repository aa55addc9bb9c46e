-- Whether the user may not log in; whether tokens without a row in sessions are refused, which were
-- issued before that table existed; and the last login.
ALTER TABLE users ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN unlisted_sessions_ended BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN last_login_at TIMESTAMP;
CREATE INDEX users_by_creation ON users (created_at);
