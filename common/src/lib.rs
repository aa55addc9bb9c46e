//! Code that the task manager, the workers and the command line share.
//!
//! A module is here only if two programs use it. Nothing here uses the database or serves
//! clients; only `queue` knows the message broker, and only `storage` knows the locations of files.

pub mod bulk_action;
pub mod causes;
pub mod client;
pub mod clock;
pub mod command_line;
pub mod config;
pub mod csv_preview;
pub mod file_statistics;
pub mod health;
pub mod mail_address;
pub mod message;
pub mod metrics;
pub mod parameters;
pub mod password;
pub mod plural;
pub mod problem;
pub mod queue;
pub mod random;
pub mod report;
pub mod signals;
pub mod storage;
pub mod systemd;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod user_event;
