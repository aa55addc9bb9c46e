-- When the file was complete, and when the rollback began; null for what happened earlier.
ALTER TABLE tasks ADD COLUMN received_at DATETIME(6),
    ADD COLUMN stopping_at DATETIME(6);
