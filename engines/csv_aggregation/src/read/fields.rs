//! Where the fields of a column stand in a chunk.

use csv_structure::{Bound, Bounds};

use crate::text::Span;

/// A column of some rows of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct ColumnRange {
    pub(crate) column: usize,
    /// How many columns there are.
    pub(crate) columns: usize,
    /// Which of the fields' bounds is the one before the first row.
    pub(crate) first: usize,
    /// How many rows there are.
    pub(crate) count: usize,
}

/// Finds where the field of a column stands in each row, with its quotes.
pub(crate) fn find(data: &[u8], bounds: &Bounds, range: ColumnRange, spans: &mut Vec<Span>) {
    let ColumnRange { column, columns, first, count } = range;
    // The bounds around the field of the first row up to those around that of the last one.
    let around = first + column..first + (count - 1) * columns + column + 2;
    let around = &bounds.fields()[around];
    spans.clear();
    // The compiler leaves out most of a loop over rows whose length it knows.
    match columns {
        2 => spread::<2>(around, spans),
        3 => spread::<3>(around, spans),
        4 => spread::<4>(around, spans),
        5 => spread::<5>(around, spans),
        6 => spread::<6>(around, spans),
        7 => spread::<7>(around, spans),
        8 => spread::<8>(around, spans),
        _ => spans.extend(around.chunks(columns).map(|around| between(around[0], around[1]))),
    }
    if bounds.crs && column + 1 == columns {
        for span in &mut *spans {
            let (start, end) = (span.start(), span.end());
            let cr = start < end && data[end] == b'\n' && data[end - 1] == b'\r';
            *span = Span::new(start, end - usize::from(cr));
        }
    }
}

/// A quoted field without its quotes, if there are no others in it.
#[inline]
pub(crate) fn unquoted(data: &[u8], span: Span) -> Option<Span> {
    let (start, end) = (span.start(), span.end());
    let inside =
        (span.len() >= 2 && data[end - 1] == b'"').then(|| Span::new(start + 1, end - 1))?;
    memchr::memchr(b'"', inside.of(data)).is_none().then_some(inside)
}

/// The field between two bounds.
#[inline(always)]
fn between(before: Bound, behind: Bound) -> Span {
    Span::new(before.start(), behind.end())
}

/// The fields of rows with so many columns, of which the bounds of the first one end with the row.
#[inline]
fn spread<const COLUMNS: usize>(around: &[Bound], spans: &mut Vec<Span>) {
    let (rows, last) = around.as_chunks::<COLUMNS>();
    spans.extend(rows.iter().map(|around| between(around[0], around[1])));
    if let [before, behind, ..] = last {
        spans.push(between(*before, *behind));
    }
}

/// Appends what a field in quotes means to `output`; false where anything follows its closing quote.
pub(crate) fn unescape(field: &[u8], output: &mut Vec<u8>) -> bool {
    let inside = field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\""));
    let Some(mut rest) = inside else { return false };
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
