//! Reports by e-mail: the mail is their only output.
//!
//! # Not here
//! Scheduling (`lifecycle::schedules`).

/// The kind `report_email`.
pub struct ReportEmail;

impl super::Kind for ReportEmail {}
