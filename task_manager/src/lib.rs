//! The task manager: a REST API that keeps tasks in a database and hands them to workers.
pub mod db;
