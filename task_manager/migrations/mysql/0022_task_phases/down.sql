ALTER TABLE tasks DROP COLUMN received_at, DROP COLUMN stopping_at;
