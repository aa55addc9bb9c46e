-- One row when an attempt ends; the running one lives in `tasks`.
CREATE TABLE task_attempts (
    task_id BINARY(16) NOT NULL,
    attempt INT NOT NULL,
    worker BINARY(16),
    started_at DATETIME(6),
    ended_at DATETIME(6) NOT NULL,
    outcome VARCHAR(16) NOT NULL,
    reason MEDIUMTEXT,
    PRIMARY KEY (task_id, attempt)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
