//! The public routes, one file per feature.

pub mod administration;
pub mod api_keys;
pub mod audit;
pub mod bulk_messages;
pub mod csv_previews;
pub mod data_uploads;
pub mod downloads;
pub mod events;
pub mod file_statistics;
pub mod health;
pub mod messages;
pub mod operations;
pub mod page;
pub mod results;
pub mod resumable_uploads;
pub mod run_again;
pub mod schedules;
pub mod sessions;
pub mod task_actions;
pub mod task_reports;
pub mod tasks;
pub mod timelines;
pub mod uploads;
pub mod user_events;
pub mod users;
pub mod workers;
