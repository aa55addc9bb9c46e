//! Writes the groups as CSV, with minimal quoting and lines that end with `\n`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use csv_input::{name_excerpt, value_excerpt};

use crate::control::{Interrupted, Outputs, WRITE_SIZE};
use crate::csv_line::{push_field, push_number};
use crate::error::AggregationError;
use crate::group::key_group::KeyGroup;
use crate::group::values::ValueRanks;
use crate::group::{dates, key};
use crate::options::Options;
use crate::spill::ranges::Ranges;
use crate::watch::Watch;

/// The number of groups between two checks for an interrupt.
const CHECK_EVERY: usize = 256;

/// How groups are encoded.
#[derive(Clone, Copy)]
pub(crate) enum Layout<'a> {
    /// The key has all columns.
    Inline,
    /// The last column is a date code.
    Dates,
    /// The last column is the number of one of these values.
    Values(&'a ValueRanks),
}

impl Layout<'_> {
    /// Decodes the columns of the key and calls `each` with every one.
    fn columns(self, key: &[u8], options: &Options, each: impl FnMut(&[u8])) {
        let all = options.group_by.len();
        let count = if matches!(self, Self::Inline) { all } else { all - 1 };
        key::columns(key, count, matches!(self, Self::Values(_)), each);
    }

    /// Sorts the codes of a group: fills `sorted` with their ranks and indexes.
    fn sort_codes(self, group: &KeyGroup, sorted: &mut Vec<(u32, u32)>) {
        match self {
            Self::Values(values) => values.sort(&group.codes, sorted),
            Self::Inline | Self::Dates => {
                sorted.clear();
                sorted.extend((0..group.codes.len() as u32).map(|index| (index, index)));
            }
        }
    }
}

/// Formats and writes all groups.
#[derive(Clone, Copy)]
pub(crate) struct ResultWriter<'a> {
    pub(crate) ranges: &'a Ranges<'a>,
    pub(crate) layout: Layout<'a>,
    pub(crate) options: &'a Options,
    pub(crate) watch: &'a Watch<'a>,
}

impl ResultWriter<'_> {
    /// The error of a sum that does not fit a number of the output.
    fn overflow(self, key: &[u8], code: u32, column: &str, sum: i128) -> AggregationError {
        let mut values = Vec::new();
        self.layout.columns(key, self.options, |column| values.push(value_excerpt(column)));
        match self.layout {
            Layout::Inline => {}
            Layout::Dates => values.push(value_excerpt(&dates::text(code))),
            Layout::Values(ranks) => values.push(value_excerpt(ranks.text(code))),
        }
        AggregationError::Overflow { group: values.join(", "), column: name_excerpt(column), sum }
    }
}

/// Checks for an interrupt every [`CHECK_EVERY`] groups.
fn count_group(since_check: &mut usize, watch: &Watch<'_>) -> Result<(), AggregationError> {
    *since_check += 1;
    if *since_check >= CHECK_EVERY {
        *since_check = 0;
        watch.checkpoint()?;
    }
    Ok(())
}

impl ResultWriter<'_> {
    /// Writes the header and the groups in order. Returns the number of groups and the size of the
    /// output in bytes. Threads format ranges while this one writes them in order.
    ///
    /// If several sums are out of range, the first one in the order of the output is the error: the
    /// ranges before it are completed.
    pub(crate) fn write(self, outputs: &mut dyn Outputs) -> Result<(u64, u64), AggregationError> {
        let Self { ranges, options, watch, .. } = self;
        let output = outputs.result().map_err(AggregationError::Write)?;
        let header = header(options);
        output.write_all(&header).map_err(AggregationError::Write)?;
        let (mut groups, mut size) = (0, header.len() as u64);
        let (give_buffer, buffers) = sync_channel(2 * options.threads + 1);
        let (taken, buffers) = (AtomicUsize::new(0), Mutex::new(buffers));
        let is_done = || taken.load(Ordering::Relaxed) >= ranges.len();
        thread::scope(|scope| {
            // Owned by this thread: when writing fails, dropping it ends the other threads.
            let give_buffer = give_buffer;
            let (sender, formatted) = channel();
            for number in 0..options.threads.min(ranges.len()) {
                let (sender, taken, buffers) = (sender.clone(), &taken, &buffers);
                scope.spawn(move || {
                    let _end_on_panic = watch.end_on_panic();
                    while watch.wait_for_turn(number, is_done).is_ok()
                        && let Some((at, buffer)) = next(taken, buffers)
                        && at < ranges.len()
                    {
                        let lines = self.format(at, buffer);
                        let (failed, overflowed) = (lines.is_err(), is_overflow(&lines));
                        if sender.send((at, lines)).is_err() || overflowed {
                            return;
                        }
                        // Only after the error is sent, so that it arrives before the interrupts
                        // that this causes in other threads.
                        if failed {
                            return watch.end();
                        }
                    }
                });
            }
            drop(sender);
            for _ in 0..2 * options.threads {
                // Sending fails if all threads have ended already.
                let _ = give_buffer.send(Vec::new());
            }
            let mut write = || -> Result<(u64, u64), AggregationError> {
                let mut waiting = BTreeMap::new();
                for written in 0..ranges.len() {
                    let range: RangeLines = loop {
                        if let Some(range) = waiting.remove(&written) {
                            break range?;
                        }
                        let (at, range) = formatted.recv().map_err(|_| Interrupted)?;
                        let range = if is_overflow(&range) { range } else { Ok(range?) };
                        waiting.insert(at, range);
                    };
                    write_pieces(output, size, &range.lines).map_err(AggregationError::Write)?;
                    groups += range.groups;
                    size += range.lines.len() as u64;
                    let _ = give_buffer.send(range.lines);
                }
                output.flush().map_err(AggregationError::Write)?;
                Ok((groups, size))
            };
            // Also ends threads that wait for their turn.
            write().inspect_err(|_| watch.end())
        })
    }
}

/// Writes lines at `position` of the output, in pieces that end at multiples of [`WRITE_SIZE`].
fn write_pieces(output: &mut dyn Write, position: u64, lines: &[u8]) -> io::Result<()> {
    let rest = WRITE_SIZE - position as usize % WRITE_SIZE;
    let (first, aligned) = lines.split_at(rest.min(lines.len()));
    output.write_all(first)?;
    aligned.chunks(WRITE_SIZE).try_for_each(|piece| output.write_all(piece))
}

/// Waits for a buffer and takes the next range. `None` if the writing thread has ended. The number
/// of buffers limits how far formatting gets ahead of writing.
fn next(taken: &AtomicUsize, buffers: &Mutex<Receiver<Vec<u8>>>) -> Option<(usize, Vec<u8>)> {
    let buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = buffers.recv().ok()?;
    buffer.clear();
    // Under the lock, so that ranges are taken in the order of the buffers: the next range to be
    // written always has one.
    Some((taken.fetch_add(1, Ordering::Relaxed), buffer))
}

/// The formatted lines of a range, and the number of its groups.
struct RangeLines {
    lines: Vec<u8>,
    groups: u64,
}

fn is_overflow(range: &Result<RangeLines, AggregationError>) -> bool {
    matches!(range, Err(AggregationError::Overflow { .. }))
}

/// Formats the header of the output.
fn header(options: &Options) -> Vec<u8> {
    let mut line = Vec::new();
    for name in options.output_header() {
        push_field(&mut line, name.as_bytes());
        line.push(b',');
    }
    line.pop();
    line.push(b'\n');
    line
}

impl ResultWriter<'_> {
    /// Formats the lines of a range.
    fn format(self, range: usize, mut lines: Vec<u8>) -> Result<RangeLines, AggregationError> {
        let Self { options, watch, .. } = self;
        let mut merged = self.ranges.groups(range, &|| watch.checkpoint())?;
        let mut group = KeyGroup::default();
        let (mut key_fields, mut sorted) = (Vec::new(), Vec::new());
        let (mut groups, mut since_check) = (0, 0);
        while merged.next(&mut group).map_err(AggregationError::spill)? {
            key_fields.clear();
            self.layout.columns(&group.key, options, |column| {
                push_field(&mut key_fields, column);
                key_fields.push(b',');
            });
            self.layout.sort_codes(&group, &mut sorted);
            for (_, index) in &sorted {
                let index = *index as usize;
                lines.extend_from_slice(&key_fields);
                match self.layout {
                    Layout::Inline => {}
                    Layout::Dates => {
                        lines.extend_from_slice(&dates::text(group.codes[index]));
                        lines.push(b',');
                    }
                    Layout::Values(values) => {
                        lines.extend_from_slice(values.field(group.codes[index]));
                        lines.push(b',');
                    }
                }
                let sums = &group.sums[index * options.sum.len()..];
                for (column, sum) in options.sum.iter().zip(sums) {
                    let Ok(number) = i64::try_from(*sum) else {
                        return Err(self.overflow(&group.key, group.codes[index], column, *sum));
                    };
                    push_number(&mut lines, number);
                    lines.push(b',');
                }
                lines.pop();
                lines.push(b'\n');
                count_group(&mut since_check, watch)?;
            }
            groups += group.codes.len() as u64;
        }
        Ok(RangeLines { lines, groups })
    }
}
