//! The API over HTTP: the only module that uses `axum`.
//!
//! # Invariants
//! - A handler extracts, makes one call into the layers below, and responds.
//! - Nothing below imports from here.

pub mod internal;
pub mod middleware;
pub mod openapi;
pub mod problem;
pub mod request;
pub mod response;
pub mod router;
pub mod routes;
pub mod server;
pub mod session_cookie;
pub mod session_end;
pub mod state;
