//! Splits texts into words, and encodes words as terms for both full-text engines.
//!
//! # Invariants
//! - A word is a run of letters, digits and marks within one of Unicode's words (UAX 29), or an
//!   emoji, of the text in NFKC. Invisible characters do not separate words.
//! - Words that fold to the same text (`folding`) have the same term: case is ignored, accents are
//!   not.
//! - A term is a fixed prefix followed by ASCII characters that both engines treat as parts of
//!   words: no term is too short, too long or a stop word, and none contains an operator.
//! - The term of a prefix of a word is a prefix of the word's term, up to the maximal length.
//!
//! # Not here
//! Queries (`search`).

use std::ops::Range;

use sha2::{Digest, Sha256};
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::normalized::Normalized;
use crate::folding::{fold, is_ignorable};

/// Incremented with every change of the terms of a text: stored ones are then recomputed
/// (`reindexing`).
pub const VERSION: i32 = 2;
/// The prefix of every term: it makes words of one letter long enough for InnoDB, and keeps stop
/// words from being recognized.
const PREFIX: &str = "qz";
/// The longest term: InnoDB ignores longer ones.
const LONGEST: usize = 84;
/// How much of a longer word its term contains; a hash of the whole word follows.
pub const TRUNCATE_AT: usize = 68;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its range in the text, in bytes.
    pub range: Range<usize>,
    /// Its term in the index.
    pub term: String,
}

/// The words of `text`, in order.
pub fn words(text: &str) -> Vec<Word> {
    let normal = Normalized::of(text);
    let mut words = Vec::new();
    let mut push = |part: Range<usize>, word: &str| {
        if !word.is_empty() {
            words.push(Word { range: normal.original(part), term: term(word) });
        }
    };
    for (start, segment) in normal.as_str().split_word_bound_indices() {
        if segment.chars().any(is_emoji) {
            let emoji: String = segment.chars().filter(|c| !is_variation(*c)).collect();
            push(start..start + segment.len(), &emoji);
            continue;
        }
        for run in runs(segment) {
            push(start + run.start..start + run.end, &fold(&segment[run]));
        }
    }
    words
}

/// The terms of `text` in their stored form.
pub fn indexed(text: &str) -> String {
    let terms: Vec<_> = words(text).into_iter().map(|word| word.term).collect();
    terms.join(" ")
}

/// Runs of word characters, with invisible ones between them.
fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut has_letter = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let is_letter = c.is_alphanumeric();
        if !is_letter && !is_combining_mark(c) && (c.is_ascii() || !is_ignorable(c)) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = end,
            last => {
                // A mark or an invisible character alone is not a word.
                if last.is_some() && !has_letter {
                    runs.pop();
                }
                runs.push(at..end);
                has_letter = false;
            }
        }
        has_letter |= is_letter;
    }
    if !has_letter {
        runs.pop();
    }
    runs
}

/// Whether it selects a glyph for the character before it.
fn is_variation(c: char) -> bool {
    ('\u{FE00}'..='\u{FE0F}').contains(&c)
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27BF}' | '\u{2B05}'..='\u{2B55}' | '\u{1F000}'..='\u{1FAFF}')
}

fn term(word: &str) -> String {
    let mut term = String::from(PREFIX);
    for c in word.chars() {
        match c {
            'a'..='z' | '0'..='9' => term.push(c),
            c => push_code(&mut term, c),
        }
    }
    if term.len() > LONGEST {
        let hash = hex::encode(Sha256::digest(&term));
        term.truncate(TRUNCATE_AT);
        term.extend(hash.chars().take(LONGEST - TRUNCATE_AT));
    }
    term
}

/// The digits of codes.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// The first character with a short code, and how many have one: Latin, Greek and Cyrillic.
const SHORT_FROM: u32 = 0xA0;
const SHORT: u32 = 35 * 36;

/// Appends `_` and two digits, of which the first is not `z`, or `_z` and four digits.
fn push_code(term: &mut String, c: char) {
    let code = u32::from(c);
    let (mark, digits, value) = match code.checked_sub(SHORT_FROM) {
        Some(short) if short < SHORT => ("_", 2, short),
        _ => ("_z", 4, code),
    };
    term.push_str(mark);
    for place in (0..digits).rev() {
        let digit = value / 36_u32.pow(place) % 36;
        term.push(char::from(DIGITS[digit as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) {
        assert_eq!(indexed(one), indexed(other), "{one} and {other}");
    }

    fn count(text: &str) -> usize {
        words(text).len()
    }

    #[test]
    fn ascii_words_stay_readable_after_the_prefix() {
        assert_eq!(indexed("Parcel 7, the END."), "qzparcel qz7 qzthe qzend");
    }

    #[test]
    fn case_and_compatibility_forms_are_ignored() {
        same("STRASSE", "Straße");
        same("ΟΔΟΣ", "οδος");
        same("ПРИВЕТ", "привет");
        same("ｆｕｌｌ　ｗｉｄｔｈ", "full width");
        same("caf\u{e9}", "cafe\u{301}");
        same("ﬁne", "FINE");
        same("❤\u{FE0F}", "❤");
        same("H₂O", "h2o");
        same("10⁶ x² ㎏", "106 X2 kg");
        same("STRAẞE", "straße");
        same("İstanbul ISPARTA", "ıstanbul ısparta");
        same("Donau\u{ad}dampf", "Donaudampf");
        same("می\u{200c}خواهم", "میخواهم");
        same("ﻣﺮﺣﺒﺎ ﻻ", "مرحبا لا");
        same("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "한글");
        same("Vie\u{323}\u{302}t", "VIỆT");
        same("ｶﾞｲﾄﾞ", "ガイド");
        same("कि\u{93c}ताब", "कि\u{93c}\u{200d}ताब");
        assert_ne!(indexed("cafe"), indexed("café"), "accents tell words apart");
    }

    #[test]
    fn words_are_found_in_every_script() {
        for (text, expected) in [
            ("don't foo_bar x@y.com 3.14", 9),
            ("東京都", 3),
            ("カタカナ", 1),
            ("مرحبا بالعالم", 2),
            ("Καλημέρα κόσμε", 2),
            ("안녕 세상", 2),
            ("नमस्ते दुनिया", 2),
            ("🎉 done 👩\u{200d}🚀", 3),
            ("½", 2),
            ("... -- \"'*()<>@~+;", 0),
            ("\u{301}\u{302}", 0),
            ("\u{ad} \u{3164} \u{200d}", 0),
            ("10\u{202f}000", 2),
            ("บ้าน\u{200b}ใหญ่", 6),
            ("", 0),
        ] {
            assert_eq!(count(text), expected, "{text}: {:?}", words(text));
        }
    }

    #[test]
    fn a_word_has_its_range_in_the_text() {
        let text = "see Über.com… U\u{308}ber H₂O ½ e\u{ad}\u{301}";
        let found: Vec<_> = words(text).into_iter().map(|word| &text[word.range]).collect();
        let expected = ["see", "Über", "com", "U\u{308}ber", "H₂O", "½", "½", "e\u{ad}\u{301}"];
        assert_eq!(found, expected);
    }

    #[test]
    fn long_words_get_short_distinct_terms() {
        for long in ["a".repeat(83), "я".repeat(40), "م".repeat(30), "a".repeat(16_000)] {
            let one = indexed(&long);
            assert_eq!(one.len(), LONGEST);
            assert_ne!(one, indexed(&format!("{long}b")));
            assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        }
        assert_eq!(indexed(&"a".repeat(82)).len(), LONGEST);
    }

    #[test]
    fn a_prefix_of_a_word_is_a_prefix_of_its_term() {
        let word = "zażółćЖя名前";
        let whole = term(word);
        for (at, _) in word.char_indices() {
            assert!(whole.starts_with(&term(&word[..at])));
        }
        assert!(!term("zb").starts_with(&term("zą")));
    }
}
