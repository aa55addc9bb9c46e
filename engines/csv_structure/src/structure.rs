//! Finds the ends of fields and records in a chunk of CSV that starts with a record.
//!
//! A byte is quoted if the number of quotes before it is odd, provided that every opening quote is
//! the first byte of a field. [`scan`] checks this for each quote. A chunk that fails the check is
//! irregular and must be parsed byte by byte.
//!
//! A record ends with `\n`, `\r\n`, or a `\r` that no `\n` follows.

use crate::block_ends::{BlockEnds, BlockOutput, Bound};
use crate::instruction_set::{InstructionSet, Kernel};
use crate::masks::{BLOCK, Masks, Syntax};
use crate::padded::PaddedBuffer;

/// The bounds of the fields and records of a chunk. The memory is reused for the next chunk.
#[derive(Debug)]
pub struct Bounds {
    /// The first `1 + count` elements are valid; the others are leftovers.
    fields: Vec<Bound>,
    count: usize,
    /// The first `record_count` elements are valid.
    records: Vec<u32>,
    record_count: usize,
    quoted: Vec<u32>,
    /// Whether the chunk contains a `\r`. If so, the last field of a record may include the `\r` of
    /// its `\r\n`.
    pub crs: bool,
    /// See [`Scan::strippable`].
    pub strippable: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        let (fields, records, quoted) = (vec![Bound::START], Vec::new(), Vec::new());
        Self { fields, count: 0, records, record_count: 0, quoted, crs: false, strippable: false }
    }
}

impl Bounds {
    /// The bounds of all fields in order, starting with the one before the first field.
    #[inline]
    #[must_use]
    pub fn fields(&self) -> &[Bound] {
        &self.fields[..=self.count]
    }

    /// For each record, in order, the index in [`Bounds::fields`] of the bound that ends it.
    #[inline]
    #[must_use]
    pub fn records(&self) -> &[u32] {
        &self.records[..self.record_count]
    }

    /// The fields that start with a quote, in order: the indices of the bounds before them. None if
    /// [`Bounds::strippable`].
    #[inline]
    #[must_use]
    pub fn quoted(&self) -> &[u32] {
        &self.quoted
    }
}

/// The result of [`scan`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Whether every opening quote is the first byte of a field.
    pub regular: bool,
    /// Whether the chunk contains a quote.
    pub quotes: bool,
    /// Whether the chunk contains a `\r`.
    pub crs: bool,
    /// Whether all bytes are ASCII.
    pub ascii: bool,
    /// The number of `\n`.
    pub newlines: u64,
    /// The length of the complete records at the start of the chunk; meaningless if the chunk is
    /// not regular.
    pub complete: usize,
    /// Whether the chunk ends inside quotes; meaningless if the chunk is not regular.
    pub ends_quoted: bool,
    /// Whether quotes are frequent, and every quoted field ends with its closing quote and has no quotes inside:
    /// dropping the first and the last byte of a field that starts with a quote gives its value.
    pub strippable: bool,
}

/// Quotes are frequent from one in as many bytes: then listing the quoted fields one by one costs more
/// than testing the first byte of every field.
const BYTES_PER_QUOTE: usize = 64;

/// Checks whether a chunk is regular, and finds its last complete record.
#[must_use]
pub fn scan(chunk: &PaddedBuffer, syntax: Syntax) -> Scan {
    scan_with(InstructionSet::best(), chunk, syntax)
}

fn scan_with(set: InstructionSet, chunk: &PaddedBuffer, syntax: Syntax) -> Scan {
    let scan = set.run(ScanBytes { chunk, syntax });
    let quotes = scan.quotes.then(|| set.run(CheckQuotes { chunk, syntax }));
    match quotes {
        None => {
            let bytes = chunk.bytes();
            let end = memchr::memrchr(b'\n', bytes).or_else(|| memchr::memrchr(b'\r', bytes));
            Scan { regular: true, complete: end.map_or(0, |end| end + 1), ..scan }
        }
        Some(Parity::Irregular) => scan,
        Some(Parity::Regular { complete, ends_quoted, strippable }) => {
            Scan { regular: true, complete, ends_quoted, strippable, ..scan }
        }
    }
}

/// Finds the bounds of all fields of a regular chunk, for which [`scan()`] with the same `syntax`
/// returned `scan`. The chunk must be shorter than 2 GiB.
pub fn bounds(chunk: &PaddedBuffer, syntax: Syntax, scan: &Scan, bounds: &mut Bounds) {
    bounds_with(InstructionSet::best(), chunk, syntax, scan, bounds);
}

fn bounds_with(
    set: InstructionSet,
    chunk: &PaddedBuffer,
    syntax: Syntax,
    scan: &Scan,
    bounds: &mut Bounds,
) {
    // At most one bound per byte; a whole block of bounds is written at a time.
    let most = 1 + chunk.bytes().len().next_multiple_of(BLOCK) + BLOCK;
    if bounds.fields.len() < most {
        bounds.fields.resize(most, Bound::START);
        bounds.records.resize(most, 0);
    }
    bounds.crs = scan.crs;
    bounds.quoted.clear();
    let (fields, records) = (&mut bounds.fields[1..], &mut *bounds.records);
    let quoted = &mut bounds.quoted;
    macro_rules! find {
        ($quotes:literal, $crs:literal, $list:literal) => {
            set.run(FindBounds::<$quotes, $crs, $list> { chunk, syntax, fields, records, quoted })
        };
    }
    bounds.strippable = scan.strippable;
    (bounds.count, bounds.record_count) = match (scan.quotes, scan.crs, scan.strippable) {
        (false, false, _) => find!(false, false, false),
        (false, true, _) => find!(false, true, false),
        (true, false, false) => find!(true, false, true),
        (true, false, true) => find!(true, false, false),
        (true, true, false) => find!(true, true, true),
        (true, true, true) => find!(true, true, false),
    };
}

/// Finds out which special bytes a chunk contains, and counts its `\n`.
struct ScanBytes<'a> {
    chunk: &'a PaddedBuffer,
    syntax: Syntax,
}

impl Kernel for ScanBytes<'_> {
    type Output = Scan;

    #[inline(always)]
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
        _: impl Fn(BlockEnds, BlockOutput<'_>),
    ) -> Scan {
        let (mut quotes, mut crs, mut newlines) = (0, 0, 0);
        let mut all = [0; BLOCK];
        for (_, block) in blocks(self.chunk) {
            let masks = masks(block, self.syntax);
            quotes |= masks.quote;
            crs |= masks.cr;
            newlines += u64::from(masks.newline.count_ones());
            all.iter_mut().zip(block).for_each(|(all, byte)| *all |= byte);
        }
        let (quotes, crs, ascii) = (quotes != 0, crs != 0, all.is_ascii());
        Scan { quotes, crs, ascii, newlines, ..Scan::default() }
    }
}

/// Whether a chunk with quotes is regular.
enum Parity {
    Irregular,
    /// The fields are those of [`Scan`].
    Regular {
        complete: usize,
        ends_quoted: bool,
        strippable: bool,
    },
}

/// Checks the quotes of a chunk, and finds the last end of a record that is not quoted.
struct CheckQuotes<'a> {
    chunk: &'a PaddedBuffer,
    syntax: Syntax,
}

impl Kernel for CheckQuotes<'_> {
    type Output = Parity;

    #[inline(always)]
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
        _: impl Fn(BlockEnds, BlockOutput<'_>),
    ) -> Parity {
        let Self { chunk, syntax } = self;
        let bytes = chunk.bytes();
        // All ones inside quotes.
        let mut inside = 0;
        let (mut quotes, mut simple) = (0, true);
        // Whether the last byte of the block before closes a quoted field.
        let mut closed = 0;
        for (at, block) in blocks(chunk) {
            let masks = masks(block, syntax);
            let ends = masks.delimiter | masks.newline | masks.cr | beyond(bytes.len() - at);
            // Most blocks have no quotes.
            if masks.quote == 0 {
                simple &= closed & !ends == 0;
                closed = 0;
                continue;
            }
            let inner = masks.quoted(inside);
            let opening = masks.quote & inner;
            // `""` inside quotes closes and opens again.
            let may_precede = masks.delimiter | masks.newline | masks.cr | masks.quote;
            let before = at.checked_sub(1).map_or(b'\n', |at| bytes[at]);
            let may_open = [syntax.delimiter, b'\n', b'\r', syntax.quote].contains(&before);
            let first_may_open = u64::from(may_open);
            if opening & !(may_precede << 1 | first_may_open) != 0 {
                return Parity::Irregular;
            }
            let closing = masks.quote & !inner;
            simple &= (closing << 1 | closed) & !ends == 0;
            closed = closing >> 63;
            quotes += masks.quote.count_ones() as usize;
            inside = ((inner as i64) >> 63) as u64;
        }
        let strippable = simple && quotes * BYTES_PER_QUOTE >= bytes.len();
        // The last end of a record is near the end of the chunk, so the blocks are searched
        // backwards, and so is the state of the quotes: it changes with each quote.
        let mut inside_before = inside;
        let last = blocks(chunk).rev().find_map(|(at, block)| {
            let masks = masks(block, syntax);
            if masks.quote.count_ones() % 2 == 1 {
                inside_before = !inside_before;
            }
            let ends = (masks.newline | masks.cr) & !masks.quoted(inside_before);
            (ends != 0).then(|| at + BLOCK - ends.leading_zeros() as usize)
        });
        Parity::Regular { complete: last.unwrap_or(0), ends_quoted: inside != 0, strippable }
    }
}

/// The bits of a block at and after `length`.
#[inline(always)]
fn beyond(length: usize) -> u64 {
    if length < BLOCK { u64::MAX << length } else { 0 }
}

/// Finds all bounds, and returns the numbers of fields and records. `LIST` says whether quoted fields
/// are listed.
struct FindBounds<'a, const QUOTES: bool, const CRS: bool, const LIST: bool> {
    chunk: &'a PaddedBuffer,
    syntax: Syntax,
    fields: &'a mut [Bound],
    records: &'a mut [u32],
    quoted: &'a mut Vec<u32>,
}

impl<const QUOTES: bool, const CRS: bool, const LIST: bool> Kernel
    for FindBounds<'_, QUOTES, CRS, LIST>
{
    type Output = (usize, usize);

    #[inline(always)]
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
        write: impl Fn(BlockEnds, BlockOutput<'_>),
    ) -> (usize, usize) {
        let Self { chunk, syntax, fields, records, quoted } = self;
        let (mut count, mut record_count) = (0, 0);
        let mut inside = 0;
        // Whether a field starts at the first byte of the block.
        let mut starts_first = 1;
        for (at, block) in blocks(chunk) {
            let masks = masks(block, syntax);
            let mut lines = masks.newline;
            if CRS {
                let next = u64::from(chunk.padded().get(at + BLOCK) == Some(&b'\n'));
                lines |= masks.cr & !(masks.newline >> 1 | next << 63);
            }
            let mut bits = masks.delimiter | lines;
            if QUOTES {
                let inner = masks.quoted(inside);
                inside = ((inner as i64) >> 63) as u64;
                bits &= !inner;
                lines &= !inner;
                let mut opening = masks.quote & (bits << 1 | starts_first);
                starts_first = bits >> 63;
                while LIST && opening != 0 {
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
            let ends = BlockEnds { fields: bits, records: lines, at: at as u32, first };
            write(ends, BlockOutput { bounds, records: record_bounds });
            count += bits.count_ones() as usize;
            record_count += lines.count_ones() as usize;
        }
        (count, record_count)
    }
}

/// The blocks of a chunk with their offsets; the last one may extend into the padding.
fn blocks(chunk: &PaddedBuffer) -> impl DoubleEndedIterator<Item = (usize, &[u8; BLOCK])> {
    let (blocks, _) = chunk.padded().as_chunks::<BLOCK>();
    let count = chunk.bytes().len().div_ceil(BLOCK);
    blocks.iter().take(count).enumerate().map(|(index, block)| (index * BLOCK, block))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bounds, found byte by byte; `None` if a quote opens inside a field.
    fn naive(
        bytes: &[u8],
        Syntax { delimiter, quote }: Syntax,
    ) -> Option<(Vec<Bound>, Vec<u32>, usize, bool)> {
        let (mut found, mut records) = (vec![Bound::START], Vec::new());
        let (mut complete, mut inside) = (0, false);
        for (at, &byte) in bytes.iter().enumerate() {
            let before = at.checked_sub(1).map_or(b'\n', |before| bytes[before]);
            match byte {
                byte if byte == quote => {
                    if !inside && ![delimiter, b'\n', b'\r', quote].contains(&before) {
                        return None;
                    }
                    inside = !inside;
                }
                byte if byte == delimiter && !inside => found.push(Bound::after(at as u32)),
                b'\n' if !inside => {
                    complete = at + 1;
                    records.push(found.len() as u32);
                    found.push(Bound::after(at as u32));
                }
                b'\r' if !inside => {
                    complete = at + 1;
                    if bytes.get(at + 1) != Some(&b'\n') {
                        records.push(found.len() as u32);
                        found.push(Bound::after(at as u32));
                    }
                }
                _ => {}
            }
        }
        Some((found, records, complete, inside))
    }

    fn padded(bytes: &[u8]) -> PaddedBuffer {
        let mut padded = PaddedBuffer::default();
        // Commas of an earlier chunk, which must have no effect.
        padded.reserve(bytes.len() + 100).fill(b',');
        padded.reserve(bytes.len()).copy_from_slice(bytes);
        padded.set_len(bytes.len());
        padded
    }

    proptest! {
        #[test]
        fn bounds_are_those_of_a_plain_reader(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ",", "\n", "\r\n", "\r", ",\"b\",", "\n\"\"\"\"\n", "long long long long", "\"", "é",
            ]),
            0..60,
        ), delimiter in proptest::sample::select(b",;\t|".to_vec()), single in any::<bool>()) {
            let quote = if single { '\'' } else { '"' };
            let syntax = Syntax { delimiter, quote: quote as u8 };
            let text = parts.concat().replace(',', &char::from(delimiter).to_string());
            let text = text.replace('"', &quote.to_string());
            let chunk = padded(text.as_bytes());
            let expected = naive(text.as_bytes(), syntax);
            for set in InstructionSet::available() {
                let found = scan_with(set, &chunk, syntax);
                prop_assert_eq!(found.quotes, text.contains(quote));
                prop_assert_eq!(found.crs, text.contains('\r'));
                prop_assert_eq!(found.ascii, text.is_ascii());
                prop_assert_eq!(found.newlines, text.matches('\n').count() as u64);
                prop_assert_eq!(found.regular, expected.is_some());
                let Some((fields, records, complete, inside)) = &expected else { continue };
                // Without quotes, the last `\n` is used even if a `\r` ends a later record.
                if found.quotes || !text.contains('\r') {
                    prop_assert_eq!(found.complete, *complete);
                }
                prop_assert_eq!(found.ends_quoted, *inside);
                // Leftovers of an earlier chunk must have no effect.
                let mut all = Bounds { count: 300, record_count: 300, ..Bounds::default() };
                all.quoted.push(7);
                all.fields.resize(301, Bound::after(6));
                all.records.resize(301, 7);
                bounds_with(set, &chunk, syntax, &found, &mut all);
                prop_assert_eq!(all.crs, text.contains('\r'));
                prop_assert_eq!(all.fields(), &**fields);
                prop_assert_eq!(all.records(), &**records);
                let is_quoted = |(_, bound): &(u32, &Bound)| {
                    text.as_bytes().get(bound.start()) == Some(&syntax.quote)
                };
                let quoted = (0..).zip(fields).filter(is_quoted).map(|(field, _)| field);
                let quoted: Vec<u32> = quoted.collect();
                prop_assert_eq!(all.strippable, found.strippable);
                if !all.strippable {
                    prop_assert_eq!(all.quoted(), quoted);
                    continue;
                }
                prop_assert!(all.quoted().is_empty());
                for bounds in fields.windows(2).filter(|bounds| is_quoted(&(0, &bounds[0]))) {
                    let field = &text[bounds[0].start()..bounds[1].end()];
                    let inside = field.trim_end_matches('\r').strip_prefix(quote);
                    let inside = inside.and_then(|field| field.strip_suffix(quote));
                    prop_assert!(inside.is_some_and(|inside| !inside.contains(quote)), "{}", field);
                }
            }
        }
    }

    #[test]
    fn chunks_of_simple_quoted_fields_are_strippable() {
        let syntax = Syntax::default();
        let strippable = |text: &str| {
            let chunk = padded(text.as_bytes());
            let found =
                InstructionSet::available().map(|set| scan_with(set, &chunk, syntax).strippable);
            let found: Vec<_> = found.collect();
            assert!(found.iter().all(|strippable| *strippable == found[0]), "{text}");
            found[0]
        };
        // The quotes are everywhere in a block, its last byte included.
        for length in 0..2 * BLOCK {
            let start = "x".repeat(length);
            for ends in ["\n", "\r\n", "\r", ""] {
                let row = format!("{start},\"a\",\"\",\"b, c\",\"d\"{ends}");
                assert!(strippable(&row), "{row}");
                assert!(strippable(&format!("{row},x\n")), "{row}");
                assert!(!strippable(&format!("{row}\n\"say \"\"hey\"\"\"\n")), "{row}");
                assert!(!strippable(&format!("{row}\n\"a\" \n")), "{row}");
            }
        }
        assert!(!strippable(&format!("\"a\",{}\n", "long, ".repeat(100))));
    }
}
