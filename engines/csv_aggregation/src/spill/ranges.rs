//! Divides all keys into ranges, which threads merge independently.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::control::Interrupted;
use crate::error::AggregationError;
use crate::group::dict_ranks::DictRanks;
use crate::group::groups::Groups;
use crate::group::key::first_columns;
use crate::group::values::ValueRanks;
use crate::spill::merge::{FullKeys, MemorySource, Range, Source, merged};
use crate::spill::runs::Runs;
use crate::spill::sort::{Checkpoint, Item, word_at};
use crate::watch::Watch;

/// The number of keys that are sampled per range to find the limits of ranges.
const SAMPLES_PER_RANGE: u64 = 16;
/// How many times larger ranges are if some groups are in files, because each range opens all runs.
const SPILLED_FACTOR: u64 = 4;
/// The part of the memory that a thread's range may take if some groups are in files: while a range
/// is merged, the lines of another one wait to be written.
const MEMORY_PARTS: u64 = 16;
/// The number of keys between two checks for an interrupt.
const CHECK_EVERY: usize = 8 << 10;

/// Groups with the same encoding, in memory and in files.
pub(crate) struct GroupSet<'a> {
    pub(crate) sources: Vec<&'a Groups>,
    pub(crate) runs: Vec<Runs>,
    pub(crate) order: DictRanks,
    /// If the groups have to be decoded to inline ones: the values of the dictionary, and the
    /// number of columns in their keys.
    pub(crate) decode: Option<(&'a ValueRanks, usize)>,
}

/// All groups, divided into ranges of keys.
pub(crate) struct Ranges<'a> {
    sets: &'a [GroupSet<'a>],
    ranges: Vec<Range>,
    /// For each set the keys of each source by range.
    partitions: Vec<Vec<Partition>>,
}

/// The numbers of all keys of a source, ordered by range.
#[derive(Default)]
struct Partition {
    numbers: Vec<u32>,
    /// The end in `numbers` of each range.
    ends: Vec<u32>,
}

impl<'a> Ranges<'a> {
    /// Consecutive ranges of about `size` bytes of memory. If groups are in files, ranges are
    /// larger, so that at least about half of what is read from the files is used
    /// ([`Runs::spacing`]).
    pub(crate) fn new(
        sets: &'a [GroupSet<'a>],
        (size, threads): (u64, usize),
        watch: &Watch<'_>,
    ) -> Result<Self, Interrupted> {
        let ranges = divide(sets, size);
        let starts = RangeStarts::new(&ranges);
        let partition = |set: &GroupSet<'_>| starts.partition_all(&set.sources, threads, watch);
        let partitions = sets.iter().map(partition).collect::<Result<_, _>>()?;
        Ok(Self { sets, ranges, partitions })
    }

    /// The number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The merged groups of a range.
    pub(crate) fn groups(
        &self,
        at: usize,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Box<dyn Source + '_>, AggregationError> {
        let mut all: Vec<Box<dyn Source + '_>> = Vec::new();
        let range = &self.ranges[at];
        for (set, partitions) in self.sets.iter().zip(&self.partitions) {
            // Decoding appends a column to a key, so the decoded groups of one key may extend into
            // the next ranges. Such a range starts with the key (`first`), which itself sorts
            // before the range and has to be added. If the start of the range is a bound that ends
            // within the columns of the key, no key has decoded groups on both sides of it.
            let first = set.decode.and_then(|(_, columns)| {
                range.from.as_deref().and_then(|from| first_columns(from, columns))
            });
            let mut items = Vec::new();
            for (source, partition) in partitions.iter().enumerate() {
                let groups = set.sources[source];
                let numbers = partition.range(at);
                items.extend(numbers.iter().map(|number| Item::new(source, *number)));
                if let Some(number) = first.and_then(|key| groups.keys.find(key))
                    && range.from.as_deref() != first
                {
                    items.push(Item::new(source, number as u32));
                }
            }
            let memory = MemorySource::new(&set.sources, &set.order, items, checkpoint)?;
            let mut sources: Vec<Box<dyn Source + '_>> = vec![Box::new(memory)];
            let from = first.or(range.from.as_deref());
            for runs in &set.runs {
                let runs = runs.sources(from, range.to.as_deref());
                sources.extend(runs.map_err(AggregationError::spill)?);
            }
            all.extend(sources.into_iter().map(|source| match set.decode {
                Some((values, _)) => Box::new(FullKeys::new(source, values, range)),
                None => source,
            }));
        }
        merged(all).map_err(AggregationError::spill)
    }
}

impl Partition {
    /// The numbers of the keys in a range.
    fn range(&self, range: usize) -> &[u32] {
        let end = |range: usize| self.ends.get(range).map_or(0, |end| *end as usize);
        &self.numbers[range.checked_sub(1).map_or(0, end)..end(range)]
    }
}

/// The size that a range may have if groups are in files. `size` is that of a range without files.
pub(crate) fn max_size(size: u64, memory: u64, threads: usize) -> u64 {
    (size * SPILLED_FACTOR).max(memory / MEMORY_PARTS / threads as u64)
}

/// Divides all keys into ranges of about `size` bytes of memory.
fn divide(sets: &[GroupSet<'_>], size: u64) -> Vec<Range> {
    let runs = sets.iter().flat_map(|set| &set.runs);
    let spacing = runs.clone().map(Runs::spacing).sum();
    // A sample of all keys, each with the bytes up to the next sample of the same source.
    let mut samples: Vec<(&[u8], u64)> = runs.flat_map(Runs::bounds).collect();
    let size = if samples.is_empty() { size } else { (size * SPILLED_FACTOR).max(spacing) };
    for groups in sets.iter().flat_map(|set| &set.sources) {
        let count = groups.keys.len();
        let group_size = (groups.memory() / count.max(1) as u64).max(1);
        let step = (size / SAMPLES_PER_RANGE / group_size).max(1);
        let sampled = (0..count).step_by(step as usize);
        samples.extend(sampled.map(|number| (groups.keys.key(number), step * group_size)));
    }
    samples.sort_unstable();
    let mut ranges = vec![Range::default()];
    let mut range_size = 0;
    for (key, weight) in samples {
        if range_size >= size
            && let Some(last) = ranges.last_mut()
            && last.from.as_deref() != Some(key)
        {
            range_size = 0;
            last.to = Some(key.to_vec());
            ranges.push(Range { from: Some(key.to_vec()), to: None });
        }
        range_size += weight;
    }
    ranges
}

/// The first keys of all ranges but the first. Eight bytes of a key usually suffice to find its
/// range.
struct RangeStarts<'a> {
    keys: Vec<&'a [u8]>,
    /// The common prefix of `keys`, and the eight bytes after it of each.
    prefix: &'a [u8],
    words: Vec<u64>,
}

impl<'a> RangeStarts<'a> {
    fn new(ranges: &'a [Range]) -> Self {
        let keys: Vec<&[u8]> = ranges.iter().filter_map(|range| range.from.as_deref()).collect();
        let prefix = match (keys.first(), keys.last()) {
            (Some(first), Some(last)) => {
                let common = first.iter().zip(*last).take_while(|(a, b)| a == b).count();
                &first[..common]
            }
            _ => &[],
        };
        let words = keys.iter().map(|key| word_at(key, prefix.len())).collect();
        Self { keys, prefix, words }
    }

    /// The index of the range of a key.
    fn range(&self, key: &[u8]) -> usize {
        if !key.starts_with(self.prefix) {
            return if key < self.prefix { 0 } else { self.keys.len() };
        }
        let word = word_at(key, self.prefix.len());
        let first = self.words.partition_point(|start| *start < word);
        let same = self.words[first..].iter().take_while(|start| **start == word).count();
        first + self.keys[first..first + same].partition_point(|start| *start <= key)
    }

    /// Partitions the keys of each source by range, on several threads.
    fn partition_all(
        &self,
        sources: &[&Groups],
        threads: usize,
        watch: &Watch<'_>,
    ) -> Result<Vec<Partition>, Interrupted> {
        let threads = threads.min(watch.threads());
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(at) else { return Ok(done) };
                done.push((at, self.partition(source, &|| watch.checkpoint())?));
            }
        };
        let done: Vec<Result<Vec<_>, Interrupted>> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..threads.min(sources.len())).map(|_| scope.spawn(take)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let mut partitions: Vec<_> = sources.iter().map(|_| Partition::default()).collect();
        for done in done {
            for (at, partition) in done? {
                partitions[at] = partition;
            }
        }
        Ok(partitions)
    }

    /// Partitions the keys of `groups` by range.
    fn partition(
        &self,
        groups: &Groups,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Partition, Interrupted> {
        let count = groups.keys.len();
        let mut ranges: Vec<u32> = Vec::with_capacity(count);
        let mut ends = vec![0_u32; self.keys.len() + 1];
        for number in 0..count {
            if number.is_multiple_of(CHECK_EVERY) {
                checkpoint()?;
            }
            let range = self.range(groups.keys.key(number));
            ranges.push(range as u32);
            ends[range] += 1;
        }
        // A counting sort: turn counts into the starts of ranges. Filling a range moves its start
        // to its end.
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut numbers = vec![0; count];
        for (number, range) in (0..).zip(ranges) {
            let next = &mut ends[range as usize];
            numbers[*next as usize] = number;
            *next += 1;
        }
        Ok(Partition { numbers, ends })
    }
}
