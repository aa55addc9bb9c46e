-- One row when an attempt ends; the running one lives in `tasks`.
CREATE TABLE task_attempts (
    task_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    worker BLOB,
    started_at TIMESTAMP,
    ended_at TIMESTAMP NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (task_id, attempt)
) WITHOUT ROWID;
