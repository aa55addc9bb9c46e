DROP INDEX tasks_by_state;
DROP INDEX tasks_by_end;
CREATE INDEX tasks_by_end ON tasks (files_removed, finished_at);
