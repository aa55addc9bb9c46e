//! Writes the groups as CSV: minimal quoting, lines end with `\n`.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::group::Group;
use super::merge::{Merged, Source};
use super::watch::Watch;
use super::{AggregationError, Interrupted, Options, Outputs, dates, key, shown};

/// After as many groups an interrupt is seen.
const CHECK_EVERY: usize = 256;
/// As much is gathered before it is written.
const PIECE: usize = 256 << 10;
/// As many pieces wait at most to be written.
const WAITING_PIECES: usize = 2;

/// Finds the first group whose sum does not fit the output's numbers.
pub(super) fn check_overflow(
    groups: &mut Merged<'_>,
    options: &Options,
    watch: &Watch<'_>,
) -> Result<(), AggregationError> {
    let mut group = Group::default();
    let mut unseen = 0;
    while groups.next(&mut group).map_err(AggregationError::spill)? {
        see(&mut unseen, group.days.len(), watch)?;
        if let Some(at) = group.sums.iter().position(|sum| i64::try_from(*sum).is_err()) {
            let mut values = Vec::new();
            key::columns(&group.key, key_columns(options), |column| {
                values.push(shown::value(column));
            });
            if options.check_dates {
                values.push(shown::value(&dates::text(group.days[at / options.sum.len()])));
            }
            return Err(AggregationError::Overflow {
                group: values.join(", "),
                column: shown::name(&options.sum[at % options.sum.len()]),
                sum: group.sums[at],
            });
        }
    }
    Ok(())
}

/// How many columns the key has; a day is not part of it.
fn key_columns(options: &Options) -> usize {
    options.group_by.len() - usize::from(options.check_dates)
}

/// Counts groups and looks for an interrupt now and then.
fn see(unseen: &mut usize, groups: usize, watch: &Watch<'_>) -> Result<(), AggregationError> {
    *unseen += groups;
    if *unseen >= CHECK_EVERY {
        *unseen = 0;
        watch.checkpoint()?;
    }
    Ok(())
}

/// Writes the header and the groups in order, and returns how many there are and the size in bytes.
/// One thread makes the lines while this one writes them.
pub(super) fn write(
    groups: &mut Merged<'_>,
    options: &Options,
    outputs: &mut dyn Outputs,
    watch: &Watch<'_>,
) -> Result<(u64, u64), AggregationError> {
    let output = outputs.result().map_err(AggregationError::Write)?;
    thread::scope(|scope| {
        let (sender, pieces) = sync_channel(WAITING_PIECES);
        let (give_back, empty) = channel();
        let lines = Lines { sender, empty, buffer: Vec::with_capacity(2 * PIECE) };
        let maker = scope.spawn(move || make(groups, options, watch, lines));
        let mut size = 0;
        let written: io::Result<()> = pieces.iter().try_for_each(|mut piece: Vec<u8>| {
            output.write_all(&piece)?;
            size += piece.len() as u64;
            piece.clear();
            // At the end nobody needs it any more.
            let _ = give_back.send(piece);
            Ok(())
        });
        // Lets the maker end where it is not yet at its end.
        drop(pieces);
        let made = maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and_then(|()| output.flush()).map_err(AggregationError::Write)?;
        Ok((made?, size))
    })
}

/// Makes all lines, and returns how many groups there are.
fn make(
    groups: &mut Merged<'_>,
    options: &Options,
    watch: &Watch<'_>,
    mut lines: Lines,
) -> Result<u64, AggregationError> {
    for (index, name) in options.output_header().enumerate() {
        if index > 0 {
            lines.buffer.push(b',');
        }
        push_field(&mut lines.buffer, name.as_bytes());
    }
    lines.buffer.push(b'\n');
    let mut group = Group::default();
    let mut start = Vec::new();
    let (mut count, mut unseen) = (0, 0);
    while groups.next(&mut group).map_err(AggregationError::spill)? {
        start.clear();
        key::columns(&group.key, key_columns(options), |column| {
            push_field(&mut start, column);
            start.push(b',');
        });
        let sums = group.sums.chunks_exact(options.sum.len());
        for (day, sums) in group.days.iter().zip(sums) {
            lines.buffer.extend_from_slice(&start);
            if options.check_dates {
                lines.buffer.extend_from_slice(&dates::text(*day));
                lines.buffer.push(b',');
            }
            for sum in sums {
                push_number(&mut lines.buffer, *sum as i64);
                lines.buffer.push(b',');
            }
            lines.buffer.pop();
            lines.buffer.push(b'\n');
            if lines.buffer.len() >= PIECE {
                lines.hand_over()?;
            }
            see(&mut unseen, 1, watch)?;
        }
        count += group.days.len() as u64;
    }
    lines.hand_over()?;
    Ok(count)
}

/// Lines on their way to the output, in large pieces.
struct Lines {
    sender: SyncSender<Vec<u8>>,
    /// Pieces that were written, to be filled again.
    empty: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Lines {
    /// Where writing has failed nobody takes the piece; the writer knows why.
    fn hand_over(&mut self) -> Result<(), Interrupted> {
        let empty = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(2 * PIECE));
        let full = std::mem::replace(&mut self.buffer, empty);
        self.sender.send(full).map_err(|_| Interrupted)
    }
}

/// Appends a field, in quotes where it needs them. A row has more than one field, so an empty one
/// needs none.
pub(super) fn push_field(output: &mut Vec<u8>, field: &[u8]) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !field.iter().any(special) {
        return output.extend_from_slice(field);
    }
    output.push(b'"');
    for part in field.split_inclusive(|byte| *byte == b'"') {
        output.extend_from_slice(part);
        if part.ends_with(b"\"") {
            output.push(b'"');
        }
    }
    output.push(b'"');
}

/// Appends a number in decimal.
fn push_number(output: &mut Vec<u8>, number: i64) {
    // The digits of a `u64` from the last to the first.
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        output.push(b'-');
    }
    output.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, -1, 1234567890, i64::MAX, i64::MIN] {
            let mut output = b"x".to_vec();
            push_number(&mut output, number);
            assert_eq!(String::from_utf8(output).unwrap(), format!("x{number}"));
        }
    }
}
