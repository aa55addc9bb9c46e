//! Texts in Unicode's NFKC, with a mapping back to the original.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// A text in NFKC.
#[derive(Debug)]
pub struct Normalized<'a> {
    text: Cow<'a, str>,
    /// The start of each piece that is normalized independently, here and in the original; empty if
    /// both are the same text.
    pieces: Vec<(usize, usize)>,
    original_length: usize,
}

impl<'a> Normalized<'a> {
    /// Normalizes `original`.
    pub fn of(original: &'a str) -> Self {
        let original_length = original.len();
        if is_nfkc_quick(original.chars()) == IsNormalized::Yes {
            return Self { text: Cow::Borrowed(original), pieces: Vec::new(), original_length };
        }
        let mut text = String::with_capacity(original_length);
        let mut pieces = Vec::with_capacity(original_length);
        let mut start = 0;
        let mut rest = original.char_indices().peekable();
        while rest.next().is_some() {
            let end = rest.peek().map_or(original_length, |(at, _)| *at);
            if rest.peek().is_some_and(|(_, next)| !begins_piece(*next)) {
                continue;
            }
            pieces.push((text.len(), start));
            text.extend(original[start..end].nfkc());
            start = end;
        }
        Self { text: Cow::Owned(text), pieces, original_length }
    }

    /// The normalized text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The range of the original that became this range, which must not be empty.
    pub fn original(&self, part: Range<usize>) -> Range<usize> {
        if self.pieces.is_empty() {
            return part;
        }
        let piece_of = |at: usize| self.pieces.partition_point(|(start, _)| *start <= at);
        let start = self.pieces.get(piece_of(part.start).saturating_sub(1));
        let next = self.pieces.get(piece_of(part.end.saturating_sub(1)));
        start.map_or(0, |(_, start)| *start)..next.map_or(self.original_length, |(_, end)| *end)
    }
}

/// Whether normalization never combines `c` with the characters before it: its decomposition does
/// not start with a mark, nor with a character that composes with the previous one.
fn begins_piece(c: char) -> bool {
    if c.is_ascii() {
        return true;
    }
    let mut first = None;
    decompose_compatible(c, |part| {
        first.get_or_insert(part);
    });
    let first = first.unwrap_or(c);
    canonical_combining_class(first) == 0
        && is_nfkc_quick(std::iter::once(first)) == IsNormalized::Yes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Letters, marks and jamos that compose with each other.
    const COMPOSED: &str = "[a-cé\u{300}-\u{345}ㄱ-ㅣ\u{1100}-\u{11ff}\u{ac00}\u{ac01}ﬀ-ﬆ¨½々\
                            \u{9be}\u{9d7}\u{dcf}\u{dd9}\u{ff65}-\u{ffdc}\u{fe70}-\u{fefc}]{0,20}";

    /// The ranges of the original that became these.
    fn originals<'a>(text: &'a str, parts: &[&str]) -> Vec<&'a str> {
        let normal = Normalized::of(text);
        let original = |part: &&str| {
            let start = normal.as_str().find(part).unwrap();
            &text[normal.original(start..start + part.len())]
        };
        parts.iter().map(original).collect()
    }

    #[test]
    fn normalized_ranges_map_back_to_the_original() {
        assert_eq!(originals("see Über", &["see", "Über"]), ["see", "Über"]);
        assert_eq!(originals("an H₂O b", &["H2O", "2", "b"]), ["H₂O", "₂", "b"]);
        assert_eq!(originals("cafe\u{301}…x", &["café", "..", "x"]), ["cafe\u{301}", "…", "x"]);
        assert_eq!(originals("ﬁ½", &["fi", "i", "2"]), ["ﬁ", "ﬁ", "½"]);
        assert_eq!(originals("ㅎㅏ x", &["하", "x"]), ["ㅎㅏ", "x"]);
        assert_eq!(originals("ｶﾞx", &["ガ", "x"]), ["ｶﾞ", "x"]);
    }

    proptest! {
        #[test]
        fn normalization_matches_nfkc_and_maps_back(text in prop_oneof![COMPOSED, "\\PC{0,40}"]) {
            let normal = Normalized::of(&text);
            prop_assert_eq!(normal.as_str(), text.nfkc().collect::<String>());
            for (at, c) in normal.as_str().char_indices() {
                let original = normal.original(at..at + c.len_utf8());
                prop_assert!(!original.is_empty() && text.get(original).is_some());
            }
            if !text.is_empty() {
                prop_assert_eq!(normal.original(0..normal.as_str().len()), 0..text.len());
            }
        }
    }
}
