//! Writes rejected rows as CSV.

use std::io;

use csv::ByteRecord;

use crate::csv_line::push_field;
use crate::read::fault::Fault;
use crate::read::header::Header;
use crate::read::row::Row;

/// The header of the rejected rows.
pub(crate) const HEADER: &[u8] = b"line,column,field,value,reason\n";
/// The length in bytes to which rejected values are shortened.
const VALUE_LIMIT: usize = 1 << 10;

/// Appends a rejected row to `output`.
pub(crate) fn write(output: &mut Vec<u8>, fault: &Fault, row: &Row<'_>, header: &Header) {
    let error = fault.error(row, header);
    let value = match fault.at() {
        Some(at) => cut(row.fields.get(at).unwrap_or_default()),
        // Writing to memory cannot fail.
        None => join(row.fields).map(|joined| cut(&joined)).unwrap_or_default(),
    };
    let line = [
        row.line.to_string(),
        error.column.map(|column| column.to_string()).unwrap_or_default(),
        error.field.unwrap_or_default(),
        value,
        error.reason,
    ];
    for (index, field) in line.iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        push_field(output, field.as_bytes());
    }
    output.push(b'\n');
}

/// Formats the row as CSV again, at least the part of it that is shown.
fn join(fields: &ByteRecord) -> io::Result<Vec<u8>> {
    let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    // Nothing beyond this many fields, or bytes of a field, can be shown.
    for field in fields.iter().take(VALUE_LIMIT + 1) {
        csv.write_field(field.get(..=VALUE_LIMIT).unwrap_or(field))?;
    }
    csv.write_record(None::<&[u8]>)?;
    let mut line = csv.into_inner().map_err(|error| error.into_error())?;
    line.pop();
    Ok(line)
}

/// The start of a value as text. Invalid UTF-8 becomes `U+FFFD`.
fn cut(value: &[u8]) -> String {
    let Some(start) = value.get(..VALUE_LIMIT).filter(|_| value.len() > VALUE_LIMIT) else {
        return String::from_utf8_lossy(value).into_owned();
    };
    // Do not split a character.
    let end = (0..4)
        .map(|back| VALUE_LIMIT - back)
        .find(|end| value[*end] & 0b1100_0000 != 0b1000_0000)
        .unwrap_or(VALUE_LIMIT);
    String::from_utf8_lossy(&start[..end]).into_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_between_characters() {
        assert_eq!(cut("kurz, größer".as_bytes()), "kurz, größer");
        assert_eq!(cut(b"caf\xE9"), "caf\u{FFFD}");
        assert_eq!(cut(&[b'x'; VALUE_LIMIT]), "x".repeat(VALUE_LIMIT));
        assert_eq!(cut(&[b'x'; VALUE_LIMIT + 1]), "x".repeat(VALUE_LIMIT) + "…");
        for shift in 0..4 {
            let text = "x".repeat(shift) + &"東".repeat(VALUE_LIMIT);
            let value = cut(text.as_bytes());
            let shown = value.strip_suffix('…').unwrap();
            assert!(text.starts_with(shown));
            assert!(shown.len() > VALUE_LIMIT - 3 && shown.len() <= VALUE_LIMIT);
        }
    }

    #[test]
    fn rows_are_joined_as_csv() {
        let join = |fields: Vec<&str>| String::from_utf8(join(&fields.into()).unwrap()).unwrap();
        assert_eq!(join(vec!["a", "b, \"c\"", ""]), "a,\"b, \"\"c\"\"\",");
        assert!(join(vec!["x"; 1 << 20]).len() < 4 * VALUE_LIMIT);
        assert!(join(vec![&"x".repeat(1 << 20)]).len() < 4 * VALUE_LIMIT);
    }
}
