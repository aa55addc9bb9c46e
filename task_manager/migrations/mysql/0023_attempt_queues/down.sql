ALTER TABLE task_attempts DROP COLUMN queued_at;
