ALTER TABLE tasks DROP COLUMN file_name_key;
