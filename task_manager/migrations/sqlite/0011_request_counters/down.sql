DROP TABLE request_counters;
