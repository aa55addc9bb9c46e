//! Where fields and records end in a chunk of CSV that starts with a record.
//!
//! The parity of the quotes before a byte tells whether it is quoted, as long as every quote that
//! opens stands at the start of a field. [`survey`] holds that against each quote; a chunk in which
//! it is not so must be read byte by byte.
//!
//! `\n` ends a record, and so does `\r` unless a `\n` follows it, which then does.

use crate::masks::{BLOCK, Masks};

/// The bytes of a chunk, of which the first `length` count. Behind them are [`BLOCK`] more or
/// above, so that blocks can be read across its end.
#[derive(Debug, Default)]
pub struct Padded {
    bytes: Vec<u8>,
    length: usize,
}

impl Padded {
    /// The bytes that count.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// All bytes, with the padding.
    #[inline]
    #[must_use]
    pub fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Room for `length` bytes, of which the caller says with [`Padded::cut`] how many it filled.
    /// What is there already stays.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length + BLOCK {
            self.bytes.resize(length + BLOCK, 0);
        }
        &mut self.bytes[..length]
    }

    /// Puts `length` bytes behind the padding for the caller to fill, and tells where they start;
    /// there is padding behind them too. The bytes that count stay the same; [`Padded::cut`] ends it.
    pub fn append(&mut self, length: usize) -> usize {
        let start = self.bytes.len();
        self.bytes.resize(start + length + BLOCK, 0);
        start
    }

    /// All bytes, with the padding and what was appended.
    #[inline]
    #[must_use]
    pub fn padded_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `length` bytes count from now on.
    pub fn cut(&mut self, length: usize) {
        self.room(length);
        self.length = length;
        self.bytes.truncate(length + BLOCK);
        // What an earlier chunk left there must not look like an end of something.
        self.bytes[length..length + BLOCK].fill(0);
    }
}

/// A place between two fields: a field ends there, and the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(u32);

impl Bound {
    /// The place before the first field of a chunk.
    const START: Self = Self(0);

    /// Where the byte is that ends the field before; means nothing before the first one.
    #[inline(always)]
    #[must_use]
    pub fn end(self) -> usize {
        self.0.wrapping_sub(1) as usize
    }

    /// Where the next field starts.
    #[inline(always)]
    #[must_use]
    pub fn start(self) -> usize {
        self.0 as usize
    }
}

/// The bounds of the fields and records of a chunk. Their memory is kept from chunk to chunk.
#[derive(Debug)]
pub struct Bounds {
    /// The first one and `count` others mean something; what is behind was not worth clearing.
    fields: Vec<Bound>,
    count: usize,
    /// As many as `record_count` mean something.
    records: Vec<u32>,
    record_count: usize,
    quoted: Vec<u32>,
    /// Whether there is a `\r` in the chunk.
    pub crs: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        let (fields, records, quoted) = (vec![Bound::START], Vec::new(), Vec::new());
        Self { fields, count: 0, records, record_count: 0, quoted, crs: false }
    }
}

impl Bounds {
    /// The bounds of all fields in order, from the one before the first field on.
    #[inline]
    #[must_use]
    pub fn fields(&self) -> &[Bound] {
        &self.fields[..=self.count]
    }

    /// For each record, in order, which of the fields' bounds ends it.
    #[inline]
    #[must_use]
    pub fn records(&self) -> &[u32] {
        &self.records[..self.record_count]
    }

    /// Which fields start with a quote, in order: the numbers of the bounds before them.
    #[inline]
    #[must_use]
    pub fn quoted(&self) -> &[u32] {
        &self.quoted
    }
}

/// What [`survey`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Whether the parity of the quotes tells what is quoted.
    pub regular: bool,
    /// Whether there is a quote.
    pub quotes: bool,
    /// How long the records that have ended are.
    pub complete: usize,
    /// Whether the chunk ends inside quotes.
    pub ends_quoted: bool,
}

/// Looks over a chunk. Only `regular` and `quotes` mean something where it is not regular.
#[must_use]
pub fn survey(chunk: &Padded) -> Survey {
    let bytes = chunk.bytes();
    match memchr::memchr(b'"', bytes) {
        Some(first) => dispatch(Quotes { chunk, start: first / BLOCK * BLOCK }),
        None => {
            let end = memchr::memrchr(b'\n', bytes).or_else(|| memchr::memrchr(b'\r', bytes));
            let complete = end.map_or(0, |end| end + 1);
            Survey { regular: true, quotes: false, complete, ends_quoted: false }
        }
    }
}

/// Finds the bounds of all fields. `quotes` tells whether there are any quotes. The chunk must be
/// shorter than 2 GiB.
pub fn bounds(chunk: &Padded, quotes: bool, bounds: &mut Bounds) {
    // One for each byte at most; whole blocks are written at once.
    let most = 1 + chunk.bytes().len().next_multiple_of(BLOCK) + BLOCK;
    if bounds.fields.len() < most {
        bounds.fields.resize(most, Bound::START);
        bounds.records.resize(most, 0);
    }
    bounds.crs = memchr::memchr(b'\r', chunk.bytes()).is_some();
    bounds.quoted.clear();
    let (fields, records) = (&mut bounds.fields[1..], &mut *bounds.records);
    let quoted = &mut bounds.quoted;
    (bounds.count, bounds.record_count) = match (quotes, bounds.crs) {
        (false, false) => dispatch(Search::<false, false> { chunk, fields, records, quoted }),
        (false, true) => dispatch(Search::<false, true> { chunk, fields, records, quoted }),
        (true, false) => dispatch(Search::<true, false> { chunk, fields, records, quoted }),
        (true, true) => dispatch(Search::<true, true> { chunk, fields, records, quoted }),
    };
}

/// Work over blocks, whose masks are made in the best way that the processor has. `run` must be
/// inlined, so that all of it is compiled for that processor.
trait Work {
    type Output;

    fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
fn dispatch<W: Work>(work: W) -> W::Output {
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt")]
    fn avx2<W: Work>(work: W) -> W::Output {
        work.run(|block| Masks::by_avx2(block))
    }

    let runs = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("popcnt");
    if !runs {
        return work.run(Masks::by_words);
    }
    #[expect(unsafe_code, reason = "the processor was asked whether it can run this")]
    // SAFETY: all features that the function is compiled for were found.
    unsafe {
        avx2(work)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch<W: Work>(work: W) -> W::Output {
    work.run(Masks::by_words)
}

/// Runs `work`, compiled for the best that the processor has, so that loops over numbers are done for
/// several at a time. What it calls must be inlined.
#[inline]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    dispatch(Other(work))
}

/// Work without blocks.
struct Other<F>(F);

impl<T, F: FnOnce() -> T> Work for Other<F> {
    type Output = T;

    #[inline(always)]
    fn run(self, _: impl Fn(&[u8; BLOCK]) -> Masks) -> T {
        (self.0)()
    }
}

/// Looks over a chunk with quotes, none of them before `start`.
struct Quotes<'a> {
    chunk: &'a Padded,
    start: usize,
}

impl Work for Quotes<'_> {
    type Output = Survey;

    #[inline(always)]
    fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> Survey {
        let Self { chunk, start } = self;
        let bytes = chunk.bytes();
        // All ones inside quotes.
        let mut inside = 0;
        for (at, block) in blocks(chunk, start) {
            let masks = masks(block);
            // Most blocks have none.
            if masks.quote == 0 {
                continue;
            }
            let inner = masks.quoted(inside);
            let opening = masks.quote & inner;
            // `""` inside quotes closes and opens again.
            let may_precede = masks.comma | masks.newline | masks.cr | masks.quote;
            let before = at.checked_sub(1).map_or(b'\n', |at| bytes[at]);
            let first_may_open = u64::from(matches!(before, b',' | b'\n' | b'\r' | b'"'));
            if opening & !(may_precede << 1 | first_may_open) != 0 {
                return Survey { regular: false, quotes: true, complete: 0, ends_quoted: false };
            }
            inside = ((inner as i64) >> 63) as u64;
        }
        // The last end of a record that is not quoted is one of the last bytes. Backwards too, each
        // quote tells whether what is before it is quoted.
        let mut inside_before = inside;
        let last = blocks(chunk, start).rev().find_map(|(at, block)| {
            let masks = masks(block);
            if masks.quote.count_ones() % 2 == 1 {
                inside_before = !inside_before;
            }
            let ends = (masks.newline | masks.cr) & !masks.quoted(inside_before);
            (ends != 0).then(|| at + BLOCK - ends.leading_zeros() as usize)
        });
        let earlier = || memchr::memrchr2(b'\n', b'\r', &bytes[..start]).map(|end| end + 1);
        let complete = last.or_else(earlier).unwrap_or(0);
        Survey { regular: true, quotes: true, complete, ends_quoted: inside != 0 }
    }
}

/// Finds all bounds, and returns how many fields and records there are.
struct Search<'a, const QUOTES: bool, const CRS: bool> {
    chunk: &'a Padded,
    fields: &'a mut [Bound],
    records: &'a mut [u32],
    quoted: &'a mut Vec<u32>,
}

impl<const QUOTES: bool, const CRS: bool> Work for Search<'_, QUOTES, CRS> {
    type Output = (usize, usize);

    #[inline(always)]
    fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> (usize, usize) {
        let Self { chunk, fields, records, quoted } = self;
        let (mut count, mut record_count) = (0, 0);
        let mut inside = 0;
        // Whether a field starts with the block.
        let mut starts_first = 1;
        for (at, block) in blocks(chunk, 0) {
            let masks = masks(block);
            let mut lines = masks.newline;
            if CRS {
                let next = u64::from(chunk.padded().get(at + BLOCK) == Some(&b'\n'));
                lines |= masks.cr & !(masks.newline >> 1 | next << 63);
            }
            let mut bits = masks.comma | lines;
            if QUOTES {
                let inner = masks.quoted(inside);
                inside = ((inner as i64) >> 63) as u64;
                bits &= !inner;
                lines &= !inner;
                let mut opening = masks.quote & (bits << 1 | starts_first);
                starts_first = bits >> 63;
                while opening != 0 {
                    let before = bits & (opening ^ (opening - 1));
                    quoted.push(count as u32 + before.count_ones());
                    opening &= opening - 1;
                }
            }
            let (Some(room), Some(record_room)) = (
                fields[count..].first_chunk_mut::<BLOCK>(),
                records[record_count..].first_chunk_mut::<BLOCK>(),
            ) else {
                break;
            };
            // Always whole pieces: a loop to the last one would be guessed wrong with every block.
            let found = lines.count_ones() as usize;
            let (pieces, _) = record_room.as_chunks_mut::<4>();
            for piece in pieces.iter_mut().take(found.div_ceil(4)) {
                for slot in piece {
                    let below = lines ^ lines.wrapping_sub(1);
                    *slot = count as u32 + (bits & below).count_ones();
                    lines &= lines.wrapping_sub(1);
                }
            }
            record_count += found;
            let found = bits.count_ones() as usize;
            let (pieces, _) = room.as_chunks_mut::<8>();
            for piece in pieces.iter_mut().take(found.div_ceil(8)) {
                for slot in piece {
                    *slot = Bound(at as u32 + 1 + bits.trailing_zeros());
                    bits &= bits.wrapping_sub(1);
                }
            }
            count += found;
        }
        (count, record_count)
    }
}

/// The blocks from `start` on, with where they are; the last one reaches into the padding.
fn blocks(chunk: &Padded, start: usize) -> impl DoubleEndedIterator<Item = (usize, &[u8; BLOCK])> {
    let all = &chunk.padded()[start..];
    let count = (chunk.bytes().len() - start).div_ceil(BLOCK);
    let (blocks, _) = all.as_chunks::<BLOCK>();
    blocks.iter().take(count).enumerate().map(move |(index, block)| (start + index * BLOCK, block))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bounds, byte by byte as RFC 4180 says it; `None` where a quote opens inside a field.
    fn naive(bytes: &[u8]) -> Option<(Vec<Bound>, Vec<u32>, usize, bool)> {
        let (mut found, mut records) = (vec![Bound::START], Vec::new());
        let (mut complete, mut inside) = (0, false);
        for (at, &byte) in bytes.iter().enumerate() {
            let before = at.checked_sub(1).map_or(b'\n', |before| bytes[before]);
            match byte {
                b'"' if !inside && !matches!(before, b',' | b'\n' | b'\r' | b'"') => return None,
                b'"' => inside = !inside,
                b',' if !inside => found.push(Bound(at as u32 + 1)),
                b'\n' if !inside => {
                    complete = at + 1;
                    records.push(found.len() as u32);
                    found.push(Bound(at as u32 + 1));
                }
                b'\r' if !inside => {
                    complete = at + 1;
                    if bytes.get(at + 1) != Some(&b'\n') {
                        records.push(found.len() as u32);
                        found.push(Bound(at as u32 + 1));
                    }
                }
                _ => {}
            }
        }
        Some((found, records, complete, inside))
    }

    fn padded(bytes: &[u8]) -> Padded {
        let mut padded = Padded::default();
        // What was there before must not be seen.
        padded.room(bytes.len() + 100).fill(b',');
        padded.room(bytes.len()).copy_from_slice(bytes);
        padded.cut(bytes.len());
        padded
    }

    proptest! {
        #[test]
        fn everything_is_found(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ",", "\n", "\r\n", "\r", ",\"b\",", "\n\"\"\"\"\n", "long long long long", "\"",
            ]),
            0..60,
        )) {
            let text = parts.concat();
            let chunk = padded(text.as_bytes());
            let found = survey(&chunk);
            prop_assert_eq!(found.quotes, text.contains('"'));
            let expected = naive(text.as_bytes());
            prop_assert_eq!(found.regular, expected.is_some());
            let words = Quotes { chunk: &chunk, start: 0 }.run(Masks::by_words);
            prop_assert_eq!(words.regular, found.regular);
            if let Some((fields, records, complete, inside)) = expected {
                // Without quotes the last `\n` is enough.
                if found.quotes || !text.contains('\r') {
                    prop_assert_eq!(found.complete, complete);
                }
                prop_assert_eq!(words.complete, complete);
                prop_assert_eq!(found.ends_quoted, inside);
                // What an earlier chunk left must not be seen.
                let mut all = Bounds { count: 300, record_count: 300, ..Bounds::default() };
                all.quoted.push(7);
                all.fields.resize(301, Bound(7));
                all.records.resize(301, 7);
                bounds(&chunk, found.quotes, &mut all);
                prop_assert_eq!(all.crs, text.contains('\r'));
                prop_assert_eq!(all.fields(), &*fields);
                prop_assert_eq!(all.records(), &*records);
                let is_quoted = |(_, bound): &(u32, &Bound)| {
                    text.as_bytes().get(bound.start()) == Some(&b'"')
                };
                let quoted = (0..).zip(&fields).filter(is_quoted).map(|(field, _)| field);
                prop_assert_eq!(all.quoted(), quoted.collect::<Vec<u32>>());
            }
        }
    }
}
