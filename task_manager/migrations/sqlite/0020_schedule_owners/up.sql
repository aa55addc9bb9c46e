-- Who made the schedule; null where it was there from the start, or before this column.
ALTER TABLE schedules ADD COLUMN owner BLOB;
