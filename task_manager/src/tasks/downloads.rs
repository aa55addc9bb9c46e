//! Downloads: the result of a task and its rejected rows, whole or in part.

pub mod routes;
