-- Who did what, and from where: logins, interrupts, changes of users and schedules.
CREATE TABLE audit (
    id BINARY(16) NOT NULL PRIMARY KEY,
    at DATETIME(6) NOT NULL,
    -- Null for a login that was refused; then the name that was given.
    user_id BINARY(16),
    username VARCHAR(32),
    address VARCHAR(45),
    action VARCHAR(32) NOT NULL,
    task_id BINARY(16),
    detail VARCHAR(255),
    KEY audit_by_time (at, id),
    KEY audit_by_user (user_id, at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
