//! End-to-end tests: the real programs on real services, started, killed and restarted.

#![expect(clippy::unwrap_used, reason = "a test fails if its setup fails")]
#![expect(clippy::panic, reason = "a test fails if its setup fails")]

mod end_to_end {
    mod api;
    mod backups;
    mod bad_files;
    mod bad_requests;
    mod bucket;
    mod command_line;
    mod compose;
    mod compressed_files;
    mod crashes;
    mod csv_previews;
    mod cut_uploads;
    mod data_folder;
    mod data_uploads;
    mod documents;
    mod drain;
    mod file_statistics;
    mod fleet;
    mod fleet_faults;
    mod frozen_managers;
    mod full_disk;
    mod interrupts;
    mod logins;
    mod long_task;
    mod main_job;
    mod make_targets;
    mod messages;
    mod observability;
    mod on_a_bucket;
    mod page;
    mod people;
    mod plays;
    mod process;
    mod random_faults;
    mod reference;
    mod resumable;
    mod resumed_transfers;
    mod s3;
    mod service_faults;
    mod service_starts;
    mod standalone;
    mod tls;
    mod traces;
    mod upgrades;
    mod user_events;
}
