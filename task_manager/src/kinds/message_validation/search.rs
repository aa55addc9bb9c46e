//! Full-text queries: a message must contain all words, in any order.
//!
//! - `"words in quotes"` must be adjacent, as must words separated only by punctuation (`foo-bar`,
//!   `x@y.com`) and the characters of a script without blanks.
//! - `word*` matches every word with this prefix.
//! - Other punctuation separates words and has no meaning. A query without a word finds nothing.
//! - Compatibility forms are equivalent: `＂` quotes, `＊` is a star.
//!
//! Both databases get the same terms, and phrases of terms (`db::dialect`); the text of the client
//! never reaches them.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::terms::{TRUNCATE_AT, Word, words};

/// The longest query, in characters.
pub const MAX_TEXT: usize = 1_000;

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    parts: Vec<Part>,
}

/// A condition on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Contains these words, adjacent and in order.
    Phrase(Vec<String>),
    /// Contains a word with this prefix.
    Prefix(String),
}

impl Search {
    /// Parses a query; every text is valid.
    pub fn parse(text: &str) -> Self {
        let mut search = Self { parts: Vec::new() };
        let text: String = text.nfkc().collect();
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            let (piece, is_quoted, next) = match after.find(is_quote).filter(|_| is_quote(c)) {
                Some(end) => (&after[..end], true, &after[end..]),
                None => {
                    let end = after.find(|c: char| c.is_whitespace() || is_quote(c));
                    let end = end.map_or(rest.len(), |end| c.len_utf8() + end);
                    (&rest[..end], false, &rest[end..])
                }
            };
            // Skips the closing quote.
            rest = match next.chars().next().filter(|_| is_quoted) {
                Some(quote) => &next[quote.len_utf8()..],
                None => next,
            };
            search.add(piece, is_quoted);
        }
        search
    }

    fn add(&mut self, piece: &str, is_quoted: bool) {
        let mut words = words(piece);
        let is_prefix = |word: &Word| piece[word.range.end..].starts_with('*');
        if !is_quoted && let Some(Word { mut term, .. }) = words.pop_if(|word| is_prefix(word)) {
            term.truncate(TRUNCATE_AT);
            self.push(Part::Prefix(term));
        }
        let terms: Vec<String> = words.into_iter().map(|word| word.term).collect();
        if !terms.is_empty() {
            self.push(Part::Phrase(terms));
        }
    }

    fn push(&mut self, part: Part) {
        if !self.parts.contains(&part) {
            self.parts.push(part);
        }
    }

    /// Whether it has no words, and so finds nothing.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The terms that must occur, a prefix with a trailing `*`; without those of phrases.
    pub fn terms(&self) -> Vec<String> {
        let term = |part: &Part| match part {
            Part::Prefix(term) => Some(format!("{term}*")),
            Part::Phrase(terms) => <[String; 1]>::try_from(terms.clone()).ok().map(|[term]| term),
        };
        self.parts.iter().filter_map(term).collect()
    }

    /// The phrases that must occur, each of two or more terms.
    pub fn phrases(&self) -> Vec<Vec<String>> {
        let phrase = |part: &Part| match part {
            Part::Phrase(terms) if terms.len() > 1 => Some(terms.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(phrase).collect()
    }

    /// The ranges of the matches in a text, in order.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let words = words(text);
        let mut found: Vec<Range<usize>> =
            self.parts.iter().flat_map(|part| part.find(&words)).collect();
        found.sort_by_key(|range| range.start);
        found.dedup();
        found
    }
}

impl Part {
    fn find(&self, words: &[Word]) -> Vec<Range<usize>> {
        let ranges = |words: &[Word]| words.iter().map(|word| word.range.clone()).collect();
        match self {
            Self::Prefix(start) => {
                let found = words.iter().filter(|word| word.term.starts_with(start));
                found.map(|word| word.range.clone()).collect()
            }
            Self::Phrase(terms) => {
                let is_it =
                    |window: &&[Word]| window.iter().map(|word| &word.term).eq(terms.iter());
                let found = words.windows(terms.len()).filter(is_it);
                found.flat_map(|window| -> Vec<Range<usize>> { ranges(window) }).collect()
            }
        }
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„')
}

#[cfg(test)]
impl Search {
    /// The result that the engines should return.
    pub fn matches(&self, text: &str) -> bool {
        let words = words(text);
        !self.parts.is_empty() && self.parts.iter().all(|part| !part.find(&words).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Vec<String> {
        let search = Search::parse(text);
        let phrases =
            search.phrases().into_iter().map(|phrase| format!("\"{}\"", phrase.join(" ")));
        let mut parts = search.terms();
        parts.extend(phrases);
        parts
    }

    #[test]
    fn a_query_consists_of_words_phrases_and_prefixes() {
        for (text, expected) in [
            ("red Apple", vec!["qzred", "qzapple"]),
            ("\"red apple\" pie", vec!["qzpie", "\"qzred qzapple\""]),
            ("＂red apple＂ pie＊", vec!["qzpie*", "\"qzred qzapple\""]),
            ("H₂O H₂* ﬁn*", vec!["qzh2o", "qzh2*", "qzfin*"]),
            ("“red apple”", vec!["\"qzred qzapple\""]),
            ("app*", vec!["qzapp*"]),
            ("red-app*", vec!["qzapp*", "qzred"]),
            ("\"red app*\"", vec!["\"qzred qzapp\""]),
            ("foo-bar x@y.com", vec!["\"qzfoo qzbar\"", "\"qzx qzy qzcom\""]),
            ("+red -apple ~pie (a) <b>", vec!["qzred", "qzapple", "qzpie", "qza", "qzb"]),
            ("red red RED", vec!["qzred"]),
            ("5\" pipe", vec!["qz5", "qzpipe"]),
            ("\"\" \"red", vec!["qzred"]),
            ("* ** \"*\" ... ' ; --", vec![]),
            (
                "x OR y AND NOT z NEAR(a)",
                vec!["qzx", "qzor", "qzy", "qzand", "qznot", "qzz", "\"qznear qza\""],
            ),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn a_phrase_may_have_any_length() {
        let text: Vec<_> = (0..200).map(|n| format!("w{n}")).collect();
        let search = Search::parse(&format!("\"{}\"", text.join(" ")));
        assert_eq!(search.phrases().len(), 1);
        assert!(Search::parse(&text.join("-")).matches(&text.join(" ")));
        let apart = format!("{} x {}", text[..100].join(" "), text[99..].join(" "));
        assert!(!search.matches(&apart));
    }

    proptest! {
        #[test]
        fn only_terms_of_a_query_reach_the_database(text in "\\PC{0,200}") {
            for part in parts(&text) {
                let inner = part.strip_suffix('*').unwrap_or(&part);
                let inner = inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(inner);
                for term in inner.split(' ') {
                    prop_assert!(term.starts_with("qz") && term.len() > 2, "{part}");
                    prop_assert!(term.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{part}");
                }
            }
        }

        #[test]
        fn a_text_finds_itself(text in "\\PC{0,100}") {
            let search = Search::parse(&text);
            prop_assert_eq!(search.matches(&text), !search.is_empty());
        }
    }
}
