ALTER TABLE tasks DROP KEY tasks_by_state, DROP KEY tasks_by_end,
    ADD KEY tasks_by_end (files_removed, finished_at);
