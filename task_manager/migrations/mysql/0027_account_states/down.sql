ALTER TABLE users DROP KEY users_by_creation,
    DROP COLUMN last_login_at,
    DROP COLUMN unlisted_sessions_ended,
    DROP COLUMN disabled;
