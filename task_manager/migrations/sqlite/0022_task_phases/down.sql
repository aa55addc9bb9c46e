ALTER TABLE tasks DROP COLUMN received_at;
ALTER TABLE tasks DROP COLUMN stopping_at;
