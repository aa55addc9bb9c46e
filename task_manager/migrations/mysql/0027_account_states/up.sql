-- Whether the user may not log in; whether tokens without a row in sessions are refused, which were
-- issued before that table existed; and the last login.
ALTER TABLE users ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN unlisted_sessions_ended BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN last_login_at DATETIME(6),
    ADD KEY users_by_creation (created_at);
