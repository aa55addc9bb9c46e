-- The rows of uploaded files that do not hold.
CREATE TABLE rejected_rows (
    task_id BLOB NOT NULL,
    `row` BIGINT NOT NULL,
    line BIGINT NOT NULL,
    column_name TEXT,
    value TEXT,
    reason TEXT NOT NULL,
    PRIMARY KEY (task_id, `row`)
) WITHOUT ROWID;
