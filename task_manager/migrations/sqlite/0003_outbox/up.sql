-- Tasks that are to be put in the queue; a task has one row at the most.
CREATE TABLE outbox (
    task_id BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    dispatch INTEGER NOT NULL,
    due_at TIMESTAMP NOT NULL,
    locked_until TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX outbox_by_due ON outbox (due_at);
