//! Tests of the task manager over HTTP, with the real database, queue and storage. The tests play
//! the worker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot continue fails"
)]

mod api {
    mod access;
    mod accounts;
    mod api_keys;
    mod app;
    mod audit;
    mod backend;
    mod bad_requests;
    mod bulk_actions;
    mod compression;
    mod concatenation;
    mod connections;
    mod cors;
    mod csv_dialects;
    mod csv_previews;
    mod data_upload_batches;
    mod data_upload_resumes;
    mod data_upload_rollbacks;
    mod data_uploads;
    mod downloads;
    mod events;
    mod file_statistics;
    mod file_statistics_report;
    mod idempotency;
    mod interrupts;
    mod leases;
    mod loads;
    mod message_bulk;
    mod message_search;
    mod messages;
    mod metrics;
    mod openapi;
    mod operations;
    mod page;
    mod report_batches;
    mod reports;
    mod results;
    mod resumable_faults;
    mod resumable_uploads;
    mod retention;
    mod run_again;
    mod schedules;
    mod session_cookies;
    mod several;
    mod stored;
    mod task_filters;
    mod task_reports;
    mod tasks;
    mod tasks_of_others;
    mod timelines;
    mod tokens;
    mod tus;
    mod unreadable;
    mod upload_bodies;
    mod uploads;
    mod user_events;
    mod users;
}
