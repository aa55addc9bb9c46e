ALTER TABLE tasks DROP COLUMN redispatches;
