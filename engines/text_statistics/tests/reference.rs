//! Compares the counts with a reference that decodes characters, for texts split anywhere.

use proptest::prelude::*;
use text_statistics::{Counts, Partial};

/// Counts as the definitions say.
fn reference(bytes: &[u8]) -> Counts {
    let mut counts = Counts::default();
    let mut in_word = false;
    let mut character = |space: bool| {
        counts.characters += 1;
        counts.words += u64::from(!space && !in_word);
        in_word = !space;
    };
    let mut invalid = 0;
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| character(c.is_whitespace()));
        if !chunk.invalid().is_empty() {
            character(false);
            invalid += 1;
        }
    }
    counts.invalid = invalid;
    counts.lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(counts.characters, String::from_utf8_lossy(bytes).chars().count() as u64);
    counts
}

/// Counts and merges part by part, from the left.
fn in_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Counts {
    parts.fold(Partial::default(), |whole, part| whole.then(&Partial::of(part))).finish()
}

/// Counts halves of halves and merges them, as several threads would.
fn in_halves(bytes: &[u8]) -> Partial {
    match bytes.len() {
        0 | 1 => Partial::of(bytes),
        length => {
            let (left, right) = bytes.split_at(length / 2);
            in_halves(left).then(&in_halves(right))
        }
    }
}

/// Characters and white space of each length, and characters that start like white space.
fn any_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        proptest::char::range('\0', '\u{7f}'),
        proptest::sample::select(
            "\t\n\u{b}\u{c}\r \u{1c}\u{85}\u{a0}\u{a9}\u{1680}\u{1681}\u{180e}\u{2000}\u{200a}\
             \u{200b}\u{2028}\u{2029}\u{202f}\u{2030}\u{205f}\u{2060}\u{3000}\u{3001}\u{feff}"
                .chars()
                .collect::<Vec<_>>()
        ),
        any::<char>(),
    ];
    prop::collection::vec(character, 0..80).prop_map(String::from_iter)
}

/// Text, truncated characters, and arbitrary bytes.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any_text().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
        prop::collection::vec(0x80..=0xBF_u8, 0..8),
        (any::<char>(), 1..4_usize).prop_map(|(c, length)| {
            c.to_string().into_bytes().into_iter().take(length).collect()
        }),
        proptest::sample::select(vec![
            b"\xE0\x80".to_vec(),
            b"\xED\xA0\x80".to_vec(),
            b"\xF4\x90".to_vec()
        ]),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn text_can_be_split_into_parts_of_any_size(text in any_text(), size in 1..40_usize) {
        let bytes = text.as_bytes();
        let expected = reference(bytes);
        prop_assert_eq!(expected.words, text.split_whitespace().count() as u64);
        prop_assert_eq!(Partial::of(bytes).finish(), expected);
        prop_assert_eq!(in_parts(bytes.chunks(size)), expected);
    }

    #[test]
    fn any_bytes_can_be_split_into_parts_of_any_size(bytes in any_bytes(), size in 1..12_usize) {
        let expected = reference(&bytes);
        prop_assert_eq!(Partial::of(&bytes).finish(), expected);
        prop_assert_eq!(in_parts(bytes.chunks(size)), expected);
        prop_assert_eq!(in_halves(&bytes).finish(), expected);
    }

    /// Texts longer than the stretches and blocks of the loops.
    #[test]
    fn long_texts_are_counted_like_short_ones(text in any_text(), bytes in any_bytes(), times in 0..2_000_usize, size in 1..40_000_usize) {
        let long = [text.as_bytes().repeat(times), bytes.repeat(times / 8)].concat();
        let expected = reference(&long);
        prop_assert_eq!(Partial::of(&long).finish(), expected);
        prop_assert_eq!(in_parts(long.chunks(size)), expected);
    }
}

#[test]
fn white_space_is_that_of_unicode() {
    for c in '\0'..=char::MAX {
        let between = format!("a{c}b");
        let words = Partial::of(between.as_bytes()).finish().words;
        assert_eq!(words, 1 + u64::from(c.is_whitespace()), "{c:?}");
    }
}

#[test]
fn characters_are_reassembled_from_single_bytes() {
    let counts = in_parts("a\u{a0}é\u{2003}東🎉".as_bytes().chunks(1));
    assert_eq!(counts, Counts { lines: 0, words: 3, characters: 6, invalid: 0 });
}

#[test]
fn empty_text_has_zero_counts() {
    assert_eq!(Partial::default().finish(), Counts::default());
    assert_eq!(Partial::of(b"").finish(), Counts::default());
}

/// More than 4 GiB, the range of 32 bits, would be too slow for a test; all counts have 64 bits.
#[test]
fn a_gigabyte_is_counted_without_keeping_it() {
    let line = "Der schnelle Fuchs — 速い狐\u{3000}с бурым мехом 🦊 springt über den Hund.\r\n";
    let block = line.repeat(10_000);
    let times = 1_000_000_000_usize.div_ceil(block.len());
    // Parts end inside characters and words.
    let size = 99_991;
    let of_line = reference(line.as_bytes());
    let mut whole = Partial::default();
    for _ in 0..times {
        whole =
            block.as_bytes().chunks(size).fold(whole, |whole, part| whole.then(&Partial::of(part)));
    }
    let lines = 10_000 * times as u64;
    assert_eq!(
        whole.finish(),
        Counts {
            lines,
            words: of_line.words * lines,
            characters: of_line.characters * lines,
            invalid: 0,
        }
    );
}
