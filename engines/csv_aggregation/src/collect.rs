//! The threads that read the input: each takes chunks, parses their rows, adds them to groups and
//! reports the invalid ones in the order of the file.

pub(crate) mod batch;
pub(crate) mod collector;
pub(crate) mod reading;
pub(crate) mod reports;
pub(crate) mod worker;
