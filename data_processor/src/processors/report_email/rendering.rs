//! Renders the report of user events as text, HTML and JSON.

use std::fmt::Write;

use common::plural::plural;
use common::user_event::UserEventsReport;

/// The subject of the mail.
pub(super) fn subject(report: &UserEventsReport) -> String {
    format!("User events by city, {}", minute(report))
}

fn minute(report: &UserEventsReport) -> String {
    report.timestamp.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The numbers of cities, of users, and of cities that were left out.
fn totals(report: &UserEventsReport, left_out: u64) -> String {
    let users: u64 = report.stats.values().sum();
    let counted = |count, one, many| format!("{count} {}", plural(count, one, many));
    let cities = counted(report.stats.len() as u64, "city", "cities");
    let totals = format!("{cities}, {}", counted(users, "user", "users"));
    match left_out {
        0 => totals,
        more => format!("{totals}; left out: {}", counted(more, "smaller city", "smaller cities")),
    }
}

/// The report as plain text.
pub(super) fn text(report: &UserEventsReport, left_out: u64) -> String {
    let mut text = format!("User events by city, {}\n\n", minute(report));
    let width = report.stats.keys().map(|city| city.chars().count()).max().unwrap_or(0);
    for (city, users) in &report.stats {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{city:width$}  {users:>8}");
    }
    if !report.stats.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{}", totals(report, left_out));
    text
}

/// The report as HTML.
pub(super) fn html(report: &UserEventsReport, left_out: u64) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head>\n\
         <body><h1>{0}</h1>\n<table>\n\
         <tr><th align=\"left\">City</th><th align=\"right\">Users</th></tr>\n",
        escaped(&subject(report))
    );
    for (city, users) in &report.stats {
        let city = escaped(city);
        let _ = writeln!(html, "<tr><td>{city}</td><td align=\"right\">{users}</td></tr>");
    }
    let _ = writeln!(html, "</table>\n<p>{}</p></body></html>", totals(report, left_out));
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The report as JSON, in the format of the API.
pub(super) fn json(report: &UserEventsReport) -> String {
    // A map from strings to numbers can always be serialised.
    serde_json::to_string_pretty(report).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stats: &[(&str, u64)]) -> UserEventsReport {
        UserEventsReport {
            timestamp: "2026-01-31T12:00:07.5Z".parse().unwrap(),
            stats: stats.iter().map(|(city, users)| ((*city).to_owned(), *users)).collect(),
        }
    }

    #[test]
    fn text_and_html_have_a_table() {
        let report = report(&[("Portland", 12), ("München", 1)]);
        assert_eq!(subject(&report), "User events by city, 2026-01-31 12:00 UTC");
        assert_eq!(
            text(&report, 0),
            "User events by city, 2026-01-31 12:00 UTC\n\n\
             München          1\n\
             Portland        12\n\n\
             2 cities, 13 users\n"
        );
        assert!(html(&report, 0).contains("<tr><td>Portland</td><td align=\"right\">12</td></tr>"));
    }

    #[test]
    fn an_empty_report_is_rendered() {
        assert_eq!(
            text(&report(&[]), 0),
            "User events by city, 2026-01-31 12:00 UTC\n\n0 cities, 0 users\n"
        );
        assert!(text(&report(&[("Lyon", 1)]), 0).ends_with("\n1 city, 1 user\n"));
    }

    #[test]
    fn left_out_cities_are_counted() {
        let text = text(&report(&[("Lyon", 7)]), 12);
        assert!(text.ends_with("\n1 city, 7 users; left out: 12 smaller cities\n"), "{text}");
    }

    #[test]
    fn city_names_are_escaped() {
        let html = html(&report(&[("<script>alert(\"x\")</script> & co", 1)]), 0);
        assert!(
            html.contains("<td>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; co</td>")
        );
    }

    #[test]
    fn the_json_can_be_parsed_back() {
        let report = report(&[("Portland", 12)]);
        assert_eq!(serde_json::from_str::<UserEventsReport>(&json(&report)).unwrap(), report);
    }
}
