-- Work that one task manager of a fleet does for all of them.
CREATE TABLE locks (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    holder BINARY(16) NOT NULL,
    locked_until DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
