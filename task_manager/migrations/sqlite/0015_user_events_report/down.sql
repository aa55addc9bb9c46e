DELETE FROM schedules WHERE name = 'user_events_report';
