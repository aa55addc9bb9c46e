-- Events of users, each recorded once by the task that was the first to be processed with it. The
-- times are the event's own and that of the record.
CREATE TABLE user_events (
    owner BINARY(16) NOT NULL,
    event_id VARCHAR(100) NOT NULL,
    task_id BINARY(16) NOT NULL,
    city VARCHAR(100) NOT NULL,
    state VARCHAR(100) NOT NULL,
    country VARCHAR(100) NOT NULL,
    post_code VARCHAR(100) NOT NULL,
    occurred_at DATETIME(6) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (owner, event_id),
    KEY user_events_by_task (task_id),
    KEY user_events_by_city (owner, city, state, country, occurred_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
