-- How far columns that are worked out from others are up to date (`backfill`): by which version of
-- the reckoning, and up to which row.
CREATE TABLE backfills (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    version INT NOT NULL,
    done_to VARCHAR(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
