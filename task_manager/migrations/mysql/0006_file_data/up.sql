-- The loaded rows of uploaded files, by their numbers in the file.
CREATE TABLE file_data (
    task_id BINARY(16) NOT NULL,
    `row` BIGINT NOT NULL,
    name VARCHAR(1000) NOT NULL,
    email VARCHAR(1000) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    PRIMARY KEY (task_id, `row`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
