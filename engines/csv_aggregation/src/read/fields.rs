//! Locates the fields of one column in a chunk.

use csv_structure::{Bound, Bounds};

use crate::text::Span;

/// One column of consecutive rows of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct ColumnRange {
    pub(crate) column: usize,
    /// The number of columns.
    pub(crate) columns: usize,
    /// The index in [`Bounds::fields`] of the bound before the first row.
    pub(crate) first: usize,
    /// The number of rows.
    pub(crate) count: usize,
}

/// Stores the span of the column's field in each row, quotes included, in `spans`.
pub(crate) fn find(data: &[u8], bounds: &Bounds, range: ColumnRange, spans: &mut Vec<Span>) {
    let ColumnRange { column, columns, first, count } = range;
    // From the bound before the field of the first row to the bound after that of the last row.
    let range = first + column..first + (count - 1) * columns + column + 2;
    let bounds_of_rows = &bounds.fields()[range];
    spans.clear();
    // With a stride known at compile time, the compiler unrolls the loop and drops most checks.
    match columns {
        2 => extend_strided::<2>(bounds_of_rows, spans),
        3 => extend_strided::<3>(bounds_of_rows, spans),
        4 => extend_strided::<4>(bounds_of_rows, spans),
        5 => extend_strided::<5>(bounds_of_rows, spans),
        6 => extend_strided::<6>(bounds_of_rows, spans),
        7 => extend_strided::<7>(bounds_of_rows, spans),
        8 => extend_strided::<8>(bounds_of_rows, spans),
        _ => spans.extend(bounds_of_rows.chunks(columns).map(|row| between(row[0], row[1]))),
    }
    if bounds.crs && column + 1 == columns {
        for span in &mut *spans {
            let (start, end) = (span.start(), span.end());
            let cr = start < end && data[end] == b'\n' && data[end - 1] == b'\r';
            *span = Span::new(start, end - usize::from(cr));
        }
    }
}

/// Drops the quotes of all fields of a chunk that is [`Bounds::strippable`].
pub(crate) fn strip_quotes(data: &[u8], quote: u8, spans: &mut [Span]) {
    for span in spans {
        let quotes = usize::from(span.len() >= 2 && data[span.start()] == quote);
        *span = Span::new(span.start() + quotes, span.end() - quotes);
    }
}

/// The contents of a quoted field, if they contain no quotes that would have to be unescaped.
#[inline]
pub(crate) fn unquoted(data: &[u8], quote: u8, span: Span) -> Option<Span> {
    let (start, end) = (span.start(), span.end());
    let contents =
        (span.len() >= 2 && data[end - 1] == quote).then(|| Span::new(start + 1, end - 1))?;
    memchr::memchr(quote, contents.of(data)).is_none().then_some(contents)
}

/// The field between two bounds.
#[inline(always)]
fn between(start: Bound, end: Bound) -> Span {
    Span::new(start.start(), end.end())
}

/// Appends the span between the first two of every `COLUMNS` bounds.
#[inline]
fn extend_strided<const COLUMNS: usize>(bounds: &[Bound], spans: &mut Vec<Span>) {
    let (rows, last) = bounds.as_chunks::<COLUMNS>();
    spans.extend(rows.iter().map(|row| between(row[0], row[1])));
    if let [start, end, ..] = last {
        spans.push(between(*start, *end));
    }
}

/// Appends the unescaped contents of a quoted field to `output`. Returns false if anything follows
/// the closing quote.
pub(crate) fn unescape(field: &[u8], quote: u8, output: &mut Vec<u8>) -> bool {
    let contents = field.strip_prefix(&[quote]).and_then(|field| field.strip_suffix(&[quote]));
    let Some(mut rest) = contents else { return false };
    while let Some(at) = memchr::memchr(quote, rest) {
        if rest.get(at + 1) != Some(&quote) {
            return false;
        }
        output.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    output.extend_from_slice(rest);
    true
}
