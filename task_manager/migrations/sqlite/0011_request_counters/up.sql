-- How many messages each user has sent.
CREATE TABLE request_counters (
    user_id BLOB NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
) WITHOUT ROWID;
