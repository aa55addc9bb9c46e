-- The file's name as it is looked for (`folding`); null until it was worked out.
ALTER TABLE tasks ADD COLUMN file_name_key TEXT;
