//! The byte loops: words, lines and characters of valid UTF-8.
//!
//! The loops are written so that the compiler vectorises them for every processor: no branches, and
//! 8-bit counters in lanes, which are summed before they can overflow.
//!
//! # How words are counted without decoding
//! A word ends before a white space character that follows a character of another kind. Whether a
//! white space character ends at a byte can be decided from that byte and the two before it. The
//! preceding character ends one, two or three bytes earlier, depending on the length of the white
//! space character.

/// The number of bytes that are counted in parallel.
const LANES: usize = 32;
/// The number of rows of lanes after which the 8-bit counters are summed.
const ROWS: usize = 255;
/// The maximum number of bytes in a run of a loop.
const STRETCH: usize = LANES * ROWS;
/// Texts shorter than this are faster to decode.
const SHORT: usize = 128;
/// The longest white space character, in bytes.
const LONGEST_SPACE: usize = 3;

/// The counts of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) lines: u64,
    /// Including a word that continues before or after the text.
    pub(crate) words: u64,
    pub(crate) characters: u64,
    pub(crate) starts_in_word: bool,
    pub(crate) ends_in_word: bool,
}

/// Counts ASCII text.
pub(crate) fn ascii(text: &[u8]) -> Tally {
    let (Some(first), Some(last)) = (text.first(), text.last()) else { return Tally::default() };
    let (mut lines, mut ends) = (u64::from(*first == b'\n'), 0);
    // Each byte is paired with the one before it; the first byte cannot end a word.
    for (before, here) in text.chunks(STRETCH).zip(text[1..].chunks(STRETCH)) {
        let (more_lines, more_ends) = ascii_stretch(before, here);
        lines += more_lines;
        ends += more_ends;
    }
    let ends_in_word = !is_ascii_space(*last);
    Tally {
        lines,
        words: ends + u64::from(ends_in_word),
        characters: text.len() as u64,
        starts_in_word: !is_ascii_space(*first),
        ends_in_word,
    }
}

/// The numbers of lines and of ends of words in `here`. `before` starts one byte earlier.
fn ascii_stretch(before: &[u8], here: &[u8]) -> (u64, u64) {
    let before = &before[..here.len()];
    let (mut lines, mut ends) = ([0u8; LANES], [0u8; LANES]);
    let (before_rows, before_rest) = before.as_chunks::<LANES>();
    let (rows, rest) = here.as_chunks::<LANES>();
    for (before, row) in before_rows.iter().zip(rows) {
        for lane in 0..LANES {
            lines[lane] += u8::from(row[lane] == b'\n');
            ends[lane] += u8::from(is_ascii_space(row[lane]) & !is_ascii_space(before[lane]));
        }
    }
    let (mut lines, mut ends) = (sum(&lines), sum(&ends));
    for (before, byte) in before_rest.iter().zip(rest) {
        lines += u64::from(*byte == b'\n');
        ends += u64::from(is_ascii_space(*byte) & !is_ascii_space(*before));
    }
    (lines, ends)
}

/// Counts UTF-8 text.
pub(crate) fn utf8(text: &str) -> Tally {
    if text.len() < SHORT {
        return decoded(text);
    }
    let mut tally = Tally::default();
    let mut spaces = Spaces::default();
    for stretch in text.as_bytes().chunks(STRETCH - LONGEST_SPACE) {
        let (lines, characters) = lines_and_characters(stretch);
        tally.lines += lines;
        tally.characters += characters;
        tally.words += spaces.ends_of_words(stretch);
    }
    tally.starts_in_word = !text.starts_with(char::is_whitespace);
    tally.ends_in_word = !spaces.is_space_last();
    tally.words += u64::from(tally.ends_in_word);
    tally
}

/// Counts character by character, which is faster for short texts.
fn decoded(text: &str) -> Tally {
    let words = text.split_whitespace().count() as u64;
    Tally {
        lines: text.bytes().filter(|byte| *byte == b'\n').count() as u64,
        words,
        characters: text.chars().count() as u64,
        starts_in_word: text.starts_with(|c: char| !c.is_whitespace()),
        ends_in_word: text.ends_with(|c: char| !c.is_whitespace()),
    }
}

fn lines_and_characters(stretch: &[u8]) -> (u64, u64) {
    let (mut lines, mut characters) = ([0u8; LANES], [0u8; LANES]);
    let (rows, rest) = stretch.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            lines[lane] += u8::from(row[lane] == b'\n');
            characters[lane] += u8::from(!is_continuation(row[lane]));
        }
    }
    let count = |is: fn(u8) -> bool| rest.iter().filter(|byte| is(**byte)).count() as u64;
    (sum(&lines) + count(|byte| byte == b'\n'), sum(&characters) + count(|b| !is_continuation(b)))
}

/// The ends of white space characters in a stretch and the bytes before it.
struct Spaces {
    /// The last bytes of the previous stretch.
    bytes: [u8; LONGEST_SPACE],
    /// For each byte, the length of the white space character that ends there, or 0. The first
    /// elements are those of the last bytes of the previous stretch.
    lengths: [u8; STRETCH],
    /// The length for the last byte.
    last: u8,
}

impl Default for Spaces {
    /// The state after white space, so that the first character cannot end a word.
    fn default() -> Self {
        let mut lengths = [0; STRETCH];
        lengths[..LONGEST_SPACE].fill(1);
        Self { bytes: [b' '; LONGEST_SPACE], lengths, last: 1 }
    }
}

impl Spaces {
    fn is_space_last(&self) -> bool {
        self.last != 0
    }

    /// The number of words that end in `stretch`, which follows the previous one.
    fn ends_of_words(&mut self, stretch: &[u8]) -> u64 {
        let length = stretch.len();
        self.find(stretch);
        let [three, two, one, here] =
            [0, 1, 2, LONGEST_SPACE].map(|start| &self.lengths[start..start + length]);
        let mut ends = [0u8; LANES];
        let rows = |lengths| <[u8]>::as_chunks::<LANES>(lengths).0;
        for (((three, two), one), here) in
            rows(three).iter().zip(rows(two)).zip(rows(one)).zip(rows(here))
        {
            for lane in 0..LANES {
                ends[lane] += u8::from(ends_word(here[lane], [one[lane], two[lane], three[lane]]));
            }
        }
        let done = length - length % LANES;
        let rest =
            (done..length).filter(|&i| ends_word(here[i], [one[i], two[i], three[i]])).count();
        let ends = sum(&ends) + rest as u64;
        self.last = self.lengths[length + LONGEST_SPACE - 1];
        self.lengths.copy_within(length..length + LONGEST_SPACE, 0);
        ends
    }

    /// Computes the lengths for `stretch`.
    fn find(&mut self, stretch: &[u8]) {
        let lengths = &mut self.lengths[LONGEST_SPACE..LONGEST_SPACE + stretch.len()];
        let [_, second, third] = self.bytes;
        let (mut two, mut one) = (second, third);
        // The first two bytes need bytes of the previous stretch.
        let head = stretch.len().min(2);
        for (length, &byte) in lengths.iter_mut().zip(&stretch[..head]) {
            *length = space_length(two, one, byte);
            (two, one) = (one, byte);
        }
        if stretch.len() > head {
            let behind = stretch.iter().zip(&stretch[1..]).zip(&stretch[2..]);
            for (length, ((&two, &one), &byte)) in lengths[head..].iter_mut().zip(behind) {
                *length = space_length(two, one, byte);
            }
        }
        for &byte in &stretch[stretch.len().saturating_sub(LONGEST_SPACE)..] {
            self.bytes = [self.bytes[1], self.bytes[2], byte];
        }
    }
}

/// Whether a white space character of length `here` follows a word. `before` are the lengths for
/// the bytes one, two and three earlier.
#[inline]
fn ends_word(here: u8, before: [u8; LONGEST_SPACE]) -> bool {
    (here == 1) & (before[0] == 0) | (here == 2) & (before[1] == 0) | (here == 3) & (before[2] == 0)
}

#[inline]
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[inline]
fn is_ascii_space(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(b'\t') <= b'\r' - b'\t')
}

/// The length of the white space character that ends with `byte`, or 0; `two` and `one` are the
/// bytes before it. These are the characters with Unicode's property `White_Space`; a test compares
/// them with [`char::is_whitespace`].
#[inline]
fn space_length(two: u8, one: u8, byte: u8) -> u8 {
    let of_two = (one == 0xC2) & ((byte == 0x85) | (byte == 0xA0));
    let general = (byte <= 0x8A) | (byte == 0xA8) | (byte == 0xA9) | (byte == 0xAF);
    let of_three = (two == 0xE2) & (((one == 0x80) & general) | ((one == 0x81) & (byte == 0x9F)))
        | (two == 0xE3) & (one == 0x80) & (byte == 0x80)
        | (two == 0xE1) & (one == 0x9A) & (byte == 0x80);
    u8::from(is_ascii_space(byte)) | (u8::from(of_two) * 2) | (u8::from(of_three) * 3)
}

fn sum(lanes: &[u8; LANES]) -> u64 {
    lanes.iter().map(|&count| u64::from(count)).sum()
}
