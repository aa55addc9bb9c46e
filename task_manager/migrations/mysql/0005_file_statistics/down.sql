DROP TABLE file_statistics;
