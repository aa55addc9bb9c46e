-- What is done again and again. `next_due` is null where it has to be worked out first, or the
-- schedule is not enabled; who moves it on does what is due.
CREATE TABLE schedules (
    name TEXT NOT NULL PRIMARY KEY,
    cron TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- A JSON list of addresses.
    recipients TEXT NOT NULL,
    next_due TIMESTAMP,
    last_run_at TIMESTAMP,
    last_task_id BLOB
) WITHOUT ROWID;
