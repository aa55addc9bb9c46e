//! How the fields of a file are separated: the delimiters that are understood, the line `sep=;` by
//! which spreadsheet programs announce theirs, and the detection from the first rows.

use std::fmt;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::column_names::matching;
use crate::encoding::Encoding;
use crate::start::BOM;

/// How many bytes at the start of a file are examined to detect its delimiter.
pub const SAMPLE_BYTES: usize = 64 << 10;

/// How many records of the sample are examined.
const SAMPLE_RECORDS: usize = 50;
/// How many of a thousand rows must have as many fields as the header, unless the header has needed
/// columns.
const REGULAR: usize = 800;

/// The byte that separates the fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Delimiter {
    /// `,`
    #[default]
    Comma,
    /// `;`, the choice of spreadsheets where the comma separates decimals.
    Semicolon,
    /// A tab.
    Tab,
    /// `|`
    Pipe,
}

impl Delimiter {
    /// All of them, the most frequent one first.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    /// The byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }

    /// Its name, which is what parameters of tasks take besides the character.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Semicolon => "semicolon",
            Self::Tab => "tab",
            Self::Pipe => "pipe",
        }
    }

    /// The delimiter that is this byte.
    #[must_use]
    pub fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|delimiter| delimiter.byte() == byte)
    }
}

/// For messages, such as "separated by commas".
impl fmt::Display for Delimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Comma => "commas",
            Self::Semicolon => "semicolons",
            Self::Tab => "tabs",
            Self::Pipe => "vertical bars",
        })
    }
}

/// What a file is known to look like. All bytes are ASCII and differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The byte that separates fields.
    pub delimiter: Delimiter,
    /// The encoding of the file. Parsers see its text in UTF-8.
    pub encoding: Encoding,
    /// The byte that encloses a quoted field. Doubled, it is part of the field.
    pub quote: u8,
    /// The byte within quotes after which the next byte is part of the field, whatever it is.
    pub escape: Option<u8>,
    /// The byte at the start of lines that are no records.
    pub comment: Option<u8>,
}

impl Default for Dialect {
    fn default() -> Self {
        DialectOptions::default().with(Delimiter::default())
    }
}

impl Dialect {
    /// A parser for this dialect.
    pub(crate) fn parser(self) -> Reader {
        ReaderBuilder::new()
            .delimiter(self.delimiter.byte())
            .quote(self.quote)
            .escape(self.escape)
            .comment(self.comment)
            .build()
    }
}

/// What is said about the format of a file; the rest is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DialectOptions {
    /// The byte that separates fields; detected if absent.
    pub delimiter: Option<Delimiter>,
    /// The encoding of a file without a byte order mark; UTF-8 if absent.
    pub encoding: Option<Encoding>,
    /// The byte that encloses quoted fields; `"` if absent.
    pub quote: Option<u8>,
    /// The byte that makes the next one part of a quoted field; none if absent.
    pub escape: Option<u8>,
    /// The byte at the start of comments; there are none if absent.
    pub comment: Option<u8>,
}

impl DialectOptions {
    /// The dialect with this delimiter.
    #[must_use]
    pub fn with(self, delimiter: Delimiter) -> Dialect {
        Dialect {
            delimiter,
            encoding: self.encoding.unwrap_or_default(),
            quote: self.quote.unwrap_or(b'"'),
            escape: self.escape,
            comment: self.comment,
        }
    }

    /// The dialect of a file whose header is at the start of `sample`, or `None` if more of the
    /// file is needed: up to [`SAMPLE_BYTES`], or all of a smaller file, which is `is_whole`.
    /// `columns` are those that the caller needs, if it knows.
    ///
    /// A delimiter that gives a header with all needed columns is taken, a comma before others.
    /// Otherwise the one that gives most of them, splits the rows most regularly, leaves no
    /// quote within a field, and splits the header into most fields. Delimiters inside quotes never count.
    #[must_use]
    pub fn detect(self, sample: &[u8], is_whole: bool, columns: &[&str]) -> Option<Dialect> {
        if let Some(given) = self.delimiter {
            return Some(self.with(given));
        }
        let sample = sample.get(..SAMPLE_BYTES).unwrap_or(sample);
        if !columns.is_empty()
            && let Some(fitting) = self.with_all(sample, is_whole, columns, &Delimiter::ALL)
        {
            return Some(self.with(fitting));
        }
        if !is_whole && sample.len() < SAMPLE_BYTES {
            return None;
        }
        let mut best = (Score::default(), Delimiter::default());
        for delimiter in Delimiter::ALL {
            let records = records(sample, is_whole, self.with(delimiter), SAMPLE_RECORDS);
            let score = Score::of(&records, columns, self.quote.unwrap_or(b'"'));
            if score > best.0 {
                best = (score, delimiter);
            }
        }
        Some(self.with(best.1))
    }

    /// Another delimiter than `used` that gives the header at the start of `sample` all of
    /// `columns`.
    #[must_use]
    pub fn fitting(self, sample: &[u8], used: Dialect, columns: &[&str]) -> Option<Delimiter> {
        let sample = sample.get(..SAMPLE_BYTES).unwrap_or(sample);
        let others: Vec<_> =
            Delimiter::ALL.into_iter().filter(|other| *other != used.delimiter).collect();
        self.with_all(sample, true, columns, &others)
    }

    /// The first of these delimiters that gives the header all of `columns`.
    fn with_all(
        self,
        sample: &[u8],
        is_whole: bool,
        columns: &[&str],
        delimiters: &[Delimiter],
    ) -> Option<Delimiter> {
        delimiters.iter().copied().find(|delimiter| {
            let header = records(sample, is_whole, self.with(*delimiter), 1);
            header.first().is_some_and(|header| found(header, columns) == columns.len())
        })
    }
}

/// How well a delimiter suits a file. The fields are in the order of their importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Score {
    /// The needed columns that the header has.
    found: usize,
    /// Of a thousand rows, those with as many fields as the header.
    regular: usize,
    /// Whether no field has a quote within: text next to a quoted field means that another delimiter
    /// separates them.
    is_clean: bool,
    /// The fields of the header.
    fields: usize,
}

impl Score {
    fn of(records: &[Record], columns: &[&str], quote: u8) -> Self {
        let Some((header, rows)) = records.split_first() else { return Self::default() };
        let found = found(header, columns);
        let same = rows.iter().filter(|row| row.len() == header.len()).count();
        let regular = (same * 1_000).checked_div(rows.len()).unwrap_or(1_000);
        if found == 0 && (header.len() < 2 || regular < REGULAR) {
            return Self::default();
        }
        let is_clean = !records.iter().flatten().any(|field| field.contains(&quote));
        Self { found, regular, is_clean, fields: header.len() }
    }
}

/// The fields of a record.
type Record = Vec<Vec<u8>>;

/// How many of `columns` a header has.
fn found(header: &Record, columns: &[&str]) -> usize {
    let names = header.iter().filter_map(|name| std::str::from_utf8(name).ok());
    let names: Vec<_> = names.map(str::trim).collect();
    columns.iter().filter(|column| !matching(&names, column).is_empty()).count()
}

/// The first complete records of a sample.
fn records(sample: &[u8], is_whole: bool, dialect: Dialect, limit: usize) -> Vec<Record> {
    let mut parser = dialect.parser();
    let (mut text, mut ends) = (vec![0; sample.len() + 1], vec![0; sample.len() + 2]);
    let (mut rest, mut records) = (sample, Vec::new());
    while records.len() < limit && !rest.is_empty() {
        let (mut result, read, length, mut count) = parser.read_record(rest, &mut text, &mut ends);
        rest = &rest[read..];
        if is_whole && matches!(result, ReadRecordResult::InputEmpty) {
            // The file may end without a line end, but not inside quotes.
            let fields;
            (result, _, _, fields) =
                parser.read_record(b"\n", &mut text[length..], &mut ends[count..]);
            count += fields;
        }
        if !matches!(result, ReadRecordResult::Record) {
            break;
        }
        let starts = std::iter::once(&0).chain(&ends[..count]);
        let fields = starts.zip(&ends[..count]).map(|(start, end)| text[*start..*end].to_vec());
        records.push(fields.collect());
    }
    records
}

/// The delimiter that the first line of a file announces, as in `sep=;`, and the length of this line
/// including its end. Spreadsheet programs write and understand it.
#[must_use]
pub fn announced_delimiter(start: &[u8]) -> Option<(Delimiter, usize)> {
    let bom = if start.starts_with(BOM) { BOM.len() } else { 0 };
    let line = start[bom..].strip_prefix(b"sep=")?;
    let delimiter = Delimiter::of_byte(*line.first()?)?;
    let line_end = match &line[1..] {
        [] => 0,
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => return None,
    };
    Some((delimiter, bom + "sep=;".len() + line_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [&str; 3] = ["Song", "Date", "Number of Plays"];

    fn detect(text: &str, columns: &[&str]) -> Delimiter {
        let detected = DialectOptions::default().detect(text.as_bytes(), true, columns);
        detected.unwrap().delimiter
    }

    #[test]
    fn a_header_with_the_wanted_columns_decides() {
        for delimiter in Delimiter::ALL {
            let separator = char::from(delimiter.byte()).to_string();
            let header = ["Artist", " Song ", "\"Date\"", "Number of Plays"].join(&separator);
            // Rows that suit other delimiters better.
            let text = format!("{header}\na,b;c|d\te,f;g|h\ti,j;k|l\n");
            assert_eq!(detect(&text, &WANTED), delimiter, "{text}");
        }
        // A comma comes first.
        let both = "Song,\"x;Date\",Date,Number of Plays\n";
        assert_eq!(detect(both, &WANTED), Delimiter::Comma);
    }

    #[test]
    fn the_rows_decide_where_no_header_fits() {
        for (text, delimiter) in [
            ("Name;Betrag\nAnna;1,50\nBen;2,75\n", Delimiter::Semicolon),
            ("Name\tNote\nAnna\ta, b; c\n", Delimiter::Tab),
            ("a|b|c\n1|2|3\n", Delimiter::Pipe),
            ("Datum;Umsatz, netto;Ort\n1.1.;2,5;Bonn\n", Delimiter::Semicolon),
            // Quoted delimiters do not count.
            ("\"a;b;c;d\",\"e;f;g\"\n\"1;2;3;4\",\"5;6;7\"\n", Delimiter::Comma),
            ("note\na;b\nc\n", Delimiter::Comma),
            ("a;b\nx,1\ny,2\n", Delimiter::Comma),
            ("just text\n", Delimiter::Comma),
            ("a;b", Delimiter::Semicolon),
            ("\"a;b", Delimiter::Comma),
            ("", Delimiter::Comma),
        ] {
            assert_eq!(detect(text, &[]), delimiter, "{text}");
        }
    }

    #[test]
    fn comments_and_other_quotes_are_no_rows() {
        let options =
            DialectOptions { quote: Some(b'\''), comment: Some(b'#'), ..Default::default() };
        let text = b"# a,b,c\n'x;y';\"z\n# d,e\n'1;2';3\n";
        let dialect = options.detect(text, true, &[]).unwrap();
        assert_eq!(dialect, options.with(Delimiter::Semicolon));
    }

    #[test]
    fn the_header_with_most_columns_is_shown_in_errors() {
        assert_eq!(detect("Song;Date;Plays\na;2020-01-01;1\n", &WANTED), Delimiter::Semicolon);
    }

    #[test]
    fn no_more_is_read_than_needed() {
        let options = DialectOptions::default();
        let fitting = b"Song;Date;Number of Plays\n";
        assert!(options.detect(fitting, false, &WANTED).is_some());
        assert_eq!(options.detect(fitting, false, &[]), None);
        // The header may continue.
        assert_eq!(options.detect(&fitting[..fitting.len() - 1], false, &WANTED), None);
        let long = b"a;b\n".repeat(SAMPLE_BYTES);
        assert!(options.detect(&long, false, &[]).is_some());
    }

    #[test]
    fn a_fitting_delimiter_is_suggested() {
        let options = DialectOptions::default();
        let fitting =
            |text: &str, used| options.fitting(text.as_bytes(), options.with(used), &WANTED);
        let header = "Song;Date;Number of Plays\n";
        assert_eq!(fitting(header, Delimiter::Comma), Some(Delimiter::Semicolon));
        assert_eq!(fitting("Song;Date\n", Delimiter::Comma), None);
    }

    #[test]
    fn the_first_line_may_announce_the_delimiter() {
        for (start, found) in [
            (&b"sep=;\r\na;b"[..], Some((Delimiter::Semicolon, 7))),
            (b"sep=\t\na", Some((Delimiter::Tab, 6))),
            (b"sep=|", Some((Delimiter::Pipe, 5))),
            (b"\xEF\xBB\xBFsep=,\ra", Some((Delimiter::Comma, 9))),
            (b"sep=;a", None),
            (b"sep=:\n", None),
            (b"sep=", None),
            (b"separator;b\n", None),
        ] {
            assert_eq!(announced_delimiter(start), found, "{}", start.escape_ascii());
        }
    }
}
