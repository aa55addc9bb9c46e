//! Schedules as clients send them, and their validation.

use common::clock;
use common::mail_address::MailAddress;
use common::problem::ErrorLocation;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Schedule;
use super::timing::Timing;

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;
/// The longest cron expression and the longest name of a time zone, in bytes.
const LONGEST: usize = 255;
/// The most recipients of a report.
const MOST_RECIPIENTS: usize = 100;

/// A schedule to create, or to replace one with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScheduleRequest)]
pub struct ScheduleDocument {
    /// Minute, hour, day of the month, month and day of the week, or a nickname such as `@daily`.
    #[schema(example = "0 8 * * MON-FRI", min_length = 1, max_length = 255)]
    cron: String,
    /// The time zone of these times, by its IANA name; `UTC` if absent.
    #[schema(example = "Europe/Berlin")]
    #[serde(default = "utc")]
    time_zone: String,
    /// Whether it runs; `true` if absent.
    #[serde(default = "enabled")]
    enabled: bool,
    /// The recipients of the report, up to 100 addresses; the workers' default recipients if
    /// absent.
    #[schema(example = json!(["reports@example.org"]), max_items = 100)]
    #[serde(default)]
    recipients: Vec<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn enabled() -> bool {
    true
}

/// A valid schedule.
#[derive(Debug, Clone)]
pub struct CheckedSchedule {
    pub name: String,
    pub cron: String,
    pub time_zone: String,
    pub enabled: bool,
    pub recipients: Vec<String>,
    pub timing: Timing,
}

impl CheckedSchedule {
    /// Whether it has the same times as `other`.
    pub fn has_times_of(&self, other: &Schedule) -> bool {
        let times = (&self.cron, &self.time_zone, self.enabled);
        times == (&other.cron, &other.time_zone, other.enabled)
    }
}

impl ScheduleDocument {
    /// Checks the schedule `name`. Computes its first due time, which takes up to some milliseconds
    /// of processor time.
    ///
    /// # Errors
    /// One for each invalid field.
    pub fn check(self, name: String) -> Result<CheckedSchedule, Vec<ErrorLocation>> {
        let Self { cron, time_zone, enabled, recipients } = self;
        let (cron, time_zone) = (cron.trim().to_owned(), time_zone.trim().to_owned());
        let mut errors = Vec::new();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(is_plain) {
            let reason = format!(
                "`{name}` is not a name of 1 to {LONGEST_NAME} lower-case letters, digits, `_` and `-`"
            );
            errors.push(ErrorLocation::field("name", reason));
        }
        for (field, text) in [("cron", &cron), ("time_zone", &time_zone)] {
            if text.len() > LONGEST {
                let reason = format!("is longer than {LONGEST} characters");
                errors.push(ErrorLocation::field(field, reason));
            }
        }
        if recipients.len() > MOST_RECIPIENTS {
            let reason = format!("are {}; up to {MOST_RECIPIENTS} are accepted", recipients.len());
            errors.push(ErrorLocation::field("recipients", reason));
        }
        let mut addresses = Vec::new();
        for (index, recipient) in recipients.iter().enumerate() {
            match MailAddress::parse(recipient.trim()) {
                Ok(address) => addresses.push(address.into_text().into_owned()),
                Err(error) => {
                    let reason =
                        format!("`{recipient}` {error}; give one such as name@example.org");
                    errors.push(ErrorLocation::field(format!("recipients[{index}]"), reason));
                }
            }
        }
        if errors.iter().any(|error| matches!(error.field.as_deref(), Some("cron" | "time_zone"))) {
            return Err(errors);
        }
        match Timing::parse(&cron, &time_zone) {
            Ok(timing) if timing.next_after(clock::now().naive_utc()).is_none() => {
                let reason = format!("`{cron}` is never due: no month has such a day");
                errors.push(ErrorLocation::field("cron", reason));
            }
            Ok(timing) if errors.is_empty() => {
                let recipients = addresses;
                return Ok(CheckedSchedule { name, cron, time_zone, enabled, recipients, timing });
            }
            Ok(_) => {}
            Err(more) => errors.extend(more),
        }
        Err(errors)
    }
}
