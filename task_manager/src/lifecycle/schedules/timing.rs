//! The times of a cron expression in a time zone.
//!
//! When the clock goes forward, times in the gap are due once, right after the gap, even if the day
//! ends with it. When it goes back, an expression with fixed hours is due once; one that is due
//! every hour or minute is due in both hours.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use common::problem::ErrorLocation;

use super::cron::{Cron, next_month};
use crate::paging::Period;

/// After so many days the calendar repeats, including days of the week: an expression that is not
/// due within them is never due.
const CALENDAR: Days = Days::new(146_097);
/// The largest offset from UTC.
const FURTHEST: TimeDelta = TimeDelta::hours(16);
/// The most characters of an invalid text that an error repeats.
const LONGEST_QUOTE: usize = 64;
/// The longest reason for an invalid expression, which repeats a part of it.
const LONGEST_REASON: usize = 200;

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
    /// One for each that is invalid.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, Vec<ErrorLocation>> {
        let mut errors = Vec::new();
        let parsed = Cron::parse(cron).map_err(|reason| {
            let reason = format!(
                "`{}` is not a cron expression such as `0 * * * *`: {}",
                beginning(cron, LONGEST_QUOTE),
                beginning(&reason, LONGEST_REASON),
            );
            errors.push(ErrorLocation::field("cron", reason));
        });
        let zone = time_zone.parse::<Tz>().map_err(|_| {
            let given = beginning(time_zone, LONGEST_QUOTE);
            let reason = format!("`{given}` is not a time zone such as `UTC` or `Europe/Berlin`");
            errors.push(ErrorLocation::field("time_zone", reason));
        });
        match (parsed, zone) {
            (Ok(cron), Ok(zone)) => Ok(Self { cron, zone }),
            _ => Err(errors),
        }
    }

    /// The first time after `time`, both in UTC; none if it is never due within the storable times.
    /// Takes at most a millisecond or two for any expression.
    pub fn next_after(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        let today = self.zone.from_utc_datetime(&time).date_naive();
        // Times in a gap at the end of a day are due on the next one.
        let mut date = today.pred_opt()?;
        let end = today.checked_add_days(CALENDAR).unwrap_or(NaiveDate::MAX);
        let after = |date: NaiveDate| self.due_on(date).filter(|due| *due > time).min();
        while date <= end {
            if !self.cron.has_month(date.month()) {
                date = next_month(date)?;
                continue;
            }
            let tomorrow = date.succ_opt()?;
            if let Some(first) = after(date) {
                // A clock that is set back over midnight reaches the next day first.
                let next = after(tomorrow).map_or(first, |other| other.min(first));
                return Some(next).filter(|next| *next < Period::bounds().1);
            }
            date = tomorrow;
        }
        None
    }

    /// The due times of a day, in UTC, unordered.
    fn due_on(&self, date: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
        let times = self.cron.has_date(date).then(|| self.cron.times());
        times
            .into_iter()
            .flatten()
            .flat_map(move |time| {
                let local = date.and_time(time);
                let found = self.zone.from_local_datetime(&local);
                let again = found.latest().filter(|_| self.cron.is_continuous());
                let first = found.earliest().map(|time| time.naive_utc());
                [first.or_else(|| self.after_gap(local)), again.map(|time| time.naive_utc())]
            })
            .flatten()
    }

    /// The end of the gap that contains a local time, in UTC.
    fn after_gap(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let is_past =
            |time: NaiveDateTime| self.zone.from_utc_datetime(&time).naive_local() > local;
        let mut before = local.checked_sub_signed(FURTHEST)?;
        let mut past = local.checked_add_signed(FURTHEST)?;
        while past - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((past - before).num_seconds() / 2);
            if is_past(middle) { past = middle } else { before = middle }
        }
        Some(past)
    }
}

/// The first `longest` characters of a text.
fn beginning(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use chrono::DurationRound;
    use proptest::prelude::*;

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
    fn times_are_local_to_the_zone() {
        let start = "2026-01-31 12:34:56";
        assert_eq!(times("0 * * * *", "UTC", start, 2), ["01-31 13:00", "01-31 14:00"]);
        assert_eq!(times("@hourly", "UTC", start, 1), ["01-31 13:00"]);
        assert_eq!(times("30 9 * * *", "Asia/Kolkata", start, 2), ["02-01 04:00", "02-02 04:00"]);
        assert_eq!(times("0 8 * * MON-FRI", "Europe/Berlin", start, 1), ["02-02 07:00"]);
        assert_eq!(times("0 0 29 2 *", "UTC", start, 1), ["02-29 00:00"]);
        // At a due time, returns the next one.
        assert_eq!(times("0 * * * *", "UTC", "2026-01-31 13:00:00", 1), ["01-31 14:00"]);
    }

    #[test]
    fn summer_time_shifts_runs_in_utc() {
        // In Berlin clocks went from 2:00 to 3:00 on 2026-03-29, and go from 3:00 to 2:00 on 10-25.
        let daily = |start| times("0 8 * * *", "Europe/Berlin", start, 2);
        assert_eq!(daily("2026-03-28 00:00:00"), ["03-28 07:00", "03-29 06:00"]);
        assert_eq!(daily("2026-10-24 00:00:00"), ["10-24 06:00", "10-25 07:00"]);
    }

    #[test]
    fn a_skipped_hour_skips_no_run() {
        let nightly = times("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", 2);
        assert_eq!(nightly, ["03-29 01:00", "03-30 00:30"]);
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-03-28 23:30:00", 3);
        assert_eq!(hourly, ["03-29 00:00", "03-29 01:00", "03-29 02:00"]);
    }

    #[test]
    fn a_repeated_hour_runs_a_fixed_time_once() {
        let nightly = times("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", 2);
        assert_eq!(nightly, ["10-25 00:30", "10-26 01:30"]);
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-10-24 23:30:00", 4);
        assert_eq!(hourly, ["10-25 00:00", "10-25 01:00", "10-25 02:00", "10-25 03:00"]);
    }

    /// The next time from `start` on, UTC.
    fn next(cron: &str, zone: &str, start: &str) -> String {
        let next = Timing::parse(cron, zone).unwrap().next_after(at(start)).unwrap();
        next.format("%Y-%m-%d %H:%M:%S").to_string()
    }

    #[test]
    fn runs_in_a_gap_are_due_right_after_it() {
        for (cron, zone, start, due) in [
            // The gap is the last hour of the day.
            ("30 23 27 3 *", "America/Nuuk", "2026-11-29 00:00:00", "2027-03-28 01:00:00"),
            ("* 23 27 3 *", "America/Nuuk", "2027-03-28 00:59:59", "2027-03-28 01:00:00"),
            (
                "59 23 27 MAR *",
                "America/Scoresbysund",
                "2026-11-29 00:00:00",
                "2027-03-28 01:00:00",
            ),
            ("0 23 * * +SAT", "America/Nuuk", "2027-03-27 12:00:00", "2027-03-28 01:00:00"),
            // Its first one.
            ("30 0 30 4 *", "Africa/Cairo", "2026-11-29 00:00:00", "2027-04-29 22:00:00"),
            ("0 0 28 3 *", "Asia/Beirut", "2026-11-29 00:00:00", "2027-03-27 22:00:00"),
            ("@daily", "Asia/Beirut", "2027-03-27 12:00:00", "2027-03-27 22:00:00"),
            ("15 0 5 9 *", "America/Santiago", "2026-11-29 00:00:00", "2027-09-05 04:00:00"),
            ("59 0 1 10 *", "America/Asuncion", "2023-01-01 00:00:00", "2023-10-01 04:00:00"),
            ("0 0 * * *", "America/Havana", "2027-03-13 12:00:00", "2027-03-14 05:00:00"),
            // A whole day, at both ends of it.
            ("0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00:00", "2011-12-30 10:00:00"),
            ("0 0 30 12 *", "Pacific/Apia", "2011-12-30 09:59:59", "2011-12-30 10:00:00"),
            ("59 23 30 12 *", "Pacific/Apia", "2011-12-30 09:59:59", "2011-12-30 10:00:00"),
            // Half an hour.
            ("15 2 * * *", "Australia/Lord_Howe", "2027-10-02 00:00:00", "2027-10-02 15:30:00"),
            ("30 2 * * *", "Australia/Lord_Howe", "2027-10-02 00:00:00", "2027-10-02 15:30:00"),
            // Several times in the gap.
            ("*/15 2 * * *", "Europe/Berlin", "2027-03-27 12:00:00", "2027-03-28 01:00:00"),
            ("*/15 2 * * *", "Europe/Berlin", "2027-03-28 01:00:00", "2027-03-29 00:00:00"),
        ] {
            assert_eq!(next(cron, zone, start), due, "{cron} in {zone}");
        }
    }

    #[test]
    fn a_clock_set_back_over_midnight_causes_one_run() {
        // In St John's the clock went from 00:01 to 23:01 of the day before on 2010-11-07.
        let daily = |cron| times(cron, "America/St_Johns", "2010-11-06 12:00:00", 2);
        assert_eq!(daily("30 23 * * *"), ["11-07 02:00", "11-08 03:00"]);
        assert_eq!(daily("0 0 * * *"), ["11-07 02:30", "11-08 03:30"]);
        assert_eq!(daily("0 23,0 * * *"), ["11-07 01:30", "11-07 02:30"]);
    }

    #[test]
    fn distant_times_are_found() {
        assert_eq!(next("0 0 1 1 *", "UTC", "2037-12-31 12:00:00"), "2038-01-01 00:00:00");
        assert_eq!(
            next("0 0 20 1 *", "Europe/Berlin", "2038-01-19 12:00:00"),
            "2038-01-19 23:00:00"
        );
        assert_eq!(next("0 0 29 2 *", "UTC", "2096-03-01 00:00:00"), "2104-02-29 00:00:00");
        assert_eq!(next("0 0 29 2 +MON", "UTC", "2072-03-01 00:00:00"), "2112-02-29 00:00:00");
        assert_eq!(next("0 0 1 1 *", "UTC", "9998-12-31 00:00:00"), "9999-01-01 00:00:00");
        let end = Timing::parse("0 0 1 1 *", "UTC").unwrap();
        assert_eq!(end.next_after(at("9999-06-01 00:00:00")), None);
    }

    #[test]
    fn every_expression_is_evaluated_quickly() {
        for cron in
            ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 31 2 *", "0 0 29 2 +MON#1", "* * 29 2 +1"]
        {
            let begun = Instant::now();
            let timing = Timing::parse(cron, "Europe/Berlin").unwrap();
            timing.next_after(at("2026-01-31 12:34:56"));
            // Some hundred times the usual duration, for a busy machine.
            assert!(begun.elapsed() < Duration::from_secs(1), "{cron}");
        }
    }

    /// Zones with gaps and overlaps of all kinds, and a day near one of them.
    const CHANGES: [(&str, &str); 16] = [
        ("America/Nuuk", "2027-03-27"),
        ("America/Nuuk", "2027-10-30"),
        ("Africa/Cairo", "2027-04-29"),
        ("Africa/Cairo", "2027-10-28"),
        ("Asia/Beirut", "2027-03-27"),
        ("America/Asuncion", "2023-09-30"),
        ("America/Asuncion", "2024-03-23"),
        ("America/Santiago", "2027-09-04"),
        ("America/Santiago", "2027-04-03"),
        ("Pacific/Apia", "2011-12-29"),
        ("Australia/Lord_Howe", "2027-10-02"),
        ("Australia/Lord_Howe", "2027-04-03"),
        ("America/St_Johns", "2010-11-06"),
        ("Europe/Berlin", "2027-03-27"),
        ("Europe/Berlin", "2027-10-30"),
        ("America/Havana", "2027-11-06"),
    ];

    /// Whether a minute in UTC is due, checked on its own.
    fn is_due(timing: &Timing, minute: NaiveDateTime) -> bool {
        let Timing { cron, zone } = timing;
        let local = |time: NaiveDateTime| zone.from_utc_datetime(&time).naive_local();
        let is_named =
            |time: NaiveDateTime| cron.has_date(time.date()) && cron.has_time(time.time());
        let here = local(minute);
        let is_first = zone.from_local_datetime(&here).earliest().unwrap().naive_utc() == minute;
        let mut left_out = local(minute - TimeDelta::minutes(1)) + TimeDelta::minutes(1);
        while left_out < here {
            if is_named(left_out) {
                return true;
            }
            left_out += TimeDelta::minutes(1);
        }
        is_named(here) && (is_first || cron.is_continuous())
    }

    proptest! {
        #[test]
        fn the_next_time_is_the_first_matching_minute(
            (zone, day) in prop::sample::select(&CHANGES[..]),
            start in 0_i64..(2 * 24 * 3600),
            minute in "\\*|\\*/7|[0-5]?[0-9]|[0-5]?[0-9],30",
            hour in "\\*|\\*/2|[0-9]|1[0-9]|2[0-3]|0,23|22-23|0-2",
            date in "\\*|\\*|\\*/2|L|27-31",
            weekday in "\\*|\\*|SAT|SUN,FRI",
        ) {
            let cron = format!("{minute} {hour} {date} * {weekday}");
            let timing = Timing::parse(&cron, zone).unwrap();
            let start = at(&format!("{day} 00:00:00")) + TimeDelta::seconds(start);
            let minute = TimeDelta::minutes(1);
            let first = start.duration_trunc(minute).unwrap() + minute;
            let mut minutes = (0..4 * 1_440).map(|minute| first + TimeDelta::minutes(minute));
            let last = first + TimeDelta::minutes(4 * 1_440);
            let expected = minutes.find(|minute| is_due(&timing, *minute));
            prop_assert_eq!(timing.next_after(start).filter(|next| *next < last), expected);
        }
    }

    #[test]
    fn invalid_timings_are_named() {
        let fields = |cron, zone| -> Vec<String> {
            let errors = Timing::parse(cron, zone).unwrap_err();
            errors.into_iter().filter_map(|error| error.field).collect()
        };
        let long = format!("{} * * * *", "1,".repeat(5_000));
        for cron in ["", "* * * *", ", * * * *", "*/0 * * * *", "1-0 * * * *", "@now", &long] {
            assert!(Timing::parse(cron, "UTC").unwrap_err()[0].reason.len() < 400, "{cron}");
            assert_eq!(fields(cron, "UTC"), ["cron"], "{cron}");
        }
        for zone in ["", "Berlin", "Europe/Atlantis", "+01:00", &long] {
            assert_eq!(fields("0 * * * *", zone), ["time_zone"], "{zone}");
        }
        assert_eq!(fields("x", "y"), ["cron", "time_zone"]);
    }

    #[test]
    fn a_nonexistent_day_is_never_due() {
        let timing = Timing::parse("0 0 30 2 *", "UTC").unwrap();
        assert_eq!(timing.next_after(at("2026-01-31 12:34:56")), None);
    }
}
