-- Tasks that are to be put in the queue; a task has one row at the most.
CREATE TABLE outbox (
    task_id BINARY(16) NOT NULL PRIMARY KEY,
    kind VARCHAR(32) NOT NULL,
    dispatch INT NOT NULL,
    due_at DATETIME(6) NOT NULL,
    locked_until DATETIME(6),
    KEY outbox_by_due (due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
