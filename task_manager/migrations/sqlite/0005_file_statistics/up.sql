-- What completed tasks found out about files. The counts are of text files only.
CREATE TABLE file_statistics (
    task_id BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL,
    file_name TEXT NOT NULL,
    size BIGINT NOT NULL,
    line_count BIGINT,
    word_count BIGINT,
    character_count BIGINT,
    content_type TEXT NOT NULL,
    encoding TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX file_statistics_by_owner ON file_statistics (owner, created_at, task_id);
