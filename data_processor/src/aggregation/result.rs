//! Writes the groups as CSV: minimal quoting, lines end with `\n`.

use std::io::{self, Write};

use super::groups::Sorted;
use super::{AggregationError, Interrupted, Options, Outputs, shown};

/// After as many groups an interrupt is seen.
const CHECK_EVERY: usize = 1 << 10;
const BUFFER: usize = 64 << 10;

/// Finds the first group whose sum does not fit the output's numbers.
pub(super) fn check_overflow(
    groups: &Sorted,
    options: &Options,
    checkpoint: &dyn Fn() -> Result<(), Interrupted>,
) -> Result<(), AggregationError> {
    let mut first = None;
    for (index, group) in groups.in_any_order().enumerate() {
        if index.is_multiple_of(CHECK_EVERY) {
            checkpoint()?;
        }
        if group.sums().any(overflows) && first.is_none_or(|first| group.cmp(&first).is_lt()) {
            first = Some(group);
        }
    }
    let Some(group) = first else { return Ok(()) };
    let mut sums = options.sum.iter().zip(group.sums());
    match sums.find(|(_, sum)| overflows(*sum)) {
        None => Ok(()),
        Some((column, sum)) => Err(AggregationError::Overflow {
            group: group.fields().map(shown::value).collect::<Vec<_>>().join(", "),
            column: shown::name(column),
            sum,
        }),
    }
}

fn overflows(sum: i128) -> bool {
    i64::try_from(sum).is_err()
}

/// Writes the header and the groups in order, and returns the size in bytes.
pub(super) fn write(
    groups: &Sorted,
    options: &Options,
    outputs: &mut dyn Outputs,
    checkpoint: &dyn Fn() -> Result<(), Interrupted>,
) -> Result<u64, AggregationError> {
    let output = outputs.result().map_err(AggregationError::Write)?;
    let mut csv =
        csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(Counted { output, bytes: 0 });
    csv.write_record(options.output_header()).map_err(write_error)?;
    for (index, group) in groups.in_order().enumerate() {
        if index.is_multiple_of(CHECK_EVERY) {
            checkpoint()?;
        }
        for field in group.fields() {
            csv.write_field(field).map_err(write_error)?;
        }
        for sum in group.sums() {
            csv.write_field(sum.to_string()).map_err(write_error)?;
        }
        csv.write_record(None::<&[u8]>).map_err(write_error)?;
    }
    csv.flush().map_err(AggregationError::Write)?;
    Ok(csv.get_ref().bytes)
}

fn write_error(error: csv::Error) -> AggregationError {
    AggregationError::Write(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    })
}

/// Counts the bytes on their way.
struct Counted<'a> {
    output: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.output.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
