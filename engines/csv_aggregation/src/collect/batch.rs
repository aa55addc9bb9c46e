//! Takes regular rows apart where they lie, many at once, and leaves whatever is unusual to others.
//!
//! Each column is read for all rows of a batch before the next one: so each step is a short loop
//! that the processor works on for several rows at the same time.

use csv_structure::{Bounds, PaddedBuffer};

use crate::group::dates::{self, LocalDates};
use crate::group::dictionary::{DictColumn, LocalDict};
use crate::group::entry::{BATCH, Entry};
use crate::group::key::{push_column, write_column};
use crate::group::values::LocalValues;
use crate::read::fields::{ColumnRange, find, strip_quotes, unescape, unquoted};
use crate::read::header::Header;
use crate::read::number::{number, short_number, short_numbers};
use crate::text::{PADDING, Prefixes, Span, Text};

/// As many bytes of a field are copied at once.
const SHORT: usize = 16;

/// Rows that were taken apart together.
pub(crate) struct Batch {
    /// How many fields a row has.
    columns: usize,
    /// The field of the group that is kept apart, if one is.
    dict_column: Option<usize>,
    /// The other fields of the group.
    key: Vec<usize>,
    /// Whether these are put together, even if it is only one; see [`crate::group::key`].
    joins: bool,
    sum: Vec<usize>,
    /// That of the keys' hashes.
    seed: u64,
    rows: Vec<Entry>,
    /// Those of the first row, then those of the next one, and so on.
    values: Vec<i64>,
    /// Whether each row is plain and good.
    good: Vec<bool>,
    /// The fields that start with a quote, by row and column.
    quoted: Vec<(usize, usize)>,
    /// Where the fields of a column stand, and those of each column of a key.
    spans: Vec<Span>,
    prefixes: Prefixes,
    /// The numbers of a column, and which texts are numbers.
    numbers: Vec<i64>,
    are_numbers: Vec<bool>,
    /// Those of the days of a column.
    codes: Vec<u32>,
    key_spans: Vec<Vec<Span>>,
    /// KeyTable of the chunk at hand that are put together from several fields, as many bytes as `used`.
    joined: Vec<u8>,
    used: usize,
    scratch: Vec<u8>,
}

/// Some rows of a chunk, all with as many fields as the header.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) bounds: &'a Bounds,
    /// Which of the fields' bounds is the one before the first row.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Whether no byte of the chunk needs to be escaped in a key of several fields.
    pub(crate) plain_bytes: bool,
}

impl Batch {
    /// For groups of which the last column is dictionary-encoded.
    pub(crate) fn new(header: &Header, dictionary: &DictColumn, seed: u64) -> Self {
        let (key, dict_column) =
            header.group_by.split_at(header.group_by.len() - dictionary.columns());
        Self {
            columns: header.len(),
            dict_column: dict_column.first().copied(),
            key: key.to_vec(),
            joins: key.len() > 1 || matches!(dictionary, DictColumn::Values(_)),
            sum: header.sum.clone(),
            seed,
            rows: Vec::with_capacity(BATCH),
            values: Vec::with_capacity(BATCH * header.sum.len()),
            good: Vec::with_capacity(BATCH),
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

    /// Whether keys are put together.
    pub(crate) fn joins(&self) -> bool {
        self.joins
    }

    /// The keys of the last chunk are needed no more.
    pub(crate) fn start_chunk(&mut self) {
        self.used = 0;
    }

    /// Where the keys of all batches of `chunk` stand.
    pub(crate) fn texts<'a>(&'a self, chunk: &'a PaddedBuffer) -> &'a [u8] {
        if self.joins { &self.joined } else { chunk.padded() }
    }

    /// Takes rows apart. Those that are not plain and good are no part of the batch and are told to
    /// `others`, by their places among the rows.
    pub(crate) fn take(
        &mut self,
        chunk: &mut PaddedBuffer,
        rows: Rows<'_>,
        dict: &mut LocalDict<'_>,
        mut others: impl FnMut(usize),
    ) {
        self.rows.resize(rows.count, Entry::default());
        self.values.resize(rows.count * self.sum.len(), 0);
        self.good.clear();
        self.good.resize(rows.count, true);
        let columns = self.columns;
        self.find_quoted(rows);
        let range = |column| ColumnRange { column, columns, first: rows.first, count: rows.count };
        for index in 0..self.sum.len() {
            let range = range(self.sum[index]);
            let Self { quoted, spans, good, scratch, .. } = self;
            read_column(chunk, rows.bounds, range, quoted, spans, good, scratch);
            self.numbers(index, chunk.padded());
        }
        if let Some(column) = self.dict_column {
            let Self { quoted, spans, good, scratch, .. } = self;
            read_column(chunk, rows.bounds, range(column), quoted, spans, good, scratch);
        }
        match dict {
            LocalDict::None => self.rows.iter_mut().for_each(|row| row.dict_id = 0),
            LocalDict::Dates(dates) => self.dates(chunk.padded(), dates),
            LocalDict::Values(values) => self.value_ids(chunk.padded(), values),
        }
        for (column, spans) in self.key.iter().zip(&mut self.key_spans) {
            let Self { quoted, good, scratch, .. } = self;
            read_column(chunk, rows.bounds, range(*column), quoted, spans, good, scratch);
        }
        if self.joins {
            self.joined_keys(chunk.padded(), rows.plain_bytes);
        } else {
            self.keys(chunk.padded());
        }
        if !all(&self.good) {
            self.leave_out(&mut others);
        }
    }

    /// The rows and their values.
    pub(crate) fn rows(&self) -> (&[Entry], &[i64]) {
        (&self.rows, &self.values)
    }

    fn find_quoted(&mut self, rows: Rows<'_>) {
        let (all, count) = (rows.bounds.quoted(), rows.count * self.columns);
        let before = all.partition_point(|field| (*field as usize) < rows.first);
        let fields = all[before..].iter().map(|field| *field as usize - rows.first);
        let places = fields.take_while(|field| *field < count);
        self.quoted.clear();
        self.quoted.extend(places.map(|field| (field / self.columns, field % self.columns)));
    }

    /// The sum at `index` of each row.
    fn numbers(&mut self, index: usize, data: &[u8]) {
        let Self { prefixes, numbers, are_numbers, spans, good, .. } = self;
        prefixes.read::<false>(data, spans);
        numbers.resize(spans.len(), 0);
        are_numbers.resize(spans.len(), false);
        csv_structure::vectorised(|| short_numbers(prefixes, numbers, are_numbers));
        if !all(are_numbers) {
            let all = spans.iter().zip(&mut *numbers).zip(&*are_numbers).zip(good);
            for (((span, value), _), good) in all.filter(|((_, is_number), _)| !**is_number) {
                match short_number(data, *span).or_else(|| number(span.of(data)).ok()) {
                    Some(number) => *value = number,
                    None => *good = false,
                }
            }
        }
        if self.sum.len() == 1 {
            return self.values.copy_from_slice(numbers);
        }
        let values = self.values.iter_mut().skip(index).step_by(self.sum.len());
        values.zip(numbers).for_each(|(value, number)| *value = *number);
    }

    fn dates(&mut self, data: &[u8], dates: &mut LocalDates<'_>) {
        let Self { prefixes, codes, spans, rows, good, .. } = self;
        prefixes.read::<true>(data, spans);
        codes.resize(spans.len(), 0);
        csv_structure::vectorised(|| dates::codes(prefixes, codes));
        for (((span, code), row), good) in spans.iter().zip(codes).zip(rows).zip(good) {
            match dates.number(*code, || span.of(data)) {
                Some(day) => row.dict_id = day,
                None => *good = false,
            }
        }
    }

    fn value_ids(&mut self, data: &[u8], values: &mut LocalValues<'_>) {
        for (span, row) in self.spans.iter().zip(&mut self.rows) {
            row.dict_id = values.number(data, *span);
        }
    }

    /// KeyTable that are one field.
    fn keys(&mut self, data: &[u8]) {
        let [spans] = &*self.key_spans else { return };
        for (span, row) in spans.iter().zip(&mut self.rows) {
            row.hash = Text::new(data, *span).hash(self.seed);
            row.key = *span;
        }
    }

    /// KeyTable of several fields.
    fn joined_keys(&mut self, data: &[u8], plain_bytes: bool) {
        let bytes: usize = self.key_spans.iter().flatten().map(|span| span.len() + 1).sum();
        // Each byte may be escaped, and a copy may be longer than needed.
        let most = self.used + 2 * bytes + SHORT + PADDING;
        if self.joined.len() < most {
            self.joined.resize(most, 0);
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

    /// Leaves out the rows that are not good.
    fn leave_out(&mut self, others: &mut impl FnMut(usize)) {
        let sums = self.sum.len();
        let mut kept = 0;
        for (at, good) in self.good.iter().enumerate() {
            if !good {
                others(at);
                continue;
            }
            self.rows[kept] = self.rows[at];
            self.values.copy_within(at * sums..(at + 1) * sums, kept * sums);
            kept += 1;
        }
        self.rows.truncate(kept);
        self.values.truncate(kept * sums);
    }

    /// Writes the key of a row that was found good, from its fields, to `key`.
    pub(crate) fn key_of(&self, fields: &csv::ByteRecord, key: &mut Vec<u8>) {
        key.clear();
        if let ([column], false) = (&*self.key, self.joins) {
            return key.extend_from_slice(&fields[*column]);
        }
        for column in &self.key {
            push_column(key, &fields[*column]);
        }
    }

    /// The field of a row that is kept apart.
    pub(crate) fn dict_field<'a>(&self, fields: &'a csv::ByteRecord) -> &'a [u8] {
        self.dict_column.map_or(&[], |column| &fields[column])
    }
}

/// Like [`write_column`] for a field without bytes to escape. `key` has room for [`SHORT`] more bytes.
#[inline(always)]
pub(crate) fn write_plain_column(data: &[u8], span: Span, key: &mut [u8]) -> usize {
    match data[span.start()..].first_chunk::<SHORT>() {
        // A copy of a constant length is no call of `memcpy`.
        Some(field) if span.len() <= SHORT => {
            key[..SHORT].copy_from_slice(field);
            key[span.len()] = 0;
            span.len() + 1
        }
        _ => write_column(span.of(data), key),
    }
}

/// Whether all of these are true. It always looks at each: the compiler tests many at a time then.
#[inline]
fn all(flags: &[bool]) -> bool {
    flags.iter().fold(true, |all, flag| all & flag)
}

/// Finds where the field of a column stands in each row, without its quotes.
fn read_column(
    chunk: &mut PaddedBuffer,
    bounds: &Bounds,
    range: ColumnRange,
    quoted: &[(usize, usize)],
    spans: &mut Vec<Span>,
    good: &mut [bool],
    scratch: &mut Vec<u8>,
) {
    find(chunk.padded(), bounds, range, spans);
    if bounds.strippable {
        return strip_quotes(chunk.padded(), spans);
    }
    for (row, _) in quoted.iter().filter(|(_, column)| *column == range.column) {
        match take_quotes(chunk, spans[*row], scratch) {
            Some(span) => spans[*row] = span,
            None => good[*row] = false,
        }
    }
}

/// What a field in quotes means: its inside, or, where that has quotes too, what is put behind the
/// chunk; `None` where it cannot be read so.
fn take_quotes(chunk: &mut PaddedBuffer, span: Span, scratch: &mut Vec<u8>) -> Option<Span> {
    if let Some(inside) = unquoted(chunk.padded(), span) {
        return Some(inside);
    }
    scratch.clear();
    if !unescape(span.of(chunk.padded()), scratch) {
        return None;
    }
    let start = chunk.append(scratch.len());
    let end = start + scratch.len();
    chunk.padded_mut()[start..end].copy_from_slice(scratch);
    Some(Span::new(start, end))
}
