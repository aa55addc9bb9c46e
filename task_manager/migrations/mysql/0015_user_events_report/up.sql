-- Each hour unless set otherwise, to whom the workers are set to send mail. Its first time is set by
-- the task manager that sees it first.
INSERT INTO schedules (name, cron, time_zone, enabled, recipients)
VALUES ('user_events_report', '0 * * * *', 'UTC', TRUE, '[]');
