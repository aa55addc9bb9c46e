//! Validation of calendar dates.

/// Whether `text` is an existing date of the Gregorian calendar, in the form `YYYY-MM-DD` and in
/// the years 0001 to 9999.
pub(crate) fn is_date(text: &[u8]) -> bool {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return false };
    let (Some(year), Some(month), Some(day)) =
        (number(&[y1, y2, y3, y4]), number(&[m1, m2]), number(&[d1, d2]))
    else {
        return false;
    };
    year >= 1 && day >= 1 && day <= days_in_month(year, month)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// The number of days in a month; 0 if there is no such month.
fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_dates_are_accepted() {
        for day in ["2020-01-01", "2020-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert!(is_date(day.as_bytes()), "{day}");
        }
    }

    #[test]
    fn everything_else_is_rejected() {
        for text in [
            "",
            "2020-1-1",
            "2020-00-01",
            "2020-13-01",
            "2020-01-00",
            "2020-01-32",
            "2020-04-31",
            "2019-02-29",
            "1900-02-29",
            "2020-02-30",
            "0000-01-01",
            "20200101",
            "2020/01/01",
            "01-01-2020",
            " 2020-01-01",
            "2020-01-01 ",
            "2020-01-01T00:00",
            "+020-01-01",
            "12020-01-01",
            "２０２０-01-01",
        ] {
            assert!(!is_date(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn dates_agree_with_chrono() {
        for year in [1, 4, 100, 400, 1899, 1900, 2000, 2023, 2024, 9999] {
            for month in 0..=13 {
                for day in 0..=32 {
                    let real = chrono::NaiveDate::from_ymd_opt(year, month, day).is_some();
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    assert_eq!(is_date(text.as_bytes()), real, "{text}");
                }
            }
        }
    }
}
