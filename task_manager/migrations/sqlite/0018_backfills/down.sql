DROP TRIGGER messages_reindexed;
DROP TABLE backfills;
