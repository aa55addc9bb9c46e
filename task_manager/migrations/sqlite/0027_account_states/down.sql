DROP INDEX users_by_creation;
ALTER TABLE users DROP COLUMN last_login_at;
ALTER TABLE users DROP COLUMN unlisted_sessions_ended;
ALTER TABLE users DROP COLUMN disabled;
