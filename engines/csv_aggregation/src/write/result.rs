//! Writes the groups as CSV: minimal quoting, lines end with `\n`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use csv_input::{name_excerpt, value_excerpt};

use crate::control::{Interrupted, Outputs};
use crate::csv_line::{push_field, push_number};
use crate::error::AggregationError;
use crate::group::key_group::KeyGroup;
use crate::group::values::ValueRanks;
use crate::group::{dates, key};
use crate::limits::WRITE_SIZE;
use crate::options::Options;
use crate::spill::ranges::Ranges;
use crate::watch::Watch;

/// After as many groups an interrupt is seen.
const CHECK_EVERY: usize = 256;

/// Where the columns of groups are.
#[derive(Clone, Copy)]
pub(crate) enum Layout<'a> {
    /// Everything is in the key.
    Inline,
    /// All but a day.
    Dates,
    /// All but one of these.
    Values(&'a ValueRanks),
}

impl Layout<'_> {
    /// Calls `each` with every column of the key.
    fn columns(self, key: &[u8], options: &Options, each: impl FnMut(&[u8])) {
        let all = options.group_by.len();
        let count = if matches!(self, Self::Inline) { all } else { all - 1 };
        key::columns(key, count, matches!(self, Self::Values(_)), each);
    }

    /// The places of a group's parts in the order of the result.
    fn places(self, group: &KeyGroup, places: &mut Vec<(u32, u32)>) {
        match self {
            Self::Values(values) => values.sort(&group.codes, places),
            Self::Inline | Self::Dates => {
                places.clear();
                places.extend((0..group.codes.len() as u32).map(|place| (place, place)));
            }
        }
    }
}

/// All groups, and how they become lines.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) ranges: &'a Ranges<'a>,
    pub(crate) layout: Layout<'a>,
    pub(crate) options: &'a Options,
    pub(crate) watch: &'a Watch<'a>,
}

impl Lines<'_> {
    /// The error of a group's sum that does not fit the output's numbers.
    fn overflow(self, key: &[u8], code: u32, column: &str, sum: i128) -> AggregationError {
        let mut values = Vec::new();
        self.layout.columns(key, self.options, |column| values.push(value_excerpt(column)));
        match self.layout {
            Layout::Inline => {}
            Layout::Dates => values.push(value_excerpt(&dates::text(code))),
            Layout::Values(known) => values.push(value_excerpt(known.text(code))),
        }
        AggregationError::Overflow { group: values.join(", "), column: name_excerpt(column), sum }
    }
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

impl Lines<'_> {
    /// Writes the header and the groups in order, and returns how many there are and the size in
    /// bytes. Threads make the lines of one of the ranges each while this one writes them in order.
    ///
    /// Of several sums that are out of range, the first one in the order of the output is the
    /// error: the ranges before it are made to their end.
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
            // Whoever writes holds the other end, so that the makers end when it has failed.
            let give_buffer = give_buffer;
            let (sender, parts) = channel();
            for number in 0..options.threads.min(ranges.len()) {
                let (sender, taken, buffers) = (sender.clone(), &taken, &buffers);
                scope.spawn(move || {
                    let _end_on_panic = watch.end_on_panic();
                    while watch.wait_for_turn(number, is_done).is_ok()
                        && let Some((at, buffer)) = next(taken, buffers)
                        && at < ranges.len()
                    {
                        let part = self.make(at, buffer);
                        let (failed, overflowed) = (part.is_err(), is_overflow(&part));
                        if sender.send((at, part)).is_err() || overflowed {
                            return;
                        }
                        // After the error is sent, so that it arrives before what it leads to.
                        if failed {
                            return watch.end();
                        }
                    }
                });
            }
            drop(sender);
            for _ in 0..2 * options.threads {
                // At the end nobody needs a buffer any more.
                let _ = give_buffer.send(Vec::new());
            }
            let mut write = || -> Result<(u64, u64), AggregationError> {
                let mut waiting = BTreeMap::new();
                for written in 0..ranges.len() {
                    let part: Part = loop {
                        if let Some(part) = waiting.remove(&written) {
                            break part?;
                        }
                        let (at, part) = parts.recv().map_err(|_| Interrupted)?;
                        let part = if is_overflow(&part) { part } else { Ok(part?) };
                        waiting.insert(at, part);
                    };
                    write_pieces(output, size, &part.lines).map_err(AggregationError::Write)?;
                    groups += part.groups;
                    size += part.lines.len() as u64;
                    let _ = give_buffer.send(part.lines);
                }
                output.flush().map_err(AggregationError::Write)?;
                Ok((groups, size))
            };
            // Makers that wait for their turn are to end too.
            write().inspect_err(|_| watch.end())
        })
    }
}

/// Writes lines that stand at `position` of the output, in pieces that end at multiples of their size.
fn write_pieces(output: &mut dyn Write, position: u64, lines: &[u8]) -> io::Result<()> {
    let rest = WRITE_SIZE - position as usize % WRITE_SIZE;
    let (first, others) = lines.split_at(rest.min(lines.len()));
    output.write_all(first)?;
    others.chunks(WRITE_SIZE).try_for_each(|piece| output.write_all(piece))
}

/// The next range, and a buffer for its lines; `None` where nobody writes any more. There are so
/// few buffers that nobody gets far ahead of the writing.
fn next(taken: &AtomicUsize, buffers: &Mutex<Receiver<Vec<u8>>>) -> Option<(usize, Vec<u8>)> {
    let buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = buffers.recv().ok()?;
    buffer.clear();
    // Under the lock: whoever has a buffer first makes the first range.
    Some((taken.fetch_add(1, Ordering::Relaxed), buffer))
}

/// The lines of a range, and how many groups they are.
struct Part {
    lines: Vec<u8>,
    groups: u64,
}

fn is_overflow(part: &Result<Part, AggregationError>) -> bool {
    matches!(part, Err(AggregationError::Overflow { .. }))
}

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

impl Lines<'_> {
    /// Makes the lines of a range.
    fn make(self, range: usize, mut lines: Vec<u8>) -> Result<Part, AggregationError> {
        let Self { options, watch, .. } = self;
        let mut merged = self.ranges.groups(range, &|| watch.checkpoint())?;
        let mut group = KeyGroup::default();
        let (mut start, mut places) = (Vec::new(), Vec::new());
        let (mut groups, mut unseen) = (0, 0);
        while merged.next(&mut group).map_err(AggregationError::spill)? {
            start.clear();
            self.layout.columns(&group.key, options, |column| {
                push_field(&mut start, column);
                start.push(b',');
            });
            self.layout.places(&group, &mut places);
            for (_, place) in &places {
                let place = *place as usize;
                lines.extend_from_slice(&start);
                match self.layout {
                    Layout::Inline => {}
                    Layout::Dates => {
                        lines.extend_from_slice(&dates::text(group.codes[place]));
                        lines.push(b',');
                    }
                    Layout::Values(values) => {
                        lines.extend_from_slice(values.field(group.codes[place]));
                        lines.push(b',');
                    }
                }
                let sums = &group.sums[place * options.sum.len()..];
                for (column, sum) in options.sum.iter().zip(sums) {
                    let Ok(number) = i64::try_from(*sum) else {
                        return Err(self.overflow(&group.key, group.codes[place], column, *sum));
                    };
                    push_number(&mut lines, number);
                    lines.push(b',');
                }
                lines.pop();
                lines.push(b'\n');
                see(&mut unseen, 1, watch)?;
            }
            groups += group.codes.len() as u64;
        }
        Ok(Part { lines, groups })
    }
}
