//! The real `taskctl` against a fake API server: the behaviour that scripts and people rely on.

#![expect(clippy::unwrap_used, reason = "a test fails if its setup fails")]

mod download;
mod fake_api;
mod local;
mod login;
mod no_server;
mod rows;
mod tasks;
mod upload;
mod wait;
