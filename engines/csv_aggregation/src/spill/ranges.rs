//! Cuts all keys into ranges that threads can merge each for itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::control::Interrupted;
use crate::error::AggregationError;
use crate::group::dict_ranks::DictRanks;
use crate::group::groups::Groups;
use crate::group::key::first_columns;
use crate::group::values::ValueRanks;
use crate::spill::merge::{FullKeys, Memory, Range, Source, merged};
use crate::spill::runs::Runs;
use crate::spill::sort::{Checkpoint, Item, word_at};
use crate::watch::Watch;

/// A key of each so many parts of a range is looked at to find where ranges start.
const LOOKED_AT: u64 = 16;
/// Where groups are in files too, a range is so much larger: each opens all of them.
const IN_FILES: u64 = 4;
/// The part of the memory that belongs to the range of a thread at most, where groups are in files:
/// while a range is made, the lines of another one wait to be written.
const OF_MEMORY: u64 = 16;
/// An interrupt is seen after as many keys.
const CHECK_EVERY: usize = 8 << 10;

/// Groups of one kind, in memory and in files.
pub(crate) struct Kind<'a> {
    pub(crate) sources: Vec<&'a Groups>,
    pub(crate) runs: Vec<Runs>,
    pub(crate) order: DictRanks,
    /// Where they are to be made whole: what is kept apart of them, and in how many columns the rest
    /// is.
    pub(crate) whole: Option<(&'a ValueRanks, usize)>,
}

/// All groups, by ranges of their keys.
pub(crate) struct Ranges<'a> {
    kinds: &'a [Kind<'a>],
    ranges: Vec<Range>,
    /// For each kind the keys of each source by range.
    parts: Vec<Vec<Parts>>,
}

/// The numbers of the keys of a source, those of the first range first.
#[derive(Default)]
struct Parts {
    numbers: Vec<u32>,
    /// Where those of each range end.
    ends: Vec<u32>,
}

impl<'a> Ranges<'a> {
    /// Ranges in their order. To each belong about `size` bytes of memory. Where groups are in
    /// files it is more, so that about half of what is read of them is of use ([`Runs::spacing`]).
    pub(crate) fn new(
        kinds: &'a [Kind<'a>],
        (size, threads): (u64, usize),
        watch: &Watch<'_>,
    ) -> Result<Self, Interrupted> {
        let ranges = cut(kinds, size);
        let starts = Starts::new(&ranges);
        let part = |kind: &Kind<'_>| starts.parts(&kind.sources, threads, watch);
        let parts = kinds.iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { kinds, ranges, parts })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The groups of a range, each key once.
    pub(crate) fn groups(
        &self,
        at: usize,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Box<dyn Source + '_>, AggregationError> {
        let mut all: Vec<Box<dyn Source + '_>> = Vec::new();
        let range = &self.ranges[at];
        for (kind, parts) in self.kinds.iter().zip(&self.parts) {
            // Groups that are made whole may be in several ranges: in that of their key, which is
            // shorter than what is made of it, and in those that start within what is made of it.
            // A bound that ends before they do lies within nothing that is made.
            let first = kind.whole.and_then(|(_, columns)| {
                range.from.as_deref().and_then(|from| first_columns(from, columns))
            });
            let mut items = Vec::new();
            for (source, parts) in parts.iter().enumerate() {
                let groups = kind.sources[source];
                let numbers = parts.of(at);
                items.extend(numbers.iter().map(|number| Item::new(source, *number)));
                if let Some(number) = first.and_then(|key| groups.keys.find(key))
                    && range.from.as_deref() != first
                {
                    items.push(Item::new(source, number as u32));
                }
            }
            let memory = Memory::new(&kind.sources, &kind.order, items, checkpoint)?;
            let mut sources: Vec<Box<dyn Source + '_>> = vec![Box::new(memory)];
            let from = first.or(range.from.as_deref());
            for runs in &kind.runs {
                let runs = runs.sources(from, range.to.as_deref());
                sources.extend(runs.map_err(AggregationError::spill)?);
            }
            all.extend(sources.into_iter().map(|source| match kind.whole {
                Some((values, _)) => Box::new(FullKeys::new(source, values, range)),
                None => source,
            }));
        }
        merged(all).map_err(AggregationError::spill)
    }
}

impl Parts {
    fn of(&self, range: usize) -> &[u32] {
        let end = |range: usize| self.ends.get(range).map_or(0, |end| *end as usize);
        &self.numbers[range.checked_sub(1).map_or(0, end)..end(range)]
    }
}

/// How large a range may be where groups are in files, of which one without is of `size`.
pub(crate) fn largest(size: u64, memory: u64, threads: usize) -> u64 {
    (size * IN_FILES).max(memory / OF_MEMORY / threads as u64)
}

/// Ranges of about `size` bytes of memory each, which together are all keys.
fn cut(kinds: &[Kind<'_>], size: u64) -> Vec<Range> {
    // KeyTable that stand for all: about so much lies between one and the next of the same source.
    let runs = kinds.iter().flat_map(|kind| &kind.runs);
    let spacing = runs.clone().map(Runs::spacing).sum();
    let mut keys: Vec<(&[u8], u64)> = runs.flat_map(Runs::bounds).collect();
    let size = if keys.is_empty() { size } else { (size * IN_FILES).max(spacing) };
    for groups in kinds.iter().flat_map(|kind| &kind.sources) {
        let count = groups.keys.len();
        let each = (groups.memory() / count.max(1) as u64).max(1);
        let step = (size / LOOKED_AT / each).max(1);
        let some = (0..count).step_by(step as usize);
        keys.extend(some.map(|number| (groups.keys.key(number), step * each)));
    }
    keys.sort_unstable();
    let mut ranges = vec![Range::default()];
    let mut gathered = 0;
    for (key, weight) in keys {
        if gathered >= size
            && let Some(last) = ranges.last_mut()
            && last.from.as_deref() != Some(key)
        {
            gathered = 0;
            last.to = Some(key.to_vec());
            ranges.push(Range { from: Some(key.to_vec()), to: None });
        }
        gathered += weight;
    }
    ranges
}

/// Where ranges start; the range of a key is found by eight bytes of it most of the time.
struct Starts<'a> {
    keys: Vec<&'a [u8]>,
    /// What all of them start with, and the eight bytes behind it of each.
    prefix: &'a [u8],
    words: Vec<u64>,
}

impl<'a> Starts<'a> {
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

    /// The range of a key.
    fn range(&self, key: &[u8]) -> usize {
        if !key.starts_with(self.prefix) {
            return if key < self.prefix { 0 } else { self.keys.len() };
        }
        let word = word_at(key, self.prefix.len());
        let first = self.words.partition_point(|start| *start < word);
        let same = self.words[first..].iter().take_while(|start| **start == word).count();
        first + self.keys[first..first + same].partition_point(|start| *start <= key)
    }

    /// The keys of each source by range.
    fn parts(
        &self,
        sources: &[&Groups],
        threads: usize,
        watch: &Watch<'_>,
    ) -> Result<Vec<Parts>, Interrupted> {
        let threads = threads.min(watch.threads());
        let next = AtomicUsize::new(0);
        let take = || {
            let mut taken = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(at) else { return Ok(taken) };
                taken.push((at, self.part(source, &|| watch.checkpoint())?));
            }
        };
        let taken: Vec<Result<Vec<_>, Interrupted>> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..threads.min(sources.len())).map(|_| scope.spawn(take)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let mut parts: Vec<_> = sources.iter().map(|_| Parts::default()).collect();
        for taken in taken {
            for (at, part) in taken? {
                parts[at] = part;
            }
        }
        Ok(parts)
    }

    /// The keys of `groups` by range.
    fn part(&self, groups: &Groups, checkpoint: Checkpoint<'_>) -> Result<Parts, Interrupted> {
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
        // First where each range starts; when all its keys have their place, where it ends.
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut numbers = vec![0; count];
        for (number, range) in (0..).zip(ranges) {
            let place = &mut ends[range as usize];
            numbers[*place as usize] = number;
            *place += 1;
        }
        Ok(Parts { numbers, ends })
    }
}
