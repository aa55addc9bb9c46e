ALTER TABLE schedules DROP COLUMN owner;
