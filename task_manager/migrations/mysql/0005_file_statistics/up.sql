-- What completed tasks found out about files. The counts are of text files only.
CREATE TABLE file_statistics (
    task_id BINARY(16) NOT NULL PRIMARY KEY,
    owner BINARY(16) NOT NULL,
    file_name VARCHAR(255) NOT NULL,
    size BIGINT NOT NULL,
    line_count BIGINT,
    word_count BIGINT,
    character_count BIGINT,
    content_type VARCHAR(127) NOT NULL,
    encoding VARCHAR(16) NOT NULL,
    sha256 CHAR(64) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    KEY file_statistics_by_owner (owner, created_at, task_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
