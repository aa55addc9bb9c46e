//! The engine of `csv_preview`: the first rows of a CSV file, and the types of its columns.
//!
//! # Invariants
//! - The file is read once, to its end; memory is bounded by one record and the size of the
//!   preview.
//! - The preview of any file is small enough to be the result of a task.

mod column_type;

use std::io::Read;
use std::ops::ControlFlow;

use common::csv_preview::{ColumnType, CsvPreview, PreviewColumn};
use csv_input::{Dialect, DialectOptions, HeaderError, InputError, Record, Records, shortened};

use self::column_type::type_of;
use crate::dialect;

/// The maximum number of rows shown.
const MAX_ROWS: usize = 100;
/// The maximum number of columns shown.
const MAX_COLUMNS: usize = 1_000;
/// The maximum length of a value shown, in characters.
const MAX_VALUE: usize = 200;
/// The maximum size of all rows shown, in bytes. Results are stored with their tasks.
const MAX_SHOWN: usize = 256 << 10;

/// Why a preview could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The records cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The header is missing.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The work was interrupted before it was done.
    #[error("interrupted")]
    Interrupted,
}

/// Reads a file to its end. After each row, `progress` is called with the number of bytes read so
/// far.
///
/// # Errors
/// The file has no header or is not CSV, it cannot be read, or `progress` interrupted the work.
pub fn preview(
    input: impl Read,
    options: DialectOptions,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<CsvPreview, PreviewError> {
    let mut records = Records::from_start(input, options, &[])?;
    let dialect = records.dialect();
    let mut preview = match records.next_record()? {
        Some(header) => Preview::of(&header, dialect),
        None => return Err(HeaderError::EmptyFile.into()),
    };
    while let Some(record) = records.next_record()? {
        preview.add(&record);
        if progress(records.position().offset).is_break() {
            return Err(PreviewError::Interrupted);
        }
    }
    Ok(preview.shown)
}

struct Preview {
    shown: CsvPreview,
    /// How many more bytes of rows may be shown; `None` after a row that did not fit.
    room: Option<usize>,
}

impl Preview {
    fn of(header: &Record<'_>, dialect: Dialect) -> Self {
        let column = |index| PreviewColumn {
            name: shortened(header.field(index), MAX_VALUE),
            column_type: ColumnType::Empty,
            value_count: 0,
            empty_count: 0,
        };
        let shown = CsvPreview {
            columns: (0..header.field_count().min(MAX_COLUMNS)).map(column).collect(),
            column_count: header.field_count() as u64,
            rows: Vec::new(),
            row_count: 0,
            irregular_row_count: u64::from(header.unterminated),
            dialect: dialect::found(dialect),
        };
        Self { shown, room: Some(MAX_SHOWN) }
    }

    fn add(&mut self, record: &Record<'_>) {
        let preview = &mut self.shown;
        preview.row_count += 1;
        let is_regular =
            record.field_count() as u64 == preview.column_count && !record.unterminated;
        preview.irregular_row_count += u64::from(!is_regular);
        for (index, column) in preview.columns.iter_mut().enumerate() {
            let value = record.field(index);
            if value.is_empty() {
                column.empty_count += 1;
            } else {
                column.value_count += 1;
                column.column_type = type_of(column.column_type, value);
            }
        }
        if let Some(room) = self.room.filter(|_| preview.rows.len() < MAX_ROWS) {
            let values = 0..record.field_count().min(MAX_COLUMNS);
            let row = values.map(|index| shortened(record.field(index), MAX_VALUE));
            let row: Vec<String> = row.collect();
            self.room = room.checked_sub(row.iter().map(String::len).sum());
            if self.room.is_some() {
                preview.rows.push(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> CsvPreview {
        preview(text.as_bytes(), DialectOptions::default(), |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn columns_have_the_narrowest_type_of_all_their_values() {
        let found = of("name,plays,price,day,at,on,note,none\n\
             a,1,1,2020-02-29,2020-01-01T00:00:00Z,true,2020-02-30,\n\
             b,-2,2.50,2021-01-01,2020-01-01T00:00:00+01:00,False,7,\n\
             c,,3,2022-01-01,2020-01-01T00:00:00.5Z,TRUE,x,\n");
        let types: Vec<_> = found.columns.iter().map(|column| column.column_type).collect();
        assert_eq!(
            types,
            [
                ColumnType::Text,
                ColumnType::Integer,
                ColumnType::Decimal,
                ColumnType::Date,
                ColumnType::Timestamp,
                ColumnType::Boolean,
                ColumnType::Text,
                ColumnType::Empty,
            ]
        );
        let plays = &found.columns[1];
        assert_eq!((plays.value_count, plays.empty_count), (2, 1));
        assert_eq!((found.column_count, found.row_count, found.rows.len()), (8, 3, 3));
        assert_eq!(found.rows[0][..3], ["a", "1", "1"]);
    }

    #[test]
    fn irregular_rows_are_counted_and_shown() {
        let found = of("a,b\n1\n1,2\n1,2,3\n\"open,\n");
        assert_eq!((found.row_count, found.irregular_row_count), (4, 3));
        assert_eq!(found.rows[0], ["1"]);
        assert_eq!(found.rows[2], ["1", "2", "3"]);
        assert_eq!(found.columns[1].empty_count, 2);
    }

    #[test]
    fn the_preview_of_any_file_is_bounded() {
        let many = of(&format!("a\n{}", "1\n".repeat(1_000)));
        assert_eq!((many.rows.len(), many.row_count), (MAX_ROWS, 1_000));
        let long = of(&format!("{}\n{}\n", "é".repeat(300), "x".repeat(10_000)));
        assert_eq!(long.columns[0].name, format!("{}…", "é".repeat(MAX_VALUE)));
        assert_eq!(long.rows[0][0].chars().count(), MAX_VALUE + 1);
        let row = vec!["y".repeat(MAX_VALUE); 3_000].join(",");
        let wide = of(&format!("{row}\n{row}\n{row}\nz\n"));
        assert_eq!((wide.columns.len(), wide.column_count), (MAX_COLUMNS, 3_000));
        // After a row that does not fit, no further rows are shown: the preview is a prefix.
        assert_eq!((wide.rows.len(), wide.row_count), (1, 3));
    }

    #[test]
    fn other_formats_are_refused() {
        let refused = |input: &[u8]| {
            preview(input, DialectOptions::default(), |_| ControlFlow::Continue(())).unwrap_err()
        };
        assert!(matches!(refused(b"\n\n"), PreviewError::Header(HeaderError::EmptyFile)));
        let not_csv = refused(b"PK\x03\x04 and more");
        assert!(matches!(not_csv, PreviewError::Input(InputError::NotCsv(_))));
        let ended = preview(&b"a\n1\n"[..], DialectOptions::default(), |_| ControlFlow::Break(()))
            .unwrap_err();
        assert!(matches!(ended, PreviewError::Interrupted));
    }
}
