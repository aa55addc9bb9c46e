//! How the server is.

pub mod routes;
