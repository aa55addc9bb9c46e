//! `/`: what this is and what to do next.

pub mod routes;
