//! The real `taskctl` against a fake API server: the behaviour that scripts and people rely on.

#![expect(clippy::unwrap_used, reason = "a test fails if its setup fails")]

mod contexts;
mod download;
mod fake_api;
mod fake_uploads;
mod local;
mod login;
mod no_server;
mod resumable_uploads;
mod rows;
mod tasks;
mod upload;
mod wait;
