DROP TABLE message_terms;
DROP TABLE messages;
