-- How often a queued task was dispatched again because no worker had claimed it.
ALTER TABLE tasks ADD COLUMN redispatches INTEGER NOT NULL DEFAULT 0;
