-- When the file was complete, and when the rollback began; null for what happened earlier.
ALTER TABLE tasks ADD COLUMN received_at TIMESTAMP;
ALTER TABLE tasks ADD COLUMN stopping_at TIMESTAMP;
