-- Events of users, each recorded once by the task that was the first to be processed with it. The
-- times are the event's own and that of the record.
CREATE TABLE user_events (
    owner BLOB NOT NULL,
    event_id TEXT NOT NULL,
    task_id BLOB NOT NULL,
    city TEXT NOT NULL,
    state TEXT NOT NULL,
    country TEXT NOT NULL,
    post_code TEXT NOT NULL,
    occurred_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (owner, event_id)
) WITHOUT ROWID;
CREATE INDEX user_events_by_task ON user_events (task_id);
CREATE INDEX user_events_by_city ON user_events (owner, city, state, country, occurred_at);
