//! Cron expressions: parses them, and matches days and minutes.
//!
//! An expression has five fields separated by blanks: minute, hour, day of the month, month, day of
//! the week. Each is a list of values, ranges (`1-5`) and steps (`*/15`, `8-18/2`), or `*` for all.
//! Months and days of the week have names of three letters (`JAN`, `MON`); Sunday is 0 and 7. If
//! both kinds of days are restricted, either suffices; both must match if the last field begins
//! with `+`.
//!
//! Extensions: `L` is the last day of the month and `LW` its last working day, `15W` the working
//! day nearest to the 15th, `FRI#2` the second Friday of the month and `FRIL` the last, `?` is `*`
//! as a day, and `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly` and `@annually` replace all
//! five fields.
//!
//! # Not here
//! Time zones (`timing`).

use chrono::{Datelike, Days, NaiveDate, NaiveTime};

/// The name of a field, and its values.
#[derive(Debug)]
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// The names of its values, from `min` on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const WEEKDAY: Field = Field {
    name: "day of the week",
    min: 0,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// The nicknames of expressions.
const NICKNAMES: [(&str, &str); 6] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A cron expression. Sets are bit masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    months: u64,
    days: MonthDays,
    weekdays: WeekDays,
    /// Whether a day must match both fields, rather than either.
    is_both: bool,
}

/// The field of the days of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct MonthDays {
    is_any: bool,
    days: u64,
    last: bool,
    last_working: bool,
    /// The working days nearest to these.
    near: u64,
}

/// The field of the days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct WeekDays {
    is_any: bool,
    days: u64,
    /// Those that are the first in the month, the second, and so on.
    nth: [u64; 5],
    last: u64,
}

impl Cron {
    /// Parses an expression.
    ///
    /// # Errors
    /// It is invalid: the reason, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let nickname = NICKNAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let text = match nickname {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                let names = NICKNAMES.map(|(name, _)| format!("`{name}`")).join(", ");
                return Err(format!("a nickname is one of {names}"));
            }
            None => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "it has {} fields; it takes five: minute, hour, day of the month, month, day of \
                 the week",
                fields.len()
            ));
        };
        let both = weekday.strip_prefix('+');
        Ok(Self {
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            months: MONTH.set(month)?,
            days: MonthDays::parse(day)?,
            weekdays: WeekDays::parse(both.unwrap_or(weekday))?,
            is_both: both.is_some(),
        })
    }

    /// Whether any day of this month may match.
    pub fn has_month(&self, month: u32) -> bool {
        has(self.months, month)
    }

    /// Whether a day matches.
    pub fn has_date(&self, date: NaiveDate) -> bool {
        if !self.has_month(date.month()) {
            return false;
        }
        match (self.days.is_any, self.weekdays.is_any) {
            (true, true) => true,
            (true, false) => self.weekdays.has(date),
            (false, true) => self.days.has(date),
            (false, false) if self.is_both => self.days.has(date) && self.weekdays.has(date),
            (false, false) => self.days.has(date) || self.weekdays.has(date),
        }
    }

    /// The matching minutes of a day, in order.
    pub fn times(&self) -> impl Iterator<Item = NaiveTime> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
            minutes.filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
        })
    }

    /// Whether a minute of a day matches.
    #[cfg(test)]
    pub fn has_time(&self, time: NaiveTime) -> bool {
        use chrono::Timelike;
        has(self.hours, time.hour()) && has(self.minutes, time.minute())
    }

    /// Whether every hour matches, or every minute of an hour.
    pub fn is_continuous(&self) -> bool {
        self.hours == HOUR.all() || self.minutes == MINUTE.all()
    }
}

fn has(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

impl MonthDays {
    fn parse(field: &str) -> Result<Self, String> {
        let mut days = Self { is_any: is_any_day(field), ..Self::default() };
        if days.is_any {
            return Ok(days);
        }
        for item in DAY.items(field)? {
            let upper = item.to_ascii_uppercase();
            match (upper.as_str(), upper.strip_suffix('W')) {
                ("L", _) => days.last = true,
                ("LW", _) => days.last_working = true,
                (_, Some(day)) => days.near |= 1 << DAY.value(day)?,
                (_, None) => days.days |= DAY.item(item)?,
            }
        }
        Ok(days)
    }

    fn has(&self, date: NaiveDate) -> bool {
        let (day, length) = (date.day(), u32::from(date.num_days_in_month()));
        // Days from Monday, within this month: five weeks are longer than any month.
        let weekday_of =
            |other: u32| (date.weekday().num_days_from_monday() + other + 35 - day) % 7;
        let is_working = |day: u32| weekday_of(day) < 5;
        // A weekend day is replaced by the nearest working day of its month.
        let near = |wanted: u32| match weekday_of(wanted) {
            5 if wanted > 1 => wanted - 1,
            5 => wanted + 2,
            6 if wanted < length => wanted + 1,
            6 => wanted - 2,
            _ => wanted,
        };
        let last_working = || (1..=length).rev().find(|day| is_working(*day));
        has(self.days, day)
            || (self.last && day == length)
            || (self.last_working && last_working() == Some(day))
            || (1..=length).any(|wanted| has(self.near, wanted) && near(wanted) == day)
    }
}

impl WeekDays {
    fn parse(field: &str) -> Result<Self, String> {
        let mut days = Self { is_any: is_any_day(field), ..Self::default() };
        if days.is_any {
            return Ok(days);
        }
        for item in WEEKDAY.items(field)? {
            if let Some((day, nth)) = item.split_once('#') {
                let place = nth.parse::<usize>().ok().and_then(|nth| nth.checked_sub(1));
                let of_month =
                    place.and_then(|place| days.nth.get_mut(place)).ok_or_else(|| {
                        format!("day of the week: `#` must be followed by a number from 1 to 5, not `{nth}`")
                    })?;
                *of_month |= week(1 << WEEKDAY.value(day)?);
            } else if let Some(day) = item.strip_suffix(['L', 'l']) {
                days.last |= week(1 << WEEKDAY.value(day)?);
            } else {
                days.days |= week(WEEKDAY.item(item)?);
            }
        }
        Ok(days)
    }

    fn has(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let nth = self.nth.get(date.day0() as usize / 7).copied().unwrap_or_default();
        let is_last = date.day() + 7 > u32::from(date.num_days_in_month());
        has(self.days | nth, weekday) || (is_last && has(self.last, weekday))
    }
}

/// Sunday is 0 and 7.
fn week(days: u64) -> u64 {
    (days | days >> 7) & 0x7f
}

fn is_any_day(field: &str) -> bool {
    matches!(field, "*" | "?")
}

impl Field {
    fn all(&self) -> u64 {
        (self.min..=self.max).fold(0, |set, value| set | 1 << value)
    }

    fn set(&self, field: &str) -> Result<u64, String> {
        self.items(field)?.try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// The items of a list.
    fn items<'a>(&self, field: &'a str) -> Result<impl Iterator<Item = &'a str>, String> {
        if field.split(',').any(str::is_empty) {
            let name = self.name;
            return Err(format!("{name}: `{field}` has an empty item before or after a comma"));
        }
        Ok(field.split(','))
    }

    /// The values of an item: one value, a range, all, or a step of these.
    fn item(&self, item: &str) -> Result<u64, String> {
        let Self { name, min, max, .. } = *self;
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (min, max),
            (_, Some((first, last))) => (self.value(first)?, self.last(last)?),
            (_, None) if step.is_some() => {
                return Err(format!(
                    "{name}: `{item}`: a step must follow `*` or a range, such as \
                     `*/5` or `{min}-{max}/5`"
                ));
            }
            (value, None) => {
                let value = self.value(value)?;
                (value, value)
            }
        };
        if first > last {
            return Err(format!("{name}: the range `{range}` ends before it begins"));
        }
        let most = max - min + 1;
        let step = match step.map(str::parse::<usize>) {
            None => 1,
            Some(Ok(step)) if (1..=most as usize).contains(&step) => step,
            Some(_) => {
                return Err(format!(
                    "{name}: `{item}`: `/` must be followed by a number from 1 to {most}"
                ));
            }
        };
        Ok((first..=last).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let Self { name, min, max, names } = *self;
        let named = names.iter().position(|known| known.eq_ignore_ascii_case(text));
        let numbered = || {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|value| is_number && (min..=max).contains(value))
        };
        let value = named.and_then(|place| Some(min + u32::try_from(place).ok()?));
        value.or_else(numbered).ok_or_else(|| match names {
            [] => format!("{name}: `{text}` is not a number from {min} to {max}"),
            [first, ..] => format!(
                "{name}: `{text}` is neither a number from {min} to {max} nor a name such as \
                 `{first}`"
            ),
        })
    }

    /// The last value of a range, which may end on Sunday.
    fn last(&self, text: &str) -> Result<u32, String> {
        match text.eq_ignore_ascii_case("SUN") && self.max == WEEKDAY.max {
            true => Ok(WEEKDAY.max),
            false => self.value(text),
        }
    }
}

/// The first day of the month after that of `date`; none after the end of the calendar.
pub fn next_month(date: NaiveDate) -> Option<NaiveDate> {
    let left = u64::from(u32::from(date.num_days_in_month()) - date.day());
    date.checked_add_days(Days::new(left + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// The matching days of a month.
    fn days(cron: &str, month: &str) -> Vec<u32> {
        let cron = Cron::parse(cron).unwrap();
        let first = date(&format!("{month}-01"));
        let days = first.iter_days().take_while(|day| day.month() == first.month());
        days.filter(|day| cron.has_date(*day)).map(|day| day.day()).collect()
    }

    fn times(cron: &str) -> Vec<String> {
        let cron = Cron::parse(cron).unwrap();
        cron.times().map(|time| time.format("%H:%M").to_string()).collect()
    }

    #[test]
    fn minutes_and_hours_are_values_ranges_steps_and_lists() {
        assert_eq!(times("5 7 * * *"), ["07:05"]);
        assert_eq!(times("0,30 8-10/2 * * *"), ["08:00", "08:30", "10:00", "10:30"]);
        assert_eq!(times("*/20,50-51 23 * * *"), ["23:00", "23:20", "23:40", "23:50", "23:51"]);
        assert_eq!(times("* * * * *").len(), 1_440);
        assert_eq!(times("*/60 */24 * * *"), ["00:00"]);
        assert_eq!(times("@Hourly").len(), 24);
        assert_eq!(times(" @daily "), ["00:00"]);
    }

    #[test]
    fn days_match_the_month_or_the_week() {
        // 2026-02-01 is a Sunday.
        assert_eq!(days("0 0 * * *", "2026-02").len(), 28);
        assert_eq!(days("0 0 5,31 * *", "2026-02"), [5]);
        assert_eq!(days("0 0 * * SUN", "2026-02"), [1, 8, 15, 22]);
        assert_eq!(days("0 0 * * 7", "2026-02"), [1, 8, 15, 22]);
        assert_eq!(days("0 0 ? * fri-Sun/2", "2026-02"), [1, 6, 8, 13, 15, 20, 22, 27]);
        assert_eq!(days("0 0 * * 5-7", "2026-02"), days("0 0 * * 0,5,6", "2026-02"));
        assert_eq!(days("0 0 13 * FRI", "2026-02"), [6, 13, 20, 27]);
        assert_eq!(days("0 0 13 * FRI", "2026-01"), [2, 9, 13, 16, 23, 30]);
        assert_eq!(days("0 0 13 * +FRI", "2026-01"), [0; 0]);
        assert_eq!(days("0 0 13 * +FRI", "2026-02"), [13]);
        assert_eq!(days("0 0 1 JAN,3-4 *", "2026-02"), [0; 0]);
        assert_eq!(days("0 0 1 JAN,3-4 *", "2026-03"), [1]);
        assert_eq!(days("@monthly", "2026-03"), [1]);
        assert_eq!(days("@weekly", "2026-03"), [1, 8, 15, 22, 29]);
        assert_eq!((days("@yearly", "2026-01"), days("@annually", "2026-02")), (vec![1], vec![]));
    }

    #[test]
    fn days_are_counted_from_the_ends_of_months() {
        assert_eq!(days("0 0 L * *", "2028-02"), [29]);
        assert_eq!(days("0 0 1,L * *", "2026-02"), [1, 28]);
        // The last day of May 2026 is a Sunday, the 1st of August a Saturday.
        assert_eq!(days("0 0 LW * *", "2026-05"), [29]);
        assert_eq!(days("0 0 31W * *", "2026-05"), [29]);
        assert_eq!(days("0 0 1W * *", "2026-08"), [3]);
        assert_eq!(days("0 0 15W,16W * *", "2026-08"), [14, 17]);
        assert_eq!(days("0 0 17w * *", "2026-08"), [17]);
        assert_eq!(days("0 0 * * FRI#2", "2026-02"), [13]);
        assert_eq!(days("0 0 * * 0#5,1#1", "2026-03"), [2, 29]);
        assert_eq!(days("0 0 * * FRIL,7L", "2026-02"), [22, 27]);
    }

    #[test]
    fn errors_are_described_in_words() {
        let long = "1".repeat(10_000);
        for (cron, reason) in [
            ("", "it has 0 fields; it takes five"),
            ("every hour", "it has 2 fields"),
            ("0 0 * * * *", "it has 6 fields"),
            (", * * * *", "minute: `,` has an empty item"),
            ("* , * * *", "hour: `,` has an empty item"),
            ("* * 1,,2 * *", "day of the month: `1,,2` has an empty item"),
            ("* * * 1, *", "month: `1,` has an empty item"),
            ("* * * * ,1", "day of the week: `,1` has an empty item"),
            ("* * * * +", "day of the week: `` has an empty item"),
            ("60 * * * *", "minute: `60` is not a number from 0 to 59"),
            ("* 24 * * *", "hour: `24` is not a number from 0 to 23"),
            ("* * 0 * *", "day of the month: `0` is not a number from 1 to 31"),
            ("* * * 13 *", "month: `13` is neither a number from 1 to 12 nor a name such as `JAN`"),
            ("* * * * 8", "day of the week: `8` is neither"),
            ("* * * * FRIDAY", "day of the week: `FRIDAY` is neither"),
            ("*/0 * * * *", "minute: `*/0`: `/` must be followed by a number from 1 to 60"),
            ("*/61 * * * *", "minute: `*/61`: `/` must be followed"),
            ("*/ * * * *", "minute: `*/`: `/` must be followed"),
            ("5/10 * * * *", "minute: `5/10`: a step must follow `*` or a range"),
            ("/10 * * * *", "minute: `/10`: a step must follow"),
            ("1-0 * * * *", "minute: the range `1-0` ends before it begins"),
            ("1- * * * *", "minute: `` is not a number"),
            ("-1 * * * *", "minute: `` is not a number"),
            ("1-2-3 * * * *", "minute: `2-3` is not a number"),
            ("+1 * * * *", "minute: `+1` is not a number"),
            ("٣ * * * *", "minute: `٣` is not a number"),
            ("** * * * *", "minute: `**` is not a number"),
            ("? * * * *", "minute: `?` is not a number"),
            (
                "* * * * MON#6",
                "day of the week: `#` must be followed by a number from 1 to 5, not `6`",
            ),
            ("* * * * #", "day of the week: `#` must be"),
            ("* * * * L", "day of the week: `` is neither"),
            ("* * W * *", "day of the month: `` is not a number"),
            ("@now", "a nickname is one of `@hourly`, `@daily`"),
            (&format!("{long} * * * *"), "is not a number from 0 to 59"),
            (&format!("*/{long} * * * *"), "`/` must be followed by a number"),
        ] {
            let given = Cron::parse(cron).unwrap_err();
            assert!(given.contains(reason), "{cron}: {given}");
        }
    }
}
