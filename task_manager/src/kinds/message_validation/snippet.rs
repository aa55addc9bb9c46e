//! Snippets: the part of a message around the first match, with all matches marked.

use std::ops::Range;

use super::search::Search;

/// Placed before and after a match.
const MARK: &str = "**";
/// Placed where text was left out.
const GAP: &str = "…";
/// The most characters before the first match.
const BEFORE: usize = 60;
/// The most characters of a snippet, without the marks.
const LENGTH: usize = 240;

/// The snippet of a message: plain text, without any escaping.
pub fn snippet(message: &str, search: &Search) -> String {
    let found = search.find(message);
    let first = found.first().map_or(0, |range| range.start);
    let start = boundary_before(message, first, BEFORE);
    let end =
        message[start..].char_indices().nth(LENGTH).map_or(message.len(), |(at, _)| start + at);
    let mut snippet = String::with_capacity(end - start + found.len() * 2 * MARK.len());
    if start > 0 {
        snippet.push_str(GAP);
    }
    let mut written = start;
    for range in joined(found) {
        if range.start < written || range.end > end {
            continue;
        }
        snippet.push_str(&message[written..range.start]);
        snippet.push_str(MARK);
        snippet.push_str(&message[range.clone()]);
        snippet.push_str(MARK);
        written = range.end;
    }
    snippet.push_str(&message[written..end]);
    if end < message.len() {
        snippet.push_str(GAP);
    }
    snippet
}

/// Joins adjacent matches, which get one pair of marks.
fn joined(found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The index `count` characters before `at`, or the start.
fn boundary_before(text: &str, at: usize, count: usize) -> usize {
    match count.checked_sub(1) {
        None => at,
        Some(nth) => text[..at].char_indices().nth_back(nth).map_or(0, |(start, _)| start),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(message: &str, query: &str) -> String {
        snippet(message, &Search::parse(query))
    }

    #[test]
    fn matches_are_marked_in_their_original_spelling() {
        assert_eq!(
            shown("Red apples, green APPLE.", "apple* red"),
            "**Red** **apples**, green **APPLE**."
        );
        assert_eq!(
            shown("a red apple, a red pie", "\"red pie\""),
            "a red apple, a **red** **pie**"
        );
        assert_eq!(shown("你好世界", "世界"), "你好**世界**");
        assert_eq!(shown("<b>Straße</b>", "STRASSE"), "<b>**Straße**</b>");
    }

    #[test]
    fn a_long_message_is_cut_around_the_first_match() {
        let message = format!("{} needle {}", "x ".repeat(1_000), "y ".repeat(1_000));
        let shown = shown(&message, "needle");
        assert!(shown.starts_with("…") && shown.ends_with('…') && shown.contains("**needle**"));
        assert_eq!(shown.chars().count(), LENGTH + 6);
    }

    proptest! {
        #[test]
        fn a_snippet_is_made_of_any_text(message in "\\PC{0,600}", query in "\\PC{0,20}") {
            shown(&message, &query);
            shown(&format!("{message} {query}"), &query);
        }
    }
}
