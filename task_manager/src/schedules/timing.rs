//! The times of a cron expression on the clock of a time zone.
//!
//! Where the clock goes forward, what was due in the hour that is left out is due right behind it.
//! Where it goes back, an expression with fixed hours is due once; one that is due every hour or
//! minute is due in both hours.

use chrono::{NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use common::problem::ErrorLocation;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::http::query::Period;

/// When a schedule is due.
#[derive(Debug, Clone)]
pub struct Timing {
    cron: Cron,
    zone: Tz,
}

impl Timing {
    /// The times of `cron` (minute, hour, day of the month, month, day of the week, or a nickname
    /// such as `@daily`) in the time zone of this IANA name.
    ///
    /// # Errors
    /// What of both does not hold.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, Vec<ErrorLocation>> {
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let mut errors = Vec::new();
        let mut note = |field, reason| errors.push(ErrorLocation::field(field, reason));
        let parsed = parser.parse(cron).map_err(|error| {
            let reason = format!(
                "`{cron}` is no cron expression such as `0 * * * *` (minute, hour, day of the \
                 month, month, day of the week): {error}"
            );
            note("cron", reason);
        });
        let zone = time_zone.parse::<Tz>().map_err(|_| {
            let reason = format!("`{time_zone}` is no time zone such as `UTC` or `Europe/Berlin`");
            note("time_zone", reason);
        });
        match (parsed, zone) {
            (Ok(cron), Ok(zone)) => Ok(Self { cron, zone }),
            _ => Err(errors),
        }
    }

    /// The first time after `time`, both in UTC; none where there is none that the database compares.
    pub fn next_after(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = self.zone.from_utc_datetime(&time);
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        let next = next.with_timezone(&Utc).naive_utc();
        (next < Period::bounds().1).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
    }

    /// The next times from `start` on, UTC.
    fn times(cron: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
        let timing = Timing::parse(cron, zone).unwrap();
        let mut time = at(start);
        let mut next = || {
            time = timing.next_after(time).unwrap();
            time.format("%m-%d %H:%M").to_string()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let start = "2026-01-31 12:34:56";
        assert_eq!(times("0 * * * *", "UTC", start, 2), ["01-31 13:00", "01-31 14:00"]);
        assert_eq!(times("@hourly", "UTC", start, 1), ["01-31 13:00"]);
        assert_eq!(times("30 9 * * *", "Asia/Kolkata", start, 2), ["02-01 04:00", "02-02 04:00"]);
        assert_eq!(times("0 8 * * MON-FRI", "Europe/Berlin", start, 1), ["02-02 07:00"]);
        assert_eq!(times("0 0 29 2 *", "UTC", start, 1), ["02-29 00:00"]);
        // At a due time, the next one is looked for.
        assert_eq!(times("0 * * * *", "UTC", "2026-01-31 13:00:00", 1), ["01-31 14:00"]);
    }

    #[test]
    fn summer_time_moves_them_in_utc() {
        // In Berlin clocks went from 2:00 to 3:00 on 2026-03-29, and go from 3:00 to 2:00 on 10-25.
        let daily = |start| times("0 8 * * *", "Europe/Berlin", start, 2);
        assert_eq!(daily("2026-03-28 00:00:00"), ["03-28 07:00", "03-29 06:00"]);
        assert_eq!(daily("2026-10-24 00:00:00"), ["10-24 06:00", "10-25 07:00"]);
    }

    #[test]
    fn an_hour_that_is_left_out_leaves_no_run_out() {
        let nightly = times("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", 2);
        assert_eq!(nightly, ["03-29 01:00", "03-30 00:30"]);
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-03-28 23:30:00", 3);
        assert_eq!(hourly, ["03-29 00:00", "03-29 01:00", "03-29 02:00"]);
    }

    #[test]
    fn an_hour_that_comes_twice_has_one_run_of_a_fixed_time() {
        let nightly = times("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", 2);
        assert_eq!(nightly, ["10-25 00:30", "10-26 01:30"]);
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-10-24 23:30:00", 4);
        assert_eq!(hourly, ["10-25 00:00", "10-25 01:00", "10-25 02:00", "10-25 03:00"]);
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let fields = |cron, zone| -> Vec<String> {
            let errors = Timing::parse(cron, zone).unwrap_err();
            errors.into_iter().filter_map(|error| error.field).collect()
        };
        for cron in ["", "every hour", "* * * *", "0 0 * * * *", "60 * * * *", "0 25 * * *", "@now"]
        {
            assert_eq!(fields(cron, "UTC"), ["cron"], "{cron}");
        }
        for zone in ["", "Berlin", "Europe/Atlantis", "+01:00"] {
            assert_eq!(fields("0 * * * *", zone), ["time_zone"], "{zone}");
        }
        assert_eq!(fields("x", "y"), ["cron", "time_zone"]);
    }

    #[test]
    fn a_day_that_never_comes_is_never_due() {
        let timing = Timing::parse("0 0 30 2 *", "UTC").unwrap();
        assert_eq!(timing.next_after(at("2026-01-31 12:34:56")), None);
    }
}
