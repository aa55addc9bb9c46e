//! Merges sorted groups from several places.

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

/// As many groups of those in memory are fetched before they are read.
const FETCHED: usize = 64;

/// Groups in order.
pub(crate) trait Source: Send {
    /// Writes the next group to `group`; false where there is none.
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool>;
}

/// A part of all keys: those from the first one on and before the second one, where there is one.
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

/// Groups in memory, each key once.
pub(crate) struct Memory<'a> {
    sources: &'a [&'a Groups],
    ranks: &'a DictRanks,
    items: Vec<Item>,
    at: usize,
    other: KeyGroup,
    merging: KeyGroup,
    scratch: [Vec<u64>; 2],
}

impl<'a> Memory<'a> {
    /// Those of these sources that are `items`, in whatever order.
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

    /// All groups of a source.
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

impl Source for Memory<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        let Some(item) = self.items.get(self.at) else { return Ok(false) };
        if self.at.is_multiple_of(FETCHED) {
            let next = self.items[self.at..].iter().take(FETCHED);
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

/// Groups that had a part kept apart, as whole ones: each of that part is one.
pub(crate) struct FullKeys<'a> {
    source: Box<dyn Source + 'a>,
    values: &'a ValueRanks,
    /// Those outside are left out.
    range: &'a Range,
    group: KeyGroup,
    /// The places of the group's parts in their order, and how many of them were given.
    places: Vec<(u32, u32)>,
    given: usize,
}

impl<'a> FullKeys<'a> {
    pub(crate) fn new(
        source: Box<dyn Source + 'a>,
        values: &'a ValueRanks,
        range: &'a Range,
    ) -> Self {
        Self { source, values, range, group: KeyGroup::default(), places: Vec::new(), given: 0 }
    }
}

impl Source for FullKeys<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        loop {
            let Some((_, place)) = self.places.get(self.given) else {
                if !self.source.next(&mut self.group)? {
                    return Ok(false);
                }
                self.values.sort(&self.group.codes, &mut self.places);
                self.given = 0;
                continue;
            };
            self.given += 1;
            group.clear();
            group.key.extend_from_slice(&self.group.key);
            push_column(&mut group.key, self.values.text(self.group.codes[*place as usize]));
            if !self.range.contains(&group.key) {
                continue;
            }
            let width = self.group.sums.len() / self.group.codes.len();
            group.codes.push(0);
            group.sums.extend_from_slice(&self.group.sums[*place as usize * width..][..width]);
            return Ok(true);
        }
    }
}

/// The groups of all these sources, each key once.
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

/// The groups of several sources, each key once.
struct Merged<'a> {
    prefixes: BinaryHeap<Reverse<Head<'a>>>,
    scratch: KeyGroup,
}

impl<'a> Merged<'a> {
    fn new(sources: Vec<Box<dyn Source + 'a>>) -> io::Result<Self> {
        let mut prefixes = BinaryHeap::with_capacity(sources.len());
        for source in sources {
            let mut head = Head { word: 0, next: Box::new((KeyGroup::default(), source)) };
            if head.advance()? {
                prefixes.push(Reverse(head));
            }
        }
        Ok(Self { prefixes, scratch: KeyGroup::default() })
    }
}

impl Source for Merged<'_> {
    fn next(&mut self, group: &mut KeyGroup) -> io::Result<bool> {
        let Some(mut head) = self.prefixes.peek_mut() else { return Ok(false) };
        std::mem::swap(group, &mut head.0.next.0);
        go_on(head)?;
        while let Some(head) = self.prefixes.peek_mut()
            && head.0.next.0.key == group.key
        {
            group.merge(&head.0.next.0, &mut self.scratch);
            go_on(head)?;
        }
        Ok(true)
    }
}

/// Goes on to the next group of a head, which is taken away where there is none.
fn go_on(mut head: PeekMut<'_, Reverse<Head<'_>>>) -> io::Result<()> {
    if !head.0.advance()? {
        PeekMut::pop(head);
    }
    Ok(())
}

/// A source and its next group. It is small: prefixes change their places with every group.
struct Head<'a> {
    /// Of the group's key, which seldom has to be looked at.
    word: u64,
    next: Box<(KeyGroup, Box<dyn Source + 'a>)>,
}

impl Head<'_> {
    /// Goes on to the next group; false where there is none.
    fn advance(&mut self) -> io::Result<bool> {
        let (group, source) = &mut *self.next;
        let any = source.next(group)?;
        self.word = word_at(&group.key, 0);
        Ok(any)
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Zeros behind the end of a key are less than any bytes, or the keys tell.
        let keys = || self.next.0.key.cmp(&other.next.0.key);
        self.word.cmp(&other.word).then_with(keys)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}
