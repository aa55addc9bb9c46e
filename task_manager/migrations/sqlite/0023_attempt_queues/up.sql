-- When the task was queued before the attempt; null for earlier attempts.
ALTER TABLE task_attempts ADD COLUMN queued_at TIMESTAMP;
