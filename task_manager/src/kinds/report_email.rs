//! Reports by e-mail: the mail is all that comes of them.
//!
//! # Not here
//! When they are sent (`lifecycle::schedules`).

/// The kind `report_email`.
pub struct ReportEmail;

impl super::Kind for ReportEmail {}
