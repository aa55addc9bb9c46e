//! What every request passes before and after its handler.

pub mod access;
pub mod compression;
pub mod content_encoding;
pub mod cors;
pub mod host;
pub mod measure;
pub mod own_page;
pub mod problems;
pub mod request_id;
pub mod same_machine;
pub mod trace;
pub mod tus;
