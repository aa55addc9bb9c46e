mod containers;
mod signatures;

use std::io::{self, Read};
use std::ops::ControlFlow;

use common::file_statistics::{Encoding, FileStatistics};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{BLOCK, ExamineError, MAX_THREADS, examine};

fn examined(file: &[u8], name: &str) -> FileStatistics {
    examine(file, name, MAX_THREADS, |_| ControlFlow::Continue(())).unwrap()
}

/// Type, encoding and counts.
fn found(file: &[u8], name: &str) -> (String, Encoding, Option<(u64, u64, u64)>) {
    let FileStatistics { content_type, encoding, lines, words, characters, .. } =
        examined(file, name);
    (content_type, encoding, lines.zip(words).zip(characters).map(|((l, w), c)| (l, w, c)))
}

fn text(
    content_type: &str,
    counts: (u64, u64, u64),
) -> (String, Encoding, Option<(u64, u64, u64)>) {
    (content_type.to_owned(), Encoding::Utf8, Some(counts))
}

fn binary(content_type: &str) -> (String, Encoding, Option<(u64, u64, u64)>) {
    (content_type.to_owned(), Encoding::Binary, None)
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn a_small_text_has_all_statistics() {
    let file = "Grüße\nvon zuhause\n".as_bytes();
    let expected = FileStatistics {
        file_name: "notes".to_owned(),
        size: 20,
        lines: Some(2),
        words: Some(3),
        characters: Some(18),
        content_type: "text/plain".to_owned(),
        encoding: Encoding::Utf8,
        sha256: hex::encode(Sha256::digest(file)),
    };
    assert_eq!(examined(file, "notes"), expected);
}

#[test]
fn the_digest_is_that_of_sha_256() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(examined(b"abc", "").sha256, abc);
}

#[test]
fn an_empty_file_is_text() {
    assert_eq!(found(b"", "empty"), text("text/plain", (0, 0, 0)));
}

#[test]
fn the_first_bytes_take_precedence_over_the_name() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    assert_eq!(found(png, "picture.txt"), binary("image/png"));
    assert_eq!(found(b"%PDF-1.4\n1 0 obj\n", "paper"), binary("application/pdf"));
    assert_eq!(found(b"PK\x03\x04\x14\0\0\0rest", "archive"), binary("application/zip"));
    assert_eq!(found(b"\xFF\xD8\xFF\xE0 no NUL", "photo"), binary("image/jpeg"));
}

#[test]
fn the_extension_takes_precedence_over_the_content_of_text() {
    assert_eq!(found(b"a,b\n", "table.csv"), text("text/csv", (1, 1, 4)));
    assert_eq!(found(b"{}\n", "data.JSON"), text("application/json", (1, 1, 3)));
    assert_eq!(found(b"<?xml version='1.0'?><svg/>", "a.svg"), text("image/svg+xml", (0, 2, 27)));
    assert_eq!(found(b"<!DOCTYPE html>\n", "page"), text("text/html", (1, 2, 16)));
    assert_eq!(found(b"some words", "README"), text("text/plain", (0, 2, 10)));
    assert_eq!(found(b"a\0b", "blob"), binary("application/octet-stream"));
    assert_eq!(found(b"a\0b", "blob.txt"), binary("application/octet-stream"), "not text");
    assert_eq!(found(b"let a = 1;\n", "code.ts"), text("text/plain", (1, 4, 11)), "not video");
}

#[test]
fn invalid_utf_8_is_counted_and_makes_the_encoding_unknown() {
    let latin = b"caf\xE9 au lait\n";
    let expected = ("text/plain".to_owned(), Encoding::Unknown8Bit, Some((1, 3, 13)));
    assert_eq!(found(latin, "latin.txt"), expected);
}

#[test]
fn utf_16_is_recognised_by_its_byte_order_mark() {
    let words = "\u{feff}Grüße 🎉\r\naus Köln\n";
    let counts = Some((2, 4, words.chars().count() as u64));
    let (little, big) = (utf16(words, u16::to_le_bytes), utf16(words, u16::to_be_bytes));
    assert_eq!(found(&little, "a"), ("text/plain".to_owned(), Encoding::Utf16Le, counts));
    assert_eq!(found(&big, "a"), ("text/plain".to_owned(), Encoding::Utf16Be, counts));
    let cut = &little[..little.len() - 1];
    assert_eq!(found(cut, "a").2, Some((1, 4, words.chars().count() as u64)));
    let half_a_character = [0xFF, 0xFE, 0x3C, 0xD8];
    assert_eq!(found(&half_a_character, "a").2, Some((0, 1, 2)));
}

/// Returns few bytes per read, like a network.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7_001);
        self.0.read(&mut buffer[..length])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Sizes around multiples of a block, in UTF-8 and UTF-16.
    #[test]
    fn large_files_are_counted_like_small_ones(
        around in -40..40_isize,
        blocks in 1..4_usize,
        threads in 1..=MAX_THREADS,
    ) {
        let line = "Der Fuchs 🦊 springt\u{2003}über 犬\n";
        let size = (BLOCK * blocks).checked_add_signed(around).unwrap();
        let utf16 = [vec![0xFF, 0xFE], utf16(line, u16::to_le_bytes).repeat(size / 10)].concat();
        for whole in [line.repeat(size / 30).into_bytes(), utf16] {
            let file = &whole[..size];
            let proceed = |_| ControlFlow::Continue(());
            let found = examine(Trickle(file), "a", threads, proceed).unwrap();
            let plain = match found.encoding {
                Encoding::Utf16Le => {
                    let units = file.chunks(2).filter(|pair| pair.len() == 2);
                    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                    let decoded = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}'));
                    let rest = if size % 2 == 1 { "\u{fffd}" } else { "" };
                    decoded.collect::<String>() + rest
                }
                _ => String::from_utf8_lossy(file).into_owned(),
            };
            prop_assert_eq!(found.size, size as u64);
            prop_assert_eq!(found.lines, Some(plain.matches('\n').count() as u64));
            prop_assert_eq!(found.words, Some(plain.split_whitespace().count() as u64));
            prop_assert_eq!(found.characters, Some(plain.chars().count() as u64));
            prop_assert_eq!(found.sha256, hex::encode(Sha256::digest(file)));
        }
    }
}

#[test]
fn progress_is_reported_and_may_interrupt() {
    let file = vec![b'a'; 10 * BLOCK];
    for threads in 1..=MAX_THREADS {
        let mut reported = Vec::new();
        let ended = examine(&file[..], "a", threads, |done| {
            reported.push(done);
            if reported.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(ended, Err(ExamineError::Interrupted)));
        assert_eq!(reported, [1, 2, 3].map(|blocks| blocks * BLOCK as u64));
    }
}

#[test]
fn a_read_error_is_returned() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let start = vec![b'a'; 3 * BLOCK];
    for size in [0, 10, BLOCK, 3 * BLOCK] {
        let input = start[..size].chain(Failing);
        let failed = examine(input, "a", MAX_THREADS, |_| ControlFlow::Continue(())).unwrap_err();
        assert!(failed.to_string().contains("the disk is gone"), "{failed}");
    }
}
