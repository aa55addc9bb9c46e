//! The real `taskctl` against a fake API server: the behaviour that scripts and people rely on.

#![expect(clippy::unwrap_used, reason = "a test fails where something it needs does not work")]

mod download;
mod fake_api;
mod local;
mod login;
mod no_server;
mod rows;
mod tasks;
mod upload;
mod wait;
