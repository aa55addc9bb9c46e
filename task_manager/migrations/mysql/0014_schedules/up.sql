-- What is done again and again. `next_due` is null where it has to be worked out first, or the
-- schedule is not enabled; who moves it on does what is due.
CREATE TABLE schedules (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    cron VARCHAR(255) NOT NULL,
    time_zone VARCHAR(64) NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- A JSON list of addresses.
    recipients TEXT NOT NULL,
    next_due DATETIME(6),
    last_run_at DATETIME(6),
    last_task_id BINARY(16)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
