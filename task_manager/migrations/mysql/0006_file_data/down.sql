DROP TABLE file_data;
