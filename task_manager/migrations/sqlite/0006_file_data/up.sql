-- The loaded rows of uploaded files, by their numbers in the file.
CREATE TABLE file_data (
    task_id BLOB NOT NULL,
    `row` BIGINT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (task_id, `row`)
) WITHOUT ROWID;
