//! Where fields and records end in a chunk of CSV that starts with a record.
//!
//! The parity of the quotes before a byte tells whether it is quoted, as long as every quote that
//! opens stands at the start of a field. [`survey`] holds that against each quote; a chunk in which
//! it is not so must be read byte by byte.
//!
//! `\n` ends a record, and so does `\r` unless a `\n` follows it, which then does.

use crate::ends::{Bound, Ends, Room};
use crate::masks::{BLOCK, Masks};
use crate::processor::{Processor, Work};

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
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Whether the parity of the quotes tells what is quoted.
    pub regular: bool,
    /// Whether there is a quote.
    pub quotes: bool,
    /// Whether there is a `\r`.
    pub crs: bool,
    /// Whether all bytes are ASCII.
    pub ascii: bool,
    /// How many `\n` there are.
    pub newlines: u64,
    /// How long the records that have ended are; means nothing where the chunk is not regular.
    pub complete: usize,
    /// Whether the chunk ends inside quotes; means nothing where it is not regular.
    pub ends_quoted: bool,
}

/// Looks over a chunk.
#[must_use]
pub fn survey(chunk: &Padded) -> Survey {
    survey_by(Processor::best(), chunk)
}

fn survey_by(processor: Processor, chunk: &Padded) -> Survey {
    let survey = processor.run(Glance { chunk });
    let quotes = survey.quotes.then(|| processor.run(Quotes { chunk }));
    match quotes {
        None => {
            let bytes = chunk.bytes();
            let end = memchr::memrchr(b'\n', bytes).or_else(|| memchr::memrchr(b'\r', bytes));
            Survey { regular: true, complete: end.map_or(0, |end| end + 1), ..survey }
        }
        Some(Parity::Irregular) => survey,
        Some(Parity::Regular { complete, ends_quoted }) => {
            Survey { regular: true, complete, ends_quoted, ..survey }
        }
    }
}

/// Finds the bounds of all fields of a chunk, of which `survey` is what [`survey()`] found. The chunk must be
/// shorter than 2 GiB.
pub fn bounds(chunk: &Padded, survey: &Survey, bounds: &mut Bounds) {
    bounds_by(Processor::best(), chunk, survey, bounds);
}

fn bounds_by(processor: Processor, chunk: &Padded, survey: &Survey, bounds: &mut Bounds) {
    // One for each byte at most; whole blocks are written at once.
    let most = 1 + chunk.bytes().len().next_multiple_of(BLOCK) + BLOCK;
    if bounds.fields.len() < most {
        bounds.fields.resize(most, Bound::START);
        bounds.records.resize(most, 0);
    }
    bounds.crs = survey.crs;
    bounds.quoted.clear();
    let (fields, records) = (&mut bounds.fields[1..], &mut *bounds.records);
    let quoted = &mut bounds.quoted;
    (bounds.count, bounds.record_count) = match (survey.quotes, survey.crs) {
        (false, false) => processor.run(Search::<false, false> { chunk, fields, records, quoted }),
        (false, true) => processor.run(Search::<false, true> { chunk, fields, records, quoted }),
        (true, false) => processor.run(Search::<true, false> { chunk, fields, records, quoted }),
        (true, true) => processor.run(Search::<true, true> { chunk, fields, records, quoted }),
    };
}

/// Looks which bytes there are at all in a chunk.
struct Glance<'a> {
    chunk: &'a Padded,
}

impl Work for Glance<'_> {
    type Output = Survey;

    #[inline(always)]
    fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks, _: impl Fn(Ends, Room<'_>)) -> Survey {
        let (mut quotes, mut crs, mut newlines) = (0, 0, 0);
        let mut all = [0; BLOCK];
        for (_, block) in blocks(self.chunk) {
            let masks = masks(block);
            quotes |= masks.quote;
            crs |= masks.cr;
            newlines += u64::from(masks.newline.count_ones());
            all.iter_mut().zip(block).for_each(|(all, byte)| *all |= byte);
        }
        let (quotes, crs, ascii) = (quotes != 0, crs != 0, all.is_ascii());
        Survey { quotes, crs, ascii, newlines, ..Survey::default() }
    }
}

/// Whether the parity of quotes tells what is quoted.
enum Parity {
    Irregular,
    /// What this means is said at [`Survey`].
    Regular {
        complete: usize,
        ends_quoted: bool,
    },
}

/// Looks over the quotes of a chunk.
struct Quotes<'a> {
    chunk: &'a Padded,
}

impl Work for Quotes<'_> {
    type Output = Parity;

    #[inline(always)]
    fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks, _: impl Fn(Ends, Room<'_>)) -> Parity {
        let Self { chunk } = self;
        let bytes = chunk.bytes();
        // All ones inside quotes.
        let mut inside = 0;
        for (at, block) in blocks(chunk) {
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
                return Parity::Irregular;
            }
            inside = ((inner as i64) >> 63) as u64;
        }
        // The last end of a record that is not quoted is one of the last bytes. Backwards too, each
        // quote tells whether what is before it is quoted.
        let mut inside_before = inside;
        let last = blocks(chunk).rev().find_map(|(at, block)| {
            let masks = masks(block);
            if masks.quote.count_ones() % 2 == 1 {
                inside_before = !inside_before;
            }
            let ends = (masks.newline | masks.cr) & !masks.quoted(inside_before);
            (ends != 0).then(|| at + BLOCK - ends.leading_zeros() as usize)
        });
        Parity::Regular { complete: last.unwrap_or(0), ends_quoted: inside != 0 }
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
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK]) -> Masks,
        write: impl Fn(Ends, Room<'_>),
    ) -> (usize, usize) {
        let Self { chunk, fields, records, quoted } = self;
        let (mut count, mut record_count) = (0, 0);
        let mut inside = 0;
        // Whether a field starts with the block.
        let mut starts_first = 1;
        for (at, block) in blocks(chunk) {
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
            let (Some(bounds), Some(record_bounds)) = (
                fields[count..].first_chunk_mut::<BLOCK>(),
                records[record_count..].first_chunk_mut::<BLOCK>(),
            ) else {
                break;
            };
            let first = count as u32 + 1;
            let ends = Ends { fields: bits, records: lines, at: at as u32, first };
            write(ends, Room { bounds, records: record_bounds });
            count += bits.count_ones() as usize;
            record_count += lines.count_ones() as usize;
        }
        (count, record_count)
    }
}

/// The blocks of a chunk, with where they are; the last one reaches into the padding.
fn blocks(chunk: &Padded) -> impl DoubleEndedIterator<Item = (usize, &[u8; BLOCK])> {
    let (blocks, _) = chunk.padded().as_chunks::<BLOCK>();
    let count = chunk.bytes().len().div_ceil(BLOCK);
    blocks.iter().take(count).enumerate().map(|(index, block)| (index * BLOCK, block))
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
                b',' if !inside => found.push(Bound::behind(at as u32)),
                b'\n' if !inside => {
                    complete = at + 1;
                    records.push(found.len() as u32);
                    found.push(Bound::behind(at as u32));
                }
                b'\r' if !inside => {
                    complete = at + 1;
                    if bytes.get(at + 1) != Some(&b'\n') {
                        records.push(found.len() as u32);
                        found.push(Bound::behind(at as u32));
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
                "a", ",", "\n", "\r\n", "\r", ",\"b\",", "\n\"\"\"\"\n", "long long long long", "\"", "é",
            ]),
            0..60,
        )) {
            let text = parts.concat();
            let chunk = padded(text.as_bytes());
            let expected = naive(text.as_bytes());
            for processor in Processor::available() {
                let found = survey_by(processor, &chunk);
                prop_assert_eq!(found.quotes, text.contains('"'));
                prop_assert_eq!(found.crs, text.contains('\r'));
                prop_assert_eq!(found.ascii, text.is_ascii());
                prop_assert_eq!(found.newlines, text.matches('\n').count() as u64);
                prop_assert_eq!(found.regular, expected.is_some());
                let Some((fields, records, complete, inside)) = &expected else { continue };
                // Without quotes the last `\n` is enough.
                if found.quotes || !text.contains('\r') {
                    prop_assert_eq!(found.complete, *complete);
                }
                prop_assert_eq!(found.ends_quoted, *inside);
                // What an earlier chunk left must not be seen.
                let mut all = Bounds { count: 300, record_count: 300, ..Bounds::default() };
                all.quoted.push(7);
                all.fields.resize(301, Bound::behind(6));
                all.records.resize(301, 7);
                bounds_by(processor, &chunk, &found, &mut all);
                prop_assert_eq!(all.crs, text.contains('\r'));
                prop_assert_eq!(all.fields(), &**fields);
                prop_assert_eq!(all.records(), &**records);
                let is_quoted = |(_, bound): &(u32, &Bound)| {
                    text.as_bytes().get(bound.start()) == Some(&b'"')
                };
                let quoted = (0..).zip(fields).filter(is_quoted).map(|(field, _)| field);
                prop_assert_eq!(all.quoted(), quoted.collect::<Vec<u32>>());
            }
        }
    }
}
