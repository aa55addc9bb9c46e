-- The rows of uploaded files that do not hold.
CREATE TABLE rejected_rows (
    task_id BINARY(16) NOT NULL,
    `row` BIGINT NOT NULL,
    line BIGINT NOT NULL,
    column_name VARCHAR(1000),
    value VARCHAR(1000),
    reason VARCHAR(1000) NOT NULL,
    PRIMARY KEY (task_id, `row`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
