//! The tricks of the inner loops, each beside the plain code that it replaces. For `benches/speed.rs`
//! only, which prints how long both take.

use std::collections::HashMap;
use std::io::Write;

use crate::csv_line::{push_field, push_number};
use crate::group::dates::{self, LocalDates, SharedDates};
use crate::group::entry::{BATCH, Entry};
use crate::group::groups::Groups;
use crate::group::key::{push_column, write_column, write_plain_column};
use crate::group::key_table::KeyTable;
use crate::group::sum_table::SumTable;
use crate::radix::sort_by_upper_half;
use crate::read::date::is_date;
use crate::read::number::{number, short_numbers};
use crate::text::{PADDING, Prefixes, Span, Text};

const SEED: u64 = 7;

/// The same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// The fields of a column, as they lie in a chunk.
struct Column {
    data: Vec<u8>,
    spans: Vec<Span>,
}

impl Column {
    fn new(fields: impl Iterator<Item = String>) -> Self {
        let (mut data, mut spans) = (Vec::new(), Vec::new());
        for field in fields {
            let start = data.len();
            data.extend_from_slice(field.as_bytes());
            spans.push(Span::new(start, data.len()));
            data.push(b',');
        }
        data.extend_from_slice(&[0; PADDING]);
        Self { data, spans }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| span.of(&self.data))
    }
}

/// Numbers of one to three digits: eight bytes at a time in vectors, or byte by byte.
pub struct Numbers {
    column: Column,
}

impl Numbers {
    /// `rows` of them.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        let mut random = Random(1);
        Self { column: Column::new((0..rows).map(|_| random.below(1_000).to_string())) }
    }

    /// Their sum, read in vectors.
    #[must_use]
    pub fn in_vectors(&self) -> i64 {
        let mut prefixes = Prefixes::default();
        let (mut numbers, mut valid) = (vec![0; BATCH], vec![false; BATCH]);
        let mut sum = 0;
        for spans in self.column.spans.chunks(BATCH) {
            prefixes.read::<false>(&self.column.data, spans);
            csv_structure::vectorised(|| short_numbers(&prefixes, &mut numbers, &mut valid));
            sum += numbers[..spans.len()].iter().sum::<i64>();
        }
        sum
    }

    /// Their sum, read byte by byte.
    #[must_use]
    pub fn by_bytes(&self) -> i64 {
        self.column.fields().map(|field| number(field).unwrap_or_default()).sum()
    }
}

/// Dates of one year: by a code and a table, or parsed and looked up in a hash map.
pub struct Dates {
    column: Column,
}

impl Dates {
    /// `rows` of them.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        let mut random = Random(2);
        let mut date = |_| format!("2024-{:02}-{:02}", 1 + random.below(12), 1 + random.below(28));
        Self { column: Column::new((0..rows).map(&mut date)) }
    }

    /// The sum of their ids, by codes.
    #[must_use]
    pub fn by_codes(&self) -> u64 {
        let shared = SharedDates::default();
        let mut local = LocalDates::new(&shared);
        let (mut prefixes, mut codes) = (Prefixes::default(), vec![0; BATCH]);
        let mut sum = 0;
        for spans in self.column.spans.chunks(BATCH) {
            prefixes.read::<true>(&self.column.data, spans);
            csv_structure::vectorised(|| dates::codes(&prefixes, &mut codes));
            for (span, code) in spans.iter().zip(&codes) {
                let id = local.number(*code, || span.of(&self.column.data));
                sum += u64::from(id.unwrap_or_default());
            }
        }
        sum
    }

    /// The sum of their ids, by a hash map of texts.
    #[must_use]
    pub fn by_hash_map(&self) -> u64 {
        let mut ids: HashMap<&[u8], u32> = HashMap::new();
        let mut sum = 0;
        for field in self.column.fields() {
            let next = ids.len() as u32;
            let id = match ids.get(field) {
                Some(id) => *id,
                None if is_date(field) => *ids.entry(field).or_insert(next),
                None => 0,
            };
            sum += u64::from(id);
        }
        sum
    }
}

/// Rows of keys and dictionary ids that get groups.
pub struct Rows {
    column: Column,
    rows: Vec<Entry>,
    /// A value for each row.
    values: Vec<i64>,
    ids: usize,
}

impl Rows {
    /// So many rows, of so many keys with so many ids each.
    #[must_use]
    pub fn new(rows: usize, keys: u64, ids: usize) -> Self {
        let mut random = Random(3);
        let column = Column::new((0..rows).map(|_| format!("Song number {}", random.below(keys))));
        let entry = |span: &Span| {
            let hash = Text::new(&column.data, *span).hash(SEED);
            Entry { hash, key: *span, dict_id: random.below(ids as u64) as u32 }
        };
        let rows: Vec<_> = column.spans.iter().map(entry).collect();
        let values = (0..rows.len() as i64).map(|value| value % 1_000).collect();
        Self { column, rows, values, ids }
    }

    /// The number of keys, with a batch of rows at a time: each step for all of them.
    #[must_use]
    pub fn in_batches(&self) -> usize {
        let mut groups = Groups::new(1, self.ids > 1, SEED);
        for (rows, values) in self.rows.chunks(BATCH).zip(self.values.chunks(BATCH)) {
            groups.add_all(&self.column.data, rows, self.ids, values);
        }
        groups.keys.len()
    }

    /// The number of keys, row by row.
    #[must_use]
    pub fn row_by_row(&self) -> usize {
        let mut groups = Groups::new(1, self.ids > 1, SEED);
        for (row, value) in self.rows.iter().zip(&self.values) {
            let key = row.key.of(&self.column.data);
            groups.add(key, row.dict_id, self.ids, std::slice::from_ref(value));
        }
        groups.keys.len()
    }

    /// The number of groups, where the key has all columns and nothing is dictionary-encoded.
    #[must_use]
    pub fn inline(&self) -> usize {
        let mut groups = Groups::new(1, false, SEED);
        let mut keys = Vec::new();
        for (rows, values) in self.rows.chunks(BATCH).zip(self.values.chunks(BATCH)) {
            keys.clear();
            let mut entries = Vec::with_capacity(BATCH);
            for row in rows {
                let start = keys.len();
                push_column(&mut keys, row.key.of(&self.column.data));
                push_column(&mut keys, &dates::text(row.dict_id));
                entries.push(Span::new(start, keys.len()));
            }
            keys.extend_from_slice(&[0; PADDING]);
            let entry = |span: Span| Entry {
                hash: Text::new(&keys, span).hash(SEED),
                key: span,
                dict_id: 0,
            };
            let entries: Vec<_> = entries.into_iter().map(entry).collect();
            groups.add_all(&keys, &entries, 1, values);
        }
        groups.keys.len()
    }

    /// The number of keys, in a hash map of the standard library.
    #[must_use]
    pub fn in_hash_map(&self) -> usize {
        let mut groups: HashMap<&[u8], Vec<i64>> = HashMap::new();
        for (row, value) in self.rows.iter().zip(&self.values) {
            let sums = groups.entry(row.key.of(&self.column.data)).or_default();
            let id = row.dict_id as usize;
            if sums.len() <= id {
                sums.resize(self.ids, 0);
            }
            sums[id] += value;
        }
        groups.len()
    }

    /// The memory of the sums in bytes, in words of four bytes.
    #[must_use]
    pub fn small_words(&self) -> usize {
        self.sum_table(SumTable::<i32>::new(1, true))
    }

    /// The memory of the sums in bytes, in words of eight bytes.
    #[must_use]
    pub fn large_words(&self) -> usize {
        self.sum_table(SumTable::<i64>::new(1, true))
    }

    fn sum_table<W: crate::words::Word>(&self, mut table: SumTable<W>) -> usize {
        let mut keys = KeyTable::new(SEED);
        let numbers = self.column.fields().map(|key| keys.number(key) as u32);
        let numbers: Vec<_> = numbers.collect();
        let batches = self.rows.chunks(BATCH).zip(numbers.chunks(BATCH));
        for ((rows, keys), values) in batches.zip(self.values.chunks(BATCH)) {
            // No sum of these is too large.
            let _ = table.add_all(rows, keys, self.ids, values);
        }
        table.memory()
    }
}

/// Sums in the order of their dictionary ranks.
pub struct Ranks {
    words: Vec<u64>,
    limit: u32,
}

impl Ranks {
    /// So many ranks in no order.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let mut random = Random(4);
        let word = |at: u32| random.below(count.into()) << 32 | u64::from(at);
        Self { words: (0..count).map(word).collect(), limit: count }
    }

    /// Sorted by their digits.
    #[must_use]
    pub fn by_digits(&self) -> u64 {
        let mut words = self.words.clone();
        sort_by_upper_half(&mut words, &mut Vec::new(), self.limit);
        words[0]
    }

    /// Sorted by comparisons.
    #[must_use]
    pub fn by_comparison(&self) -> u64 {
        let mut words = self.words.clone();
        words.sort_unstable();
        words[0]
    }
}

/// Lines of the result: a title and a sum each.
pub struct Lines {
    column: Column,
}

impl Lines {
    /// So many lines.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { column: Column::new((0..rows).map(|row| format!("Song number {row}"))) }
    }

    /// Their size, written with whole words.
    #[must_use]
    pub fn by_words(&self) -> usize {
        let mut lines = Vec::new();
        for (number, field) in (0..).step_by(7).zip(self.column.fields()) {
            push_field(&mut lines, field);
            lines.push(b',');
            push_number(&mut lines, number);
            lines.push(b'\n');
        }
        lines.len()
    }

    /// Their size, written with bytes and the standard library's formatting.
    #[must_use]
    pub fn by_bytes(&self) -> usize {
        let mut lines = Vec::new();
        for (number, field) in (0_i64..).step_by(7).zip(self.column.fields()) {
            if field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
                push_field(&mut lines, field);
            } else {
                lines.extend_from_slice(field);
            }
            // Writing to memory cannot fail.
            let _ = writeln!(lines, ",{number}");
        }
        lines.len()
    }
}

/// Keys of two columns, joined.
pub struct JoinedKeys {
    column: Column,
}

impl JoinedKeys {
    /// So many columns.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        let mut random = Random(5);
        Self { column: Column::new((0..rows).map(|_| format!("City {}", random.below(200)))) }
    }

    /// The length of all keys, of which short columns are copied by a fixed length.
    #[must_use]
    pub fn by_fixed_length(&self) -> usize {
        let mut keys = vec![0; self.column.data.len() * 2 + 32];
        let mut at = 0;
        for span in &self.column.spans {
            at += write_plain_column(&self.column.data, *span, &mut keys[at..]);
        }
        at
    }

    /// The length of all keys, of which each column is looked through for bytes to escape.
    #[must_use]
    pub fn by_search(&self) -> usize {
        let mut keys = vec![0; self.column.data.len() * 2 + 32];
        let mut at = 0;
        for field in self.column.fields() {
            at += write_column(field, &mut keys[at..]);
        }
        at
    }
}
