//! Takes regular rows apart where they lie, and gives up on whatever is unusual.

use csv_structure::End;

use super::Options;
use super::groups::Groups;
use super::header::Header;
use super::key::push_column;
use super::number::{number, short_number};

/// As many bytes of a field are copied at once.
const SHORT: usize = 16;

/// What is needed of a row, and where it stands.
pub(super) struct QuickRows {
    /// How many fields a row has.
    columns: usize,
    /// The field that is a date, if one is checked.
    date: Option<usize>,
    /// The other fields of the group.
    key: Vec<usize>,
    sum: Vec<usize>,
    /// Whether no byte of the chunk at hand needs to be escaped in a key of several fields.
    plain_bytes: bool,
    /// Of the row at hand: the key where it is made of several fields.
    joined: Vec<u8>,
    /// At least as large as any value so far, without its sign.
    pub(super) largest: u64,
}

/// A regular row: where it starts in the padded bytes, and where its fields end.
#[derive(Clone, Copy)]
pub(super) struct QuickRow<'a> {
    pub(super) data: &'a [u8],
    pub(super) start: usize,
    pub(super) ends: &'a [End],
}

impl QuickRow<'_> {
    /// Where the plain field `at` stands, of so many; the last one ends at `last`.
    #[inline(always)]
    fn field<const QUOTES: bool>(
        self,
        at: usize,
        columns: usize,
        last: usize,
    ) -> Option<(usize, usize)> {
        let from = at.checked_sub(1).map_or(self.start, |before| self.ends[before].at() + 1);
        let to = if at + 1 == columns { last } else { self.ends[at].at() };
        if QUOTES { plain(self.data, from, to) } else { Some((from, to)) }
    }
}

impl QuickRows {
    pub(super) fn new(header: &Header, options: &Options) -> Self {
        let date = header.group_by.get(1).copied().filter(|_| options.check_dates);
        let key = if date.is_some() { &header.group_by[..1] } else { &header.group_by };
        Self {
            columns: header.len(),
            date,
            key: key.to_vec(),
            sum: header.sum.clone(),
            plain_bytes: false,
            joined: Vec::new(),
            largest: 0,
        }
    }

    /// The rows of this chunk come next.
    pub(super) fn start(&mut self, chunk: &[u8]) {
        self.plain_bytes = self.key.len() > 1 && memchr::memchr2(0, 1, chunk).is_none();
    }

    /// Adds the row to the groups, or lets it wait there. False, and nothing is done, where it is no
    /// plain good row: it may be good or bad, and is to be read as any record.
    #[inline]
    pub(super) fn add<const QUOTES: bool>(
        &mut self,
        row: QuickRow<'_>,
        groups: &mut Groups,
    ) -> bool {
        self.add_or_none::<QUOTES>(row, groups).is_some()
    }

    #[inline]
    fn add_or_none<const QUOTES: bool>(
        &mut self,
        row: QuickRow<'_>,
        groups: &mut Groups,
    ) -> Option<()> {
        let data = row.data;
        let (&last, others) = row.ends.split_last()?;
        if others.iter().any(|end| end.ends_record()) || !last.ends_record() {
            return None;
        }
        let last = last.at();
        let cr = data[last] == b'\n' && last > row.start && data[last - 1] == b'\r';
        let last = last - usize::from(cr);
        if last == row.start {
            return None;
        }
        let columns = self.columns;
        let field = |at: usize| row.field::<QUOTES>(at, columns, last);
        let mut largest = self.largest;
        for (at, value) in self.sum.iter().zip(groups.next_values()) {
            let (from, to) = field(*at)?;
            let word = data.get(from..)?.first_chunk()?;
            *value = match short_number(word, to - from) {
                Some(value) => value,
                None => number(&data[from..to]).ok()?,
            };
            largest |= value.unsigned_abs();
        }
        let day = match self.date {
            Some(at) => {
                let (from, to) = field(at)?;
                groups.dates.number(&data[from..to])?
            }
            None => 0,
        };
        match *self.key {
            [at] => groups.add_later(data, field(at)?, day),
            _ => {
                let join = |key: &mut Vec<u8>| {
                    for at in &self.key {
                        let (from, to) = field(*at)?;
                        self.join(key, data, (from, to));
                    }
                    Some(())
                };
                groups.add_joined_later(join, day)?;
            }
        }
        self.largest = largest;
        Some(())
    }

    /// Appends one of several fields to the key.
    #[inline(always)]
    fn join(&self, key: &mut Vec<u8>, data: &[u8], (from, to): (usize, usize)) {
        let length = to - from;
        // A copy of a length that is known beforehand is no call of `memcpy`.
        match data[from..].first_chunk::<SHORT>() {
            Some(field) if self.plain_bytes && length <= SHORT => {
                let end = key.len() + length;
                key.extend_from_slice(field);
                key.truncate(end);
                key.push(0);
            }
            _ => push_column(key, &data[from..to]),
        }
    }

    /// Adds a row that was found good, from its fields.
    pub(super) fn add_checked(
        &mut self,
        fields: &csv::ByteRecord,
        values: &[i64],
        groups: &mut Groups,
    ) {
        for value in values {
            self.largest |= value.unsigned_abs();
        }
        let day = self.date.and_then(|at| groups.dates.number(&fields[at])).unwrap_or_default();
        if let [at] = *self.key {
            return groups.add(&fields[at], day, values);
        }
        self.joined.clear();
        for at in &self.key {
            push_column(&mut self.joined, &fields[*at]);
        }
        groups.add(&self.joined, day, values);
    }
}

/// The field without its quotes; `None` where there are quotes inside.
#[inline]
fn plain(data: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
    if data[from] != b'"' || from == to {
        return Some((from, to));
    }
    let inner = data[from..to].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    memchr::memchr(b'"', inner).is_none().then_some((from + 1, to - 1))
}
