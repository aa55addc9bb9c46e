-- Messages that were accepted. The id is that of the task that validated the message, where one
-- did. The terms are the message's words as both full-text engines read them (`messages::terms`).
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY NOT NULL,
    id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    message TEXT NOT NULL,
    request_count BIGINT,
    category TEXT NOT NULL,
    terms TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE INDEX messages_by_user ON messages (user_id, created_at, id, category);
-- The index of the terms, which reads them from the messages.
CREATE VIRTUAL TABLE message_terms USING fts5 (
    terms, content = 'messages', content_rowid = 'sequence', tokenize = "ascii tokenchars '_'"
);
CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
    INSERT INTO message_terms (rowid, terms) VALUES (new.sequence, new.terms);
END;
CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
    INSERT INTO message_terms (message_terms, rowid, terms)
    VALUES ('delete', old.sequence, old.terms);
END;
