-- Messages that were accepted. The id is that of the task that validated the message, where one
-- did. The terms are the message's words as both full-text engines read them (`messages::terms`).
CREATE TABLE messages (
    sequence BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    message TEXT NOT NULL,
    request_count BIGINT,
    category VARCHAR(16) NOT NULL,
    terms MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    UNIQUE KEY messages_by_id (id),
    KEY messages_by_user (user_id, created_at, id, category),
    FULLTEXT KEY messages_by_terms (terms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
