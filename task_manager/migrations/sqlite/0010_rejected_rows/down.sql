DROP TABLE rejected_rows;
