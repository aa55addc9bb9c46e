#![doc = include_str!("../README.md")]

mod bad_rows;
mod column_names;
mod dialect;
mod encoding;
mod error;
mod excerpt;
mod header;
mod records;
mod start;

pub use bad_rows::{BadRows, MAX_LISTED_ROWS, RowError};
pub use dialect::{Delimiter, Dialect, DialectOptions, SAMPLE_BYTES, announced_delimiter};
pub use encoding::{Encoding, Text};
pub use error::InputError;
pub use excerpt::{NOT_UTF8, name_excerpt, shortened, value_excerpt};
pub use header::{Header, HeaderError};
pub use records::{MAX_FIELDS, MAX_RECORD, Position, Record, Records};
pub use start::{BOM, Compression, START_BYTES, check_file, check_start, compression};
