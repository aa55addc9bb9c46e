//! Content negotiation: the media type that a client prefers (RFC 9110, section 12.5.1).
//!
//! By hand: neither tower-http nor `headers` nor axum-extra reads `Accept`.

use axum::http::{HeaderMap, header};

use crate::error::Error;

/// The default type of lists and reports.
pub const JSON: &str = "application/json";
/// The type of some of them for spreadsheets.
pub const CSV: &str = "text/csv";
/// The type that browsers ask for when a person opens an address.
const HTML: &str = "text/html";

/// Whether a client prefers a page to JSON, as browsers do. A client that accepts anything does not.
pub fn prefers_html(headers: &HeaderMap) -> bool {
    preferred(headers, &[JSON, HTML]).is_ok_and(|media_type| media_type == HTML)
}

/// The media type of `offered` that the Accept headers prefer; of equal ones, the first.
///
/// # Errors
/// None of them is acceptable.
pub fn preferred(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Error> {
    let accepted: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(range)
        .collect();
    let mut best = None;
    for &media_type in offered {
        let quality = if accepted.is_empty() { 1.0 } else { quality(media_type, &accepted) };
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((media_type, quality));
        }
    }
    best.map(|(media_type, _)| media_type)
        .ok_or_else(|| Error::NotAcceptable { offered: offered.join(" and ") })
}

/// A media range and its quality; parameters other than `q` are ignored.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |quality| quality.parse().ok());
    quality.map(|quality: f32| (range, quality.clamp(0.0, 1.0)))
}

/// The quality of the most specific range that matches the media type.
fn quality(media_type: &str, accepted: &[(String, f32)]) -> f32 {
    let family = media_type.split('/').next().unwrap_or_default();
    let of = |wanted: &str| accepted.iter().find(|(range, _)| range == wanted);
    of(media_type)
        .or_else(|| of(&format!("{family}/*")))
        .or_else(|| of("*/*"))
        .map_or(0.0, |(_, quality)| *quality)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn chosen(accept: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        preferred(&headers, &[JSON, CSV]).ok()
    }

    #[test]
    fn browsers_prefer_pages_and_programs_do_not() {
        let prefers = |accept: Option<&'static str>| {
            let accept = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
            prefers_html(&accept.into_iter().collect())
        };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(prefers(Some(browser)));
        for program in [None, Some("*/*"), Some("application/json"), Some("application/json, */*")]
        {
            assert!(!prefers(program), "{program:?}");
        }
    }

    #[test]
    fn the_type_with_the_highest_quality_is_chosen() {
        for (accept, expected) in [
            (&[][..], Some("application/json")),
            (&["*/*"], Some("application/json")),
            (&["text/csv"], Some("text/csv")),
            (&["TEXT/CSV;charset=utf-8"], Some("text/csv")),
            (&["text/*, application/json;q=0.5"], Some("text/csv")),
            (&["text/csv;q=0.4, application/json; q=0.5"], Some("application/json")),
            (&["application/json;q=0.5", "text/csv"], Some("text/csv")),
            (&["text/csv;q=0, */*"], Some("application/json")),
            (&["application/json;q=0, */*;q=0.1"], Some("text/csv")),
            (&["text/html"], None),
            (&["text/csv;q=0"], None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }
}
