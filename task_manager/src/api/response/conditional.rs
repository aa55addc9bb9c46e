//! Conditional and range requests (RFC 9110, sections 13 and 14) for representations with a strong
//! entity tag and no modification date.
//!
//! By hand: `Range` of the crate `headers` (0.4.2) accepts `+1` as a number and rejects the unit
//! `Bytes` and a suffix longer than the file, and its entity tags panic on a space in builds with
//! debug assertions.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, Method, header};

/// The part of a representation that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// A range that contains none of its bytes.
    NotSatisfiable,
    /// Nothing: the client has it already.
    Unchanged,
    /// Nothing: `If-Match` names another representation.
    PreconditionFailed,
}

/// What a GET or HEAD asks for of a representation with `size` bytes and the strong tag `etag`.
pub fn select(method: &Method, headers: &HeaderMap, etag: &str, size: u64) -> Selection {
    // In the order of section 13.2.2. Dates are ignored: there is no date to compare with.
    if listed(headers, header::IF_MATCH).is_some_and(|tags| !tags.has_strongly(etag)) {
        return Selection::PreconditionFailed;
    }
    if listed(headers, header::IF_NONE_MATCH).is_some_and(|tags| tags.has_weakly(etag)) {
        return Selection::Unchanged;
    }
    match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        Some(range) if *method == Method::GET && is_in_range(headers, etag) => {
            range_of(range, size)
        }
        _ => Selection::Whole,
    }
}

/// Whether the range applies to this representation.
fn is_in_range(headers: &HeaderMap, etag: &str) -> bool {
    let mut given = headers.get_all(header::IF_RANGE).iter();
    match (given.next(), given.next()) {
        (None, _) => true,
        // One tag, compared strongly. A date never matches.
        (Some(value), None) => value.to_str().is_ok_and(|value| value.trim() == etag),
        (Some(_), Some(_)) => false,
    }
}

/// A list of entity tags, or `*`.
enum Tags {
    Any,
    /// Whether each is weak, and its text with the quotes. A malformed tag ends the list.
    Listed(Vec<(bool, String)>),
}

impl Tags {
    fn has_strongly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(is_weak, tag)| !is_weak && tag == etag),
        }
    }

    fn has_weakly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(_, tag)| tag == etag),
        }
    }
}

/// The tags of a header, from all its lines; `None` if the header is missing.
fn listed(headers: &HeaderMap, name: HeaderName) -> Option<Tags> {
    let mut tags = None;
    for value in headers.get_all(name) {
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Some(Tags::Any);
        }
        tags.get_or_insert_with(Vec::new).extend(read_tags(text));
    }
    tags.map(Tags::Listed)
}

/// Splits a list of tags. A tag may contain commas: it ends with its closing quote.
fn read_tags(text: &str) -> Vec<(bool, String)> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let weak = rest.strip_prefix("W/");
        let opaque = weak.unwrap_or(rest).strip_prefix('"').and_then(|text| text.split_once('"'));
        let Some((opaque, behind)) = opaque else { return tags };
        tags.push((weak.is_some(), format!("\"{opaque}\"")));
        rest = behind;
    }
}

/// Parses `Range`. Several ranges, other units and malformed values get the whole representation,
/// as the standard allows.
fn range_of(value: &str, size: u64) -> Selection {
    let Some((unit, spec)) = value.split_once('=') else { return Selection::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Selection::Whole };
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Selection::Whole,
    };
    if range.start < range.end { Selection::Part(range) } else { Selection::NotSatisfiable }
}

/// Parses digits, without a sign. A number that overflows becomes the largest one.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ETAG: &str = "\"a,1\"";

    fn ask(method: Method, headers: &[(&'static str, &'static str)]) -> Selection {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        select(&method, &map, ETAG, 10)
    }

    #[test]
    fn preconditions_follow_rfc_9110() {
        let cases: [(&[(&'static str, &'static str)], Selection); 23] = [
            (&[], Selection::Whole),
            (&[("if-none-match", "\"a,1\"")], Selection::Unchanged),
            (&[("if-none-match", "W/\"a,1\"")], Selection::Unchanged),
            (&[("if-none-match", "\"b\", W/\"a,1\"")], Selection::Unchanged),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a,1\"")], Selection::Unchanged),
            (&[("if-none-match", "*")], Selection::Unchanged),
            (&[("if-none-match", "\"a\", \"1\"")], Selection::Whole),
            (&[("if-none-match", "a,1")], Selection::Whole),
            (&[("if-none-match", "w/\"a,1\"")], Selection::Whole),
            (&[("if-none-match", "\"A,1\"")], Selection::Whole),
            (&[("if-none-match", "\"*\"")], Selection::Whole),
            (&[("if-none-match", "\"a b\"")], Selection::Whole),
            (&[("if-match", "\"a,1\"")], Selection::Whole),
            (&[("if-match", "\"b\" , \"a,1\"")], Selection::Whole),
            (&[("if-match", "*")], Selection::Whole),
            (&[("if-match", "W/\"a,1\"")], Selection::PreconditionFailed),
            (&[("if-match", "\"b\"")], Selection::PreconditionFailed),
            (&[("if-match", "")], Selection::PreconditionFailed),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a,1\"")], Selection::PreconditionFailed),
            (&[("if-match", "\"a,1\""), ("if-none-match", "\"a,1\"")], Selection::Unchanged),
            (&[("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT")], Selection::Whole),
            (&[("if-modified-since", "Sat, 01 Jan 2050 00:00:00 GMT")], Selection::Whole),
            (&[("range", "bytes=0-1"), ("if-none-match", "\"a,1\"")], Selection::Unchanged),
        ];
        for (headers, expected) in cases {
            assert_eq!(ask(Method::GET, headers), expected, "{headers:?}");
            assert_eq!(ask(Method::HEAD, headers), expected, "HEAD {headers:?}");
        }
    }

    #[test]
    fn a_range_is_ignored_unless_if_range_matches() {
        let range = ("range", "bytes=2-3");
        for (if_range, expected) in [
            ("\"a,1\"", Selection::Part(2..4)),
            ("W/\"a,1\"", Selection::Whole),
            ("\"b\"", Selection::Whole),
            ("*", Selection::Whole),
            ("\"a,1\", \"b\"", Selection::Whole),
            ("Sat, 01 Jan 2050 00:00:00 GMT", Selection::Whole),
        ] {
            assert_eq!(ask(Method::GET, &[range, ("if-range", if_range)]), expected, "{if_range}");
        }
        assert_eq!(ask(Method::HEAD, &[range]), Selection::Whole, "a HEAD has no ranges");
        assert_eq!(ask(Method::HEAD, &[("range", "bytes=99-")]), Selection::Whole);
    }

    #[test]
    fn ranges_follow_rfc_9110() {
        let cases = [
            ("bytes=0-4", Selection::Part(0..5)),
            ("Bytes=0-4", Selection::Part(0..5)),
            ("BYTES=5-", Selection::Part(5..10)),
            ("bytes=-3", Selection::Part(7..10)),
            ("bytes=-30", Selection::Part(0..10)),
            ("bytes=8-99", Selection::Part(8..10)),
            ("bytes=8-99999999999999999999999", Selection::Part(8..10)),
            ("bytes=10-", Selection::NotSatisfiable),
            ("bytes=99999999999999999999999-", Selection::NotSatisfiable),
            ("bytes=-0", Selection::NotSatisfiable),
            ("bytes=4-2", Selection::Whole),
            ("bytes=0-1,4-5", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes", Selection::Whole),
            ("lines=0-1", Selection::Whole),
            ("bytes=x-", Selection::Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(range_of(value, 10), expected, "{value}");
        }
        assert_eq!(range_of("bytes=0-", 0), Selection::NotSatisfiable);
    }
}
