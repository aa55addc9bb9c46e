//! Takes regular rows apart where they lie, many at once, and leaves whatever is unusual to others.
//!
//! Each column is read for all rows of a batch before the next one: so each step is a short loop
//! that the processor works on for several rows at the same time.

use csv_structure::{Bound, Padded};

use super::Options;
use super::dates::Dates;
use super::groups::{BATCH, Entry};
use super::header::Header;
use super::key::write_column;
use super::number::{number, short_number};
use super::text::{PADDING, Text};

/// As many bytes of a field are copied at once.
const SHORT: usize = 16;

/// Rows that were taken apart together.
pub(super) struct Batch {
    /// How many fields a row has.
    columns: usize,
    /// The field that is a date, if one is checked.
    date: Option<usize>,
    /// The other fields of the group.
    key: Vec<usize>,
    sum: Vec<usize>,
    /// That of the keys' hashes.
    seed: u64,
    rows: Vec<Entry>,
    /// Those of the first row, then those of the next one, and so on.
    values: Vec<i64>,
    /// Whether each row is plain and good.
    good: Vec<bool>,
    /// Keys of the chunk at hand that are put together from several fields, as many bytes as `used`.
    joined: Vec<u8>,
    used: usize,
    scratch: Vec<u8>,
    /// At least as large as any value so far, without its sign.
    pub(super) largest: u64,
}

/// The rows of a chunk, all with as many fields as the header.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The bounds of their fields, from the one before the first field on.
    pub(super) bounds: &'a [Bound],
    /// Whether there is a `\r` in the chunk.
    pub(super) crs: bool,
    /// Whether no byte of the chunk needs to be escaped in a key of several fields.
    pub(super) plain_bytes: bool,
}

impl Batch {
    pub(super) fn new(header: &Header, options: &Options, seed: u64) -> Self {
        let date = header.group_by.get(1).copied().filter(|_| options.check_dates);
        let key = if date.is_some() { &header.group_by[..1] } else { &header.group_by };
        Self {
            columns: header.len(),
            date,
            key: key.to_vec(),
            sum: header.sum.clone(),
            seed,
            rows: vec![Entry::default(); BATCH],
            values: vec![0; BATCH * header.sum.len()],
            good: vec![true; BATCH],
            joined: Vec::new(),
            used: 0,
            scratch: Vec::new(),
            largest: 0,
        }
    }

    /// Whether keys are put together from several fields.
    pub(super) fn joins(&self) -> bool {
        self.key.len() > 1
    }

    /// The keys of the last chunk are needed no more.
    pub(super) fn start_chunk(&mut self) {
        self.used = 0;
    }

    /// Where the keys of all batches of `chunk` stand.
    pub(super) fn texts<'a>(&'a self, chunk: &'a Padded) -> &'a [u8] {
        if self.joins() { &self.joined } else { chunk.padded() }
    }

    /// How many rows behind the first one of these bounds are regular, up to as many as a batch has.
    pub(super) fn regular(&self, bounds: &[Bound]) -> usize {
        // A row of one field could be a blank line.
        if self.columns == 1 {
            return 0;
        }
        let is_regular = |row: &&[Bound]| {
            let inner = row[..row.len() - 1].iter().any(|bound| bound.ends_record());
            !inner && row[row.len() - 1].ends_record()
        };
        bounds[1..].chunks_exact(self.columns).take(BATCH).take_while(is_regular).count()
    }

    /// Takes rows apart. Those that are not plain and good are no part of the batch and are told to
    /// `others`, by their places among the rows. With `QUOTES` there are quotes in the chunk.
    pub(super) fn take<const QUOTES: bool>(
        &mut self,
        chunk: &mut Padded,
        rows: Rows<'_>,
        dates: &mut Dates<'_>,
        mut others: impl FnMut(usize),
    ) {
        let count = rows.bounds.len() / self.columns;
        self.rows.resize(count, Entry::default());
        self.values.resize(count * self.sum.len(), 0);
        self.good.clear();
        self.good.resize(count, true);
        for index in 0..self.sum.len() {
            self.numbers::<QUOTES>(index, chunk.padded(), rows);
        }
        if let Some(date) = self.date {
            self.dates::<QUOTES>(date, chunk.padded(), rows, dates);
        }
        match *self.key {
            [column] => self.keys::<QUOTES>(column, chunk, rows),
            _ => self.joined_keys::<QUOTES>(chunk.padded(), rows),
        }
        if self.good.iter().any(|good| !good) {
            self.leave_out(&mut others);
        }
    }

    /// The rows and their values.
    pub(super) fn rows(&self) -> (&[Entry], &[i64]) {
        (&self.rows, &self.values)
    }

    fn numbers<const QUOTES: bool>(&mut self, index: usize, data: &[u8], rows: Rows<'_>) {
        let fields = fields::<QUOTES>(data, rows, self.sum[index], self.columns);
        let values = self.values.iter_mut().skip(index).step_by(self.sum.len());
        let mut largest = self.largest;
        for ((field, value), good) in fields.zip(values).zip(&mut self.good) {
            let found = field.and_then(|field| {
                short_number(data, field).or_else(|| number(&data[field.0..field.1]).ok())
            });
            *good &= found.is_some();
            *value = found.unwrap_or_default();
            largest |= value.unsigned_abs();
        }
        self.largest = largest;
    }

    fn dates<const QUOTES: bool>(
        &mut self,
        column: usize,
        data: &[u8],
        rows: Rows<'_>,
        dates: &mut Dates<'_>,
    ) {
        let fields = fields::<QUOTES>(data, rows, column, self.columns);
        for ((field, row), good) in fields.zip(&mut self.rows).zip(&mut self.good) {
            let day = field.and_then(|field| dates.number(data, field));
            *good &= day.is_some();
            row.day = day.unwrap_or_default();
        }
    }

    /// Keys that are one field.
    fn keys<const QUOTES: bool>(&mut self, column: usize, chunk: &mut Padded, rows: Rows<'_>) {
        let mut quotes_inside = false;
        {
            let data = chunk.padded();
            for (field, row) in
                fields::<QUOTES>(data, rows, column, self.columns).zip(&mut self.rows)
            {
                let (start, end) = field.unwrap_or_default();
                quotes_inside |= field.is_none();
                row.hash = Text::new(data, start, end).hash(self.seed);
                (row.start, row.end) = (start as u32, end as u32);
            }
        }
        if QUOTES && quotes_inside {
            self.keys_with_quotes(column, chunk, rows);
        }
    }

    /// Those of the keys that have quotes inside: what they mean is put behind the chunk.
    fn keys_with_quotes(&mut self, column: usize, chunk: &mut Padded, rows: Rows<'_>) {
        for at in 0..self.rows.len() {
            let bounds = &rows.bounds[at * self.columns + column..];
            let (from, to) = field(chunk.padded(), bounds[0], bounds[1], rows.crs);
            if plain(chunk.padded(), from, to).is_some() {
                continue;
            }
            self.scratch.clear();
            self.good[at] &= unescape(&chunk.padded()[from..to], &mut self.scratch);
            let start = chunk.append(self.scratch.len());
            let end = start + self.scratch.len();
            let data = chunk.padded_mut();
            data[start..end].copy_from_slice(&self.scratch);
            let row = &mut self.rows[at];
            row.hash = Text::new(data, start, end).hash(self.seed);
            (row.start, row.end) = (start as u32, end as u32);
        }
    }

    /// Keys of several fields.
    fn joined_keys<const QUOTES: bool>(&mut self, data: &[u8], rows: Rows<'_>) {
        let (Some(first), Some(last)) = (rows.bounds.first(), rows.bounds.last()) else { return };
        // Each byte may be escaped, each field is ended, and a copy may be longer than needed.
        let bytes = last.start() - first.start() + rows.bounds.len();
        let most = self.used + 2 * bytes * self.key.len() + SHORT + PADDING;
        if self.joined.len() < most {
            self.joined.resize(most, 0);
        }
        let (joined, mut at) = (&mut *self.joined, self.used);
        for (index, row) in self.rows.iter_mut().enumerate() {
            let start = at;
            for &column in &self.key {
                let bounds = &rows.bounds[index * self.columns + column..];
                let (mut from, mut to) = field(data, bounds[0], bounds[1], rows.crs);
                let mut source = data;
                if QUOTES {
                    match plain(data, from, to) {
                        Some(plain) => (from, to) = plain,
                        None => {
                            self.scratch.clear();
                            self.good[index] &= unescape(&data[from..to], &mut self.scratch);
                            (source, from, to) = (&self.scratch, 0, self.scratch.len());
                        }
                    }
                }
                at += match source[from..].first_chunk::<SHORT>() {
                    // A copy of a length that is known beforehand is no call of `memcpy`.
                    Some(field) if rows.plain_bytes && to - from <= SHORT => {
                        joined[at..at + SHORT].copy_from_slice(field);
                        joined[at + to - from] = 0;
                        to - from + 1
                    }
                    _ => write_column(&source[from..to], &mut joined[at..]),
                };
            }
            row.hash = Text::new(joined, start, at).hash(self.seed);
            (row.start, row.end, row.day) = (start as u32, at as u32, 0);
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

    /// The key and the day of a row that was found good, from its fields; `key` is overwritten.
    pub(super) fn key_of(
        &mut self,
        fields: &csv::ByteRecord,
        values: &[i64],
        dates: &mut Dates<'_>,
        key: &mut Vec<u8>,
    ) -> u32 {
        for value in values {
            self.largest |= value.unsigned_abs();
        }
        key.clear();
        match *self.key {
            [column] => key.extend_from_slice(&fields[column]),
            _ => {
                for column in &self.key {
                    let (start, field) = (key.len(), &fields[*column]);
                    key.resize(start + 2 * field.len() + 1, 0);
                    let length = write_column(field, &mut key[start..]);
                    key.truncate(start + length);
                }
            }
        }
        self.date.and_then(|column| dates.number_of(&fields[column])).unwrap_or_default()
    }
}

/// Where the field of a column stands in each row, without its quotes; `None` where there are quotes
/// inside.
#[inline(always)]
fn fields<'a, const QUOTES: bool>(
    data: &'a [u8],
    rows: Rows<'a>,
    column: usize,
    columns: usize,
) -> impl Iterator<Item = Option<(usize, usize)>> + 'a {
    let crs = rows.crs && column + 1 == columns;
    rows.bounds[column..].windows(2).step_by(columns).map(move |bounds| {
        let (from, to) = field(data, bounds[0], bounds[1], crs);
        if QUOTES { plain(data, from, to) } else { Some((from, to)) }
    })
}

/// Where the field between two bounds stands. With `crs` it may end with the `\r` of a line end.
#[inline(always)]
fn field(data: &[u8], before: Bound, behind: Bound, crs: bool) -> (usize, usize) {
    let (from, to) = (before.start(), behind.end());
    let cr = crs && from < to && data[to] == b'\n' && data[to - 1] == b'\r';
    (from, to - usize::from(cr))
}

/// The field without its quotes; `None` where there are quotes inside.
#[inline(always)]
fn plain(data: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
    if data[from] != b'"' || from == to {
        return Some((from, to));
    }
    let inner = data[from..to].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    memchr::memchr(b'"', inner).is_none().then_some((from + 1, to - 1))
}

/// Appends what a field in quotes means to `output`; false where anything follows its closing quote.
fn unescape(field: &[u8], output: &mut Vec<u8>) -> bool {
    let inner = field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\""));
    let Some(mut rest) = inner else { return false };
    while let Some(at) = memchr::memchr(b'"', rest) {
        if rest.get(at + 1) != Some(&b'"') {
            return false;
        }
        output.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    output.extend_from_slice(rest);
    true
}
