-- How many messages each user has sent.
CREATE TABLE request_counters (
    user_id BINARY(16) NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
