//! Merges sorted groups from memory and from runs.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

use crate::control::Interrupted;
use crate::group::dict_ranks::DictRanks;
use crate::group::groups::Groups;
use crate::group::key::push_column;
use crate::group::key_group::KeyGroup;
use crate::group::values::ValueRanks;
use crate::spill::sort::{Checkpoint, Item, sort, word_at};

/// The number of groups in memory that are prefetched at a time.
const PREFETCHED: usize = 64;

/// A stream of groups in the order of their keys.
pub(crate) trait Source: Send {
    /// Stores the next group in `group`. Returns false at the end.
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool>;
}

/// A range of keys: from `from` (inclusive) to `to` (exclusive), unbounded where `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Option<Vec<u8>>,
    pub(crate) to: Option<Vec<u8>>,
}

impl Range {
    fn contains(&self, key: &[u8]) -> bool {
        let from = self.from.as_ref().is_none_or(|from| *key >= **from);
        from && self.to.as_ref().is_none_or(|to| *key < **to)
    }
}

/// Sorted groups from memory. Groups of several tables with the same key are merged.
pub(crate) struct MemorySource<'a> {
    sources: &'a [&'a Groups],
    ranks: &'a DictRanks,
    items: Vec<Item>,
    at: usize,
    other: KeyGroup,
    merging: KeyGroup,
    scratch: [Vec<u64>; 2],
}

impl<'a> MemorySource<'a> {
    /// The groups with the keys `items`, which may be in any order.
    pub(crate) fn new(
        sources: &'a [&'a Groups],
        ranks: &'a DictRanks,
        mut items: Vec<Item>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Self, Interrupted> {
        sort(sources, &mut items, checkpoint)?;
        let (other, merging, scratch) = Default::default();
        Ok(Self { sources, ranks, items, at: 0, other, merging, scratch })
    }

    /// All groups of one table.
    pub(crate) fn all(
        source: &'a [&'a Groups; 1],
        ranks: &'a DictRanks,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Self, Interrupted> {
        let numbers = 0..source[0].keys.len() as u32;
        let items = numbers.map(|number| Item::new(0, number)).collect();
        Self::new(source, ranks, items, checkpoint)
    }
}

impl Source for MemorySource<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        let Some(item) = self.items.get(self.at) else { return Ok(false) };
        if self.at.is_multiple_of(PREFETCHED) {
            let next = self.items[self.at..].iter().take(PREFETCHED);
            next.for_each(|item| self.sources[item.source as usize].prefetch(item.number));
        }
        let sources = self.sources;
        let source = |item: &Item| sources[item.source as usize];
        source(item).read(item.number as usize, self.ranks, group, &mut self.scratch);
        self.at += 1;
        while let Some(item) = self.items.get(self.at)
            && item.key(sources) == group.key
        {
            source(item).read(item.number as usize, self.ranks, &mut self.other, &mut self.scratch);
            group.merge(&self.other, &mut self.merging);
            self.at += 1;
        }
        Ok(true)
    }
}

/// Decodes dictionary-encoded groups to inline ones: each code becomes a key of its own.
pub(crate) struct FullKeys<'a> {
    source: Box<dyn Source + 'a>,
    values: &'a ValueRanks,
    /// Decoded keys outside of this range are skipped.
    range: &'a Range,
    group: KeyGroup,
    /// The codes of `group` in the order of their values ([`ValueRanks::sort`]), and how many of
    /// them were returned.
    sorted: Vec<(u32, u32)>,
    returned: usize,
}

impl<'a> FullKeys<'a> {
    pub(crate) fn new(
        source: Box<dyn Source + 'a>,
        values: &'a ValueRanks,
        range: &'a Range,
    ) -> Self {
        Self { source, values, range, group: KeyGroup::default(), sorted: Vec::new(), returned: 0 }
    }
}

impl Source for FullKeys<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        loop {
            let Some((_, index)) = self.sorted.get(self.returned) else {
                if !self.source.next(&mut self.group)? {
                    return Ok(false);
                }
                self.values.sort(&self.group.codes, &mut self.sorted);
                self.returned = 0;
                continue;
            };
            self.returned += 1;
            group.clear();
            group.key.extend_from_slice(&self.group.key);
            push_column(&mut group.key, self.values.text(self.group.codes[*index as usize]));
            if !self.range.contains(&group.key) {
                continue;
            }
            let width = self.group.sums.len() / self.group.codes.len();
            group.codes.push(0);
            group.sums.extend_from_slice(&self.group.sums[*index as usize * width..][..width]);
            return Ok(true);
        }
    }
}

/// Merges these sources. Groups with the same key are added up.
pub(crate) fn merged<'a>(
    mut sources: Vec<Box<dyn Source + 'a>>,
) -> io::Result<Box<dyn Source + 'a>> {
    match sources.pop() {
        Some(only) if sources.is_empty() => Ok(only),
        last => {
            sources.extend(last);
            Ok(Box::new(Merged::new(sources)?))
        }
    }
}

/// A k-way merge of several sources.
struct Merged<'a> {
    heap: BinaryHeap<Reverse<Cursor<'a>>>,
    scratch: KeyGroup,
}

impl<'a> Merged<'a> {
    fn new(sources: Vec<Box<dyn Source + 'a>>) -> io::Result<Self> {
        let mut heap = BinaryHeap::with_capacity(sources.len());
        for source in sources {
            let mut cursor = Cursor { prefix: 0, next: Box::new((KeyGroup::default(), source)) };
            if cursor.advance()? {
                heap.push(Reverse(cursor));
            }
        }
        Ok(Self { heap, scratch: KeyGroup::default() })
    }
}

impl Source for Merged<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        let Some(mut cursor) = self.heap.peek_mut() else { return Ok(false) };
        std::mem::swap(group, &mut cursor.0.next.0);
        advance(cursor)?;
        while let Some(cursor) = self.heap.peek_mut()
            && cursor.0.next.0.key == group.key
        {
            group.merge(&cursor.0.next.0, &mut self.scratch);
            advance(cursor)?;
        }
        Ok(true)
    }
}

/// Advances a cursor to its next group, and removes it from the heap at its end.
fn advance(mut cursor: PeekMut<'_, Reverse<Cursor<'_>>>) -> io::Result<()> {
    if !cursor.0.advance()? {
        PeekMut::pop(cursor);
    }
    Ok(())
}

/// A source and its next group. It is small because the heap moves cursors with every group.
struct Cursor<'a> {
    /// The first eight bytes of the key, which decide most comparisons.
    prefix: u64,
    next: Box<(KeyGroup, Box<dyn Source + 'a>)>,
}

impl Cursor<'_> {
    /// Advances to the next group. Returns false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let (group, source) = &mut *self.next;
        let any = source.next(group)?;
        self.prefix = word_at(&group.key, 0);
        Ok(any)
    }
}

impl Ord for Cursor<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The zero padding of short keys never sorts a prefix wrongly; it can only make it equal.
        let keys = || self.next.0.key.cmp(&other.next.0.key);
        self.prefix.cmp(&other.prefix).then_with(keys)
    }
}

impl PartialOrd for Cursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cursor<'_> {}
