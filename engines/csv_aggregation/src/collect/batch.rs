//! The fast path: parses regular rows in place, a batch at a time, and leaves unusual rows to the
//! slow path.
//!
//! Parsing is column-wise: each column is read for all rows of a batch before the next column.
//! Every step is a short loop over independent rows, which the processor overlaps or the compiler
//! vectorises.

use csv_structure::{Bounds, PaddedBuffer};

use crate::group::dates::{self, LocalDates};
use crate::group::dictionary::{DictColumn, LocalDict};
use crate::group::entry::{BATCH, Entry};
use crate::group::key::{SHORT, push_column, write_column, write_plain_column};
use crate::group::values::LocalValues;
use crate::options::{NumberFormat, Options};
use crate::read::fields::{ColumnRange, find, strip_quotes, unescape, unquoted};
use crate::read::header::Header;
use crate::read::number::{short_number, short_numbers};
use crate::read::number_format::formatted;
use crate::text::{PADDING, Prefixes, Span, Text};

/// A batch of parsed rows.
pub(crate) struct Batch {
    /// The number of fields of a row.
    columns: usize,
    /// The position of the dictionary-encoded column, if there is one.
    dict_column: Option<usize>,
    /// The positions of the other group columns.
    key: Vec<usize>,
    /// Whether keys are joined from their fields, even from a single one; see
    /// [`crate::group::key`].
    joins: bool,
    /// The positions of the columns to sum.
    sum: Vec<usize>,
    /// How the numbers are written.
    format: NumberFormat,
    /// The byte that encloses quoted fields.
    quote: u8,
    /// The seed of the key hashes.
    seed: u64,
    rows: Vec<Entry>,
    /// All values of the first row, then those of the next one, and so on.
    values: Vec<i64>,
    /// Which rows are valid as far as the fast path can tell. The slow path gets the others.
    valid: Vec<bool>,
    /// The fields that start with a quote, by row and column.
    quoted: Vec<(usize, usize)>,
    /// The fields of the current column.
    spans: Vec<Span>,
    /// The first bytes of the current column.
    prefixes: Prefixes,
    /// The numbers of the current column, and which of its fields are numbers.
    numbers: Vec<i64>,
    are_numbers: Vec<bool>,
    /// The date codes of the current column.
    codes: Vec<u32>,
    /// The fields of each key column.
    key_spans: Vec<Vec<Span>>,
    /// The joined keys of the current chunk, in the first `used` bytes.
    joined: Vec<u8>,
    used: usize,
    scratch: Vec<u8>,
}

/// Consecutive rows of a chunk with as many fields as the header.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) bounds: &'a Bounds,
    /// The index in [`Bounds::fields`] of the bound before the first row.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Whether the chunk has no byte that must be escaped in a joined key.
    pub(crate) plain_bytes: bool,
}

impl Batch {
    /// An empty batch for groups encoded with `dictionary`.
    pub(crate) fn new(
        header: &Header,
        dictionary: &DictColumn,
        options: &Options,
        seed: u64,
    ) -> Self {
        let (key, dict_column) =
            header.group_by.split_at(header.group_by.len() - dictionary.columns());
        Self {
            columns: header.len(),
            dict_column: dict_column.first().copied(),
            key: key.to_vec(),
            joins: key.len() > 1 || matches!(dictionary, DictColumn::Values(_)),
            sum: header.sum.clone(),
            format: options.numbers,
            quote: options.dialect.quote.unwrap_or(b'"'),
            seed,
            rows: Vec::with_capacity(BATCH),
            values: Vec::with_capacity(BATCH * header.sum.len()),
            valid: Vec::with_capacity(BATCH),
            quoted: Vec::new(),
            spans: Vec::new(),
            prefixes: Prefixes::default(),
            numbers: Vec::new(),
            are_numbers: Vec::new(),
            codes: Vec::new(),
            key_spans: vec![Vec::new(); key.len()],
            joined: Vec::new(),
            used: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether keys are joined from their fields.
    pub(crate) fn joins(&self) -> bool {
        self.joins
    }

    /// Discards the joined keys of the previous chunk.
    pub(crate) fn start_chunk(&mut self) {
        self.used = 0;
    }

    /// The bytes that contain the keys of all batches of `chunk`.
    pub(crate) fn texts<'a>(&'a self, chunk: &'a PaddedBuffer) -> &'a [u8] {
        if self.joins { &self.joined } else { chunk.padded() }
    }

    /// Parses rows. Those that are not certainly valid are left out, and their indexes are passed
    /// to `slow_path`.
    pub(crate) fn parse(
        &mut self,
        chunk: &mut PaddedBuffer,
        rows: Rows<'_>,
        dict: &mut LocalDict<'_>,
        mut slow_path: impl FnMut(usize),
    ) {
        self.rows.resize(rows.count, Entry::default());
        self.values.resize(rows.count * self.sum.len(), 0);
        self.valid.clear();
        self.valid.resize(rows.count, true);
        let columns = self.columns;
        self.find_quoted(rows);
        let range = |column| ColumnRange { column, columns, first: rows.first, count: rows.count };
        for index in 0..self.sum.len() {
            let range = range(self.sum[index]);
            let Self { spans, valid, scratch, .. } = self;
            let quoted = (self.quote, &*self.quoted);
            read_column(chunk, rows.bounds, range, quoted, spans, valid, scratch);
            self.parse_numbers(index, chunk.padded());
        }
        if let Some(column) = self.dict_column {
            let Self { spans, valid, scratch, .. } = self;
            let quoted = (self.quote, &*self.quoted);
            read_column(chunk, rows.bounds, range(column), quoted, spans, valid, scratch);
        }
        match dict {
            LocalDict::None => self.rows.iter_mut().for_each(|row| row.dict_id = 0),
            LocalDict::Dates(dates) => self.encode_dates(chunk.padded(), dates),
            LocalDict::Values(values) => self.encode_values(chunk.padded(), values),
        }
        for (column, spans) in self.key.iter().zip(&mut self.key_spans) {
            let Self { valid, scratch, .. } = self;
            let quoted = (self.quote, &*self.quoted);
            read_column(chunk, rows.bounds, range(*column), quoted, spans, valid, scratch);
        }
        if self.joins {
            self.join_keys(chunk.padded(), rows.plain_bytes);
        } else {
            self.hash_keys(chunk.padded());
        }
        if !all(&self.valid) {
            self.drop_invalid(&mut slow_path);
        }
    }

    /// The rows and their values.
    pub(crate) fn rows(&self) -> (&[Entry], &[i64]) {
        (&self.rows, &self.values)
    }

    /// Finds the quoted fields of these rows.
    fn find_quoted(&mut self, rows: Rows<'_>) {
        let (all, count) = (rows.bounds.quoted(), rows.count * self.columns);
        let first = all.partition_point(|field| (*field as usize) < rows.first);
        let fields = all[first..].iter().map(|field| *field as usize - rows.first);
        let fields = fields.take_while(|field| *field < count);
        self.quoted.clear();
        self.quoted.extend(fields.map(|field| (field / self.columns, field % self.columns)));
    }

    /// Parses the current column as the numbers for the sum at `index`.
    fn parse_numbers(&mut self, index: usize, data: &[u8]) {
        let Self { prefixes, numbers, are_numbers, spans, valid, format, .. } = self;
        prefixes.read::<false>(data, spans);
        numbers.resize(spans.len(), 0);
        are_numbers.resize(spans.len(), false);
        csv_structure::vectorised(|| short_numbers(prefixes, numbers, are_numbers));
        if !all(are_numbers) {
            let all = spans.iter().zip(&mut *numbers).zip(&*are_numbers).zip(valid);
            for (((span, value), _), valid) in all.filter(|((_, is_number), _)| !**is_number) {
                let plain = short_number(data, *span);
                match plain.or_else(|| formatted(span.of(data), *format).ok()) {
                    Some(number) => *value = number,
                    None => *valid = false,
                }
            }
        }
        if self.sum.len() == 1 {
            return self.values.copy_from_slice(numbers);
        }
        let values = self.values.iter_mut().skip(index).step_by(self.sum.len());
        values.zip(numbers).for_each(|(value, number)| *value = *number);
    }

    /// Looks up the ids of the current column, which consists of dates.
    fn encode_dates(&mut self, data: &[u8], dates: &mut LocalDates<'_>) {
        let Self { prefixes, codes, spans, rows, valid, .. } = self;
        prefixes.read::<true>(data, spans);
        codes.resize(spans.len(), 0);
        csv_structure::vectorised(|| dates::codes(prefixes, codes));
        for (((span, code), row), valid) in spans.iter().zip(codes).zip(rows).zip(valid) {
            match dates.number(*code, || span.of(data)) {
                Some(id) => row.dict_id = id,
                None => *valid = false,
            }
        }
    }

    /// Looks up the ids of the current column, which consists of arbitrary values.
    fn encode_values(&mut self, data: &[u8], values: &mut LocalValues<'_>) {
        for (span, row) in self.spans.iter().zip(&mut self.rows) {
            row.dict_id = values.number(data, *span);
        }
    }

    /// Hashes keys that are a single field, in place.
    fn hash_keys(&mut self, data: &[u8]) {
        let [spans] = &*self.key_spans else { return };
        for (span, row) in spans.iter().zip(&mut self.rows) {
            row.hash = Text::new(data, *span).hash(self.seed);
            row.key = *span;
        }
    }

    /// Joins keys from several fields and hashes them.
    fn join_keys(&mut self, data: &[u8], plain_bytes: bool) {
        let bytes: usize = self.key_spans.iter().flatten().map(|span| span.len() + 1).sum();
        // Every byte may be escaped, and short fields are copied with a fixed length.
        let max = self.used + 2 * bytes + SHORT + PADDING;
        if self.joined.len() < max {
            self.joined.resize(max, 0);
        }
        let (joined, mut at) = (&mut *self.joined, self.used);
        for (index, row) in self.rows.iter_mut().enumerate() {
            let start = at;
            for spans in &self.key_spans {
                let span = spans[index];
                at += match plain_bytes {
                    true => write_plain_column(data, span, &mut joined[at..]),
                    false => write_column(span.of(data), &mut joined[at..]),
                };
            }
            row.key = Span::new(start, at);
            row.hash = Text::new(joined, row.key).hash(self.seed);
        }
        self.used = at;
    }

    /// Drops the rows that are not valid and passes their indexes to `slow_path`.
    fn drop_invalid(&mut self, slow_path: &mut impl FnMut(usize)) {
        let sums = self.sum.len();
        let mut kept = 0;
        for (at, valid) in self.valid.iter().enumerate() {
            if !valid {
                slow_path(at);
                continue;
            }
            self.rows[kept] = self.rows[at];
            self.values.copy_within(at * sums..(at + 1) * sums, kept * sums);
            kept += 1;
        }
        self.rows.truncate(kept);
        self.values.truncate(kept * sums);
    }

    /// Stores the key of a valid row from the slow path in `key`.
    pub(crate) fn key_of(&self, fields: &csv::ByteRecord, key: &mut Vec<u8>) {
        key.clear();
        if let ([column], false) = (&*self.key, self.joins) {
            return key.extend_from_slice(&fields[*column]);
        }
        for column in &self.key {
            push_column(key, &fields[*column]);
        }
    }

    /// The dictionary-encoded field of a row from the slow path; empty if there is none.
    pub(crate) fn dict_field<'a>(&self, fields: &'a csv::ByteRecord) -> &'a [u8] {
        self.dict_column.map_or(&[], |column| &fields[column])
    }
}

/// Whether all flags are true. Without an early exit, so that the compiler vectorises it.
#[inline]
fn all(flags: &[bool]) -> bool {
    flags.iter().fold(true, |all, flag| all & flag)
}

/// Finds the field of a column in each row, and unquotes it where necessary.
fn read_column(
    chunk: &mut PaddedBuffer,
    bounds: &Bounds,
    range: ColumnRange,
    (quote, quoted): (u8, &[(usize, usize)]),
    spans: &mut Vec<Span>,
    valid: &mut [bool],
    scratch: &mut Vec<u8>,
) {
    find(chunk.padded(), bounds, range, spans);
    if bounds.strippable {
        return strip_quotes(chunk.padded(), quote, spans);
    }
    for (row, _) in quoted.iter().filter(|(_, column)| *column == range.column) {
        match unquote(chunk, quote, spans[*row], scratch) {
            Some(span) => spans[*row] = span,
            None => valid[*row] = false,
        }
    }
}

/// The contents of a quoted field. If they have to be unescaped, the result is appended after the
/// chunk. `None` if the field is irregular.
fn unquote(chunk: &mut PaddedBuffer, quote: u8, span: Span, scratch: &mut Vec<u8>) -> Option<Span> {
    if let Some(contents) = unquoted(chunk.padded(), quote, span) {
        return Some(contents);
    }
    scratch.clear();
    if !unescape(span.of(chunk.padded()), quote, scratch) {
        return None;
    }
    let start = chunk.append(scratch.len());
    let end = start + scratch.len();
    chunk.padded_mut()[start..end].copy_from_slice(scratch);
    Some(Span::new(start, end))
}
