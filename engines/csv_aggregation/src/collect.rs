//! The worker threads: each takes chunks of the input, parses their rows, adds them to groups and
//! reports invalid rows, which are put in file order.

pub(crate) mod batch;
pub(crate) mod collector;
pub(crate) mod reading;
pub(crate) mod reports;
pub(crate) mod worker;
